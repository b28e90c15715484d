"""Who says that a mail is genuine, and whom we believe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.mail.model import Address, Mail
from countersign.mail.verdicts import (
    Verdict,
    Verdicts,
    aligned,
    from_authentication_results,
    is_spoofed,
    verdict,
)
from tests.unit.timing import seconds

GOOGLE = """mx.google.com;
       dkim=pass header.i=@example.com header.s=s1 header.b=abc;
       spf=pass (google.com: domain of bounce@mail.example.com designates 192.0.2.1 as (permitted)
       sender) smtp.mailfrom=bounce@mail.example.com;
       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.com"""
SES = (
    "amazonses.com; spf=fail (spfCheck: domain of b.example) client-ip=192.0.2.1;"
    " envelope-from=a@b.example; helo=mx.b.example; dkim=none; dmarc=fail header.from=b.example;"
)
MICROSOFT = (
    "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=example.com; dkim=none (not signed)"
    " header.d=none;dmarc=bestguesspass action=none header.from=example.com;compauth=pass"
)


def mail(sender: str = "jane@example.com", *results: str) -> Mail:
    return Mail(from_=(Address("", sender),), headers={"authentication-results": results})


def test_reads_google() -> None:
    found = from_authentication_results(mail("a@b.example", GOOGLE), ["mx.google.com"])
    assert (found.spf, found.dkim, found.dmarc) == ("pass", "pass", "pass")
    assert found.envelope_from == "bounce@mail.example.com"
    assert found.authenticated == ("example.com", "mail.example.com")


def test_reads_ses() -> None:
    found = from_authentication_results(mail("a@b.example", SES), ["amazonses.com"])
    assert (found.spf, found.dkim, found.dmarc) == ("fail", "none", "fail")
    assert found.envelope_from == "a@b.example"
    assert found.authenticated == ()


def test_reads_microsoft_which_names_no_host() -> None:
    found = from_authentication_results(mail("a@b.example", MICROSOFT), [""])
    assert (found.spf, found.dkim, found.dmarc) == ("pass", "none", "none")
    assert found.authenticated == ("example.com",)
    assert found.envelope_from is None
    assert (
        from_authentication_results(mail("a@b.example", MICROSOFT), ["mx.google.com"]) == Verdicts()
    )


def test_one_good_signature_is_enough() -> None:
    header = "MX.example.com 1; dkim=fail header.d=evil.example; dkim/1=pass header.d=Example.com"
    found = from_authentication_results(mail("a@b.example", header), ["mx.example.com"])
    assert found.dkim == "pass"
    assert found.authenticated == ("example.com",)


def test_believes_only_the_topmost_header_of_a_trusted_host() -> None:
    forged = "mx.example.com; spf=pass smtp.mailfrom=ceo@example.com; dmarc=pass"
    unknown = "mx.evil.example; dmarc=none"
    assert from_authentication_results(mail("x", unknown, forged), ["mx.example.com"]) == Verdicts()
    own = "mx.example.com; dmarc=fail header.from=example.com"
    found = from_authentication_results(mail("x", own, forged), ["mx.example.com"])
    assert (found.dmarc, found.spf) == ("fail", "unknown")
    assert from_authentication_results(mail("x"), ["mx.example.com"]) == Verdicts()


@pytest.mark.parametrize(
    "disguised",
    [
        'mx.example.com; dmarc=fail reason="a; dmarc=pass"',
        "mx.example.com; dmarc=fail (; dmarc=pass)",
        "mx.example.com; dmarc=fail (nested (; dmarc=pass) ; dmarc=pass)",
        "mx.example.com; dmarc=fail (never ends; dmarc=pass",
        r'mx.example.com; dmarc=fail reason="\"; dmarc=pass"',
    ],
)
def test_comments_and_quotes_say_nothing(disguised: str) -> None:
    found = from_authentication_results(mail("x", disguised), ["mx.example.com"])
    assert found.dmarc == "fail"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("PASS", "pass"),
        ("FAIL", "fail"),
        ("GRAY", "none"),
        ("PROCESSING_FAILED", "unknown"),
        ("DISABLED", "unknown"),
        ("softfail", "fail"),
        ("neutral", "none"),
        ("temperror", "unknown"),
        ("permerror", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_words(word: str | None, expected: Verdict) -> None:
    assert verdict(word) == expected


@pytest.mark.parametrize(
    "verdicts",
    [
        Verdicts(dmarc="fail"),
        Verdicts(dmarc="fail", spf="pass", envelope_from="x@evil.example"),
        Verdicts(dmarc="fail", dkim="pass", authenticated=("evil.example",)),
        Verdicts(dmarc="fail", dkim="pass", authenticated=("notexample.com", "com")),
        Verdicts(spf="fail", dkim="none", envelope_from="jane@example.com"),
    ],
)
def test_spoofed(verdicts: Verdicts) -> None:
    assert is_spoofed(mail("Jane@Example.com"), verdicts)


@pytest.mark.parametrize(
    "verdicts",
    [
        Verdicts(),
        Verdicts(dmarc="pass", spf="fail", dkim="fail"),
        Verdicts(dmarc="none", spf="fail", dkim="fail"),
        Verdicts(dmarc="fail", spf="pass", envelope_from="bounce@mail.example.com"),
        Verdicts(dmarc="fail", dkim="pass", authenticated=("example.com.",)),
        # A list, or a forwarder that rewrites the return path, fails SPF for another domain.
        Verdicts(spf="fail", dkim="fail", envelope_from="list@lists.example.org"),
        Verdicts(spf="fail", dkim="unknown", envelope_from="jane@example.com"),
    ],
)
def test_not_spoofed(verdicts: Verdicts) -> None:
    assert not is_spoofed(mail("Jane@Example.com"), verdicts)


def test_a_mail_from_nobody_is_nobodys() -> None:
    assert not is_spoofed(Mail(), Verdicts(dmarc="fail"))


def test_aligned() -> None:
    assert aligned("Example.com.", "mail.example.com")
    assert not aligned("a.example.com", "b.example.com")
    assert not aligned("co.uk.example", "uk.example.co")
    assert not aligned("", "")
    assert not aligned("com", "example.com")


def test_a_bomb_costs_little() -> None:
    def judge(bombs: tuple[str, ...]) -> None:
        for bomb in bombs:
            from_authentication_results(mail("x", bomb), ["", "a"])

    bombs = (
        '"' + '\\"' * 10**6,
        "(" * 10**6,
        "a=" * 10**6,
        ";" * 10**6,
        "a;" + "spf=pass;" * 10**6,
    )
    assert seconds(judge, bombs, 1) < 1


@given(st.text(alphabet='a=;."()\\ pasfilmrcdk/', max_size=80))
def test_any_header_can_be_read(text: str) -> None:
    from_authentication_results(mail("a@b.example", text), ["", "a"])
    from_authentication_results(mail("a@b.example", f"a; {text}"), ["a"])
