"""The header of a mail, as it is written and as it is miswritten."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from countersign.mail import addresses, parameters, words
from countersign.mail.reading import read


def of(*lines: bytes) -> bytes:
    return b"From: a@b.example\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\nHi\r\n"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (b"=?utf-8?q?caf=C3=A9_au?= lait", "café au lait"),
        (b"=?UTF-8?B?w6k=?= =?utf-8?b?w6g=?=", "éè"),
        (b"=?utf-8?q?=C3?=\r\n =?utf-8?q?=A9?=", "é"),
        (b"a=?utf-8?q?=C3=A9?=b", "aéb"),
        (b"=?utf-8?q?with blanks inside?=", "with blanks inside"),
        (b"=?utf-8*en?q?language?=", "language"),
        (b"=?utf-8?b?w6k?=", "é"),
        (b"=?iso-8859-1?q?=80?=", "€"),
        (b"=?gb2312?B?tPO80rrD?=", "大家好"),
        (b"=?iso-2022-jp?B?GyRCJSglaSE8GyhC?=", "エラー"),
        (b"=?nonsense?q?abc?=", "abc"),
        (b"=?base64?q?abc?= =?zlib?q?d?=", "abcd"),
        (b"=?utf-8?q?never ends", "=?utf-8?q?never ends"),
        (b"=?utf-8?q?no end =?utf-8?q?end?=", "=?utf-8?q?no end end"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"What? =?= =?", "What? =?= =?"),
        ("naïve".encode(), "naïve"),
        ("naïve".encode("latin-1"), "naïve"),
        (b"one\r\n two\r\n\tthree", "one two three"),
        (b"=?utf-8?q?a=0D=0ABcc:_x=00?=", "a Bcc: x"),
        (b"  blanks  ", "blanks"),
    ],
)
def test_subjects(written: bytes, meant: str) -> None:
    assert read(of(b"Subject: " + written)).subject == meant


def test_a_raw_header_is_read_by_the_charset_of_the_text() -> None:
    raw = of(b"Content-Type: text/plain; charset=koi8-r", "Subject: Привет".encode("koi8-r"))
    assert read(raw).subject == "Привет"


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ("<a@b> <c@d>", ("a@b", "c@d")),
        ("<a@b>\r\n <c@d>\r\n\t<e@f>", ("a@b", "c@d", "e@f")),
        ("<a@\r\n b>", ("a@b",)),
        ("< a @ b >", ("a@b",)),
        ('Your message of "Monday" (who knows) <a@b>', ("a@b",)),
        ("<<a@b>>", ("a@b",)),
        ("a@b, c@d", ("a@b", "c@d")),
        ("=?us-ascii?q?=3Ca=40b=3E?=", ("a@b",)),
        ("<a@b> <a@b>", ("a@b",)),
        ("<> <", ()),
        ("nothing", ()),
        ("<no-at-sign>", ("no-at-sign",)),
    ],
)
def test_references(written: str, ids: tuple[str, ...]) -> None:
    assert read(of(f"References: {written}".encode())).references == ids


def test_message_ids() -> None:
    mail = read(of(b"Message-ID:\r\n <a@b> (a comment)", b"In-Reply-To: <c@d>"))
    assert (mail.message_id, mail.in_reply_to) == ("a@b", ("c@d",))
    assert read(of()).message_id is None
    twice = read(of(b"Message-ID:", b"Message-ID: <1@x>", b"Message-ID: <2@x>"))
    assert twice.message_id == "1@x"
    assert "several-message-id" in twice.defects


def test_of_too_many_references_the_root_and_the_last_are_kept() -> None:
    written = b"References: " + b"\r\n ".join(b"<%d@x>" % number for number in range(5000))
    found = read(of(written)).references
    assert (len(found), found[0], found[1], found[-1]) == (
        words.MOST_IDS,
        "0@x",
        "4001@x",
        "4999@x",
    )


NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "Wed, 04 Mar 2026 13:00:00 +0100",
        "4 Mar 26 12:00 GMT",
        "Wed, 4 Mar 2026 12:00:00 (UTC)",
        "Wednesday, 4 March 2026 07:00:00 EST",
        "Wed Mar  4 12:00:00 2026",
        "2026-03-04T12:00:00Z",
        "2026-03-04 12:00:00",
        "Wed,04 Mar 2026 12:00:00 +0000",
        "Wed, 04 Mar 2026\r\n 12:00:00 +0000",
        "Wed, 04-Mar-2026 12:00:00 GMT",
    ],
)
def test_dates(written: str) -> None:
    assert read(of(f"Date: {written}".encode())).sent_at == NOON


@pytest.mark.parametrize(
    "written",
    [
        "",
        "yesterday",
        "Wed, 32 Mar 2026 12:00:00 +0000",
        "Wed, 4 Mar 2026 25:00:00 +0000",
        "1 2 3 4 5 6 7",
        "Wed, 4 Mar 2026 12:00:00 +9999",
        "Fri, 31 Dec 9999 23:59:59 -1000",
        "Mon, 99999999999999999999 Jan 2020 00:00:00",
        "0",
        "\0",
        ",,,",
    ],
)
def test_what_is_no_date_is_none(written: str) -> None:
    assert read(of(f"Date: {written}".encode())).sent_at is None


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("Ann <ann@x.example>", [("Ann", "ann@x.example")]),
        ("ann@x.example (Ann (the first))", [("Ann (the first)", "ann@x.example")]),
        ('"Doe, John" <j@x.y>, k@x.y', [("Doe, John", "j@x.y"), ("", "k@x.y")]),
        ("Doe, John <j@x.y>", [("Doe, John", "j@x.y")]),
        ("=?utf-8?q?M=C3=BCller=2C_J=2E?= <m@x.y>", [("Müller, J.", "m@x.y")]),
        ('"=?utf-8?q?M=C3=BCller?=" <m@x.y>', [("Müller", "m@x.y")]),
        ('"Ann \\"the\\" Doe" <a@b.c>', [('Ann "the" Doe', "a@b.c")]),
        ("Friends: a@b.c, Dee <d@e.f>;, g@h.i", [("", "a@b.c"), ("Dee", "d@e.f"), ("", "g@h.i")]),
        ("undisclosed-recipients:;", []),
        ("a@b.c; d@e.f", [("", "a@b.c"), ("", "d@e.f")]),
        ("A <a@b.c> B <d@e.f>", [("A", "a@b.c"), ("B", "d@e.f")]),
        ("a@b.c d@e.f", [("", "a@b.c"), ("", "d@e.f")]),
        ("<@relay.x,@relay.y:a@b.c>", [("", "a@b.c")]),
        ("Pete(A \\) chap) <pete(his)@silly.test(host)>", [("Pete", "pete@silly.test")]),
        ("a @ b . c", [("", "a@b.c")]),
        ("< a@b.c >", [("", "a@b.c")]),
        ("<<a@b.c>>", [("", "a@b.c")]),
        ("Ann <a@b.c", [("Ann", "a@b.c")]),
        ('"Ann <a@b.c>', [("Ann", "a@b.c")]),
        ("a@b.c <a@b.c>", [("", "a@b.c")]),
        ("boss@x.example <thief@y.example>", [("boss@x.example", "thief@y.example")]),
        ("=?utf-8?q?Ann_=3Ca=40b=2Ec=3E?=", [("Ann", "a@b.c")]),
        ('"john doe"@x.y, <"a@b"@c.d>', [("", '"john doe"@x.y'), ("", '"a@b"@c.d')]),
        ("用户@例え.jp", [("", "用户@例え.jp")]),
        ("a@xn--r8jz45g.jp", [("", "a@xn--r8jz45g.jp")]),
        ("a@[127.0.0.1]", [("", "a@[127.0.0.1]")]),
        ("MAILER-DAEMON (Mail), <>, x, @, a@, @b", []),
        ("Ann\u202e <a@b.c>", [("Ann", "a@b.c")]),
        (f"{'x' * 400}@y.z", []),
    ],
)  # fmt: skip
def test_address_lists(written: str, found: list[tuple[str, str]]) -> None:
    assert [(one.name, one.address) for one in addresses.parse(written)] == found


def test_recipients_of_all_fields_but_the_sender_of_one() -> None:
    mail = read(of(b"From: c@d.e", b"To: f@g.h", b"TO : i@j.k, f@g.h", b"Cc:", b"Reply-To: l@m.n"))
    assert [one.address for one in mail.from_] == ["a@b.example"]
    assert [one.address for one in mail.to] == ["f@g.h", "i@j.k"]
    assert (mail.cc, mail.reply_to[0].address) == ((), "l@m.n")
    assert {"several-from", "several-to"} <= set(mail.defects)


def test_of_very_many_recipients_the_first_are_read() -> None:
    many = b"".join(b"u%06d@example.com, " % number for number in range(50_000))
    mail = read(of(b"To: " + many, b"To: last@x.y"))
    assert (len(mail.to), mail.to[0].address) == (addresses.MOST, "u000000@example.com")
    assert "long-to" in mail.defects


def test_raw_utf8_addresses() -> None:
    mail = read(of("To: Jörg <jörg@mächine.example>".encode()))
    assert (mail.to[0].name, mail.to[0].address) == ("Jörg", "jörg@mächine.example")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (b"filename=bill.pdf", "bill.pdf"),
        (b'filename="my bill.pdf"', "my bill.pdf"),
        (b"filename=my bill.pdf; size=1", "my bill.pdf"),
        (b'filename="a\\"b.pdf"', 'a"b.pdf'),
        (b'filename="never closed.pdf', "never closed.pdf"),
        (b"filename*=utf-8'en'%E2%82%AC.pdf", "€.pdf"),
        (b"filename*0*=utf-8''%E2%82; filename*1*=%AC; filename*2=.pdf", "€.pdf"),
        (b"filename*1=b.pdf;\r\n filename*0=a", "ab.pdf"),
        (b"filename=old.pdf; filename*=utf-8''new.pdf", "new.pdf"),
        (b"filename*=%41.pdf", "A.pdf"),
        (b"filename*=nonsense''%e4.pdf", "ä.pdf"),
        (b'filename="=?utf-8?q?=E2=82=AC=2Epdf?="', "€.pdf"),
        (b'filename="=?utf-8?b?4oKs?=\r\n =?utf-8?b?LnBkZg==?="', "€.pdf"),
        ('filename="€.pdf"'.encode(), "€.pdf"),
        ('filename="ä.pdf"'.encode("latin-1"), "ä.pdf"),
        (b'filename="/etc/passwd"', "passwd"),
        (b'filename="..\\\\..\\\\win.exe"', "win.exe"),
        (b"filename*=utf-8''%2e%2e%2f%2e%2e%2fx.sh", "x.sh"),
        (b'filename=".."', None),
        (b'filename=" . "', None),
        (b"filename*=utf-8''a%00b%0d%0ac.pdf", "ab c.pdf"),
        ('filename="a\u202efdp.exe"'.encode(), "afdp.exe"),
        (b"filename=" + b"x" * 300 + b".pdf", "x" * 196 + ".pdf"),
        (b"filename=", None),
        (b"", None),
    ],
)  # fmt: skip
def test_file_names(written: bytes, name: str | None) -> None:
    raw = of(b"Content-Type: a/b", b"Content-Disposition: attachment; " + written)
    assert read(raw).parts[0].file_name == name


def test_a_name_may_stand_in_the_content_type() -> None:
    raw = of(b"Content-Type: a/b; name*=utf-8''%C3%A4.bin")
    assert read(raw).parts[0].file_name == "ä.bin"


@pytest.mark.parametrize(
    ("written", "head", "found"),
    [
        (b"text/plain; charset=utf-8", "text/plain", {"charset": "utf-8"}),
        (b"Text/Plain;a = \"1 2\" ;b=3", "text/plain", {"a": "1 2", "b": "3"}),
        (b"text/plain charset=utf-8", "text/plain charset=utf-8", {"charset": "utf-8"}),
        (b"text/plain; a=1 b=2", "text/plain", {"a": "1", "b": "2"}),
        (b"a/b; x=1; x=2", "a/b", {"x": "1"}),
        (b"a/b; x=\"1;2\"; y", "a/b", {"x": "1;2"}),
        (b"a/b;;; =3; x=4", "a/b", {"x": "4"}),
        (b"", "", {}),
    ],
)  # fmt: skip
def test_parameters(written: bytes, head: str, found: dict[str, str]) -> None:
    assert parameters.parse(written) == (head, found)


@pytest.mark.parametrize(
    "raw",
    [
        b"From joe@x Mon Jan  1 00:00:00 2020\nSubject: s\nTo: t@x\n\nHi\n",
        b">From joe@x Mon Jan  1 00:00:00 2020\nSubject: s\nTo: t@x\n\nHi\n",
        b"\xef\xbb\xbfSubject: s\nTo: t@x\n\nHi\n",
        b"\r\n\r\nSubject: s\r\nTo: t@x\r\n\r\nHi\r\n",
        b"Subject: s\rTo: t@x\r\rHi\r",
        b"Subject: s\nTo: t@x\r\n\nHi\n",
        b"Subject: s\r\r\nTo: t@x\r\r\n\r\r\nHi\r\r\n",
        b"Subject : s\nTo\t: t@x\n\nHi\n",
        b"SUBJECT:s\nto:t@x\n\nHi\n",
        b"garbage first\nSubject: s\nTo: t@x\n\nHi\n",
        b"Subject: s\nby somebody's; broken line\nTo: t@x\n\nHi\n",
        b": no name\nSubject: s\n\x00\xff:\nTo: t@x\n\nHi\n",
        b"Subject: s\nTo: t@x\nHi\n",
        b"Subject: s\nTo: t@x\n \nHi\n",
        b"Subject: s\n \n continued\nTo: t@x\n\nHi\n",
        b"Subject:\0s\0\nTo: t@x\n\nH\0i\n",
    ],
)
def test_damaged_headers_are_read(raw: bytes) -> None:
    mail = read(raw)
    assert mail.subject.startswith("s")
    assert [one.address for one in mail.to] == ["t@x"]
    assert mail.text == "Hi\n"


def test_headers_by_lower_case_name_in_order() -> None:
    headers = read(of(b"X-A: 1", b"x-a:\r\n =?utf-8?q?=C3=A4?=", b"List-Id: <l>")).headers
    assert headers["x-a"] == ("1", "ä")
    assert headers["list-id"] == ("<l>",)


def test_headers_are_capped_in_count_and_length() -> None:
    mail = read(of(b"X-Long: " + b"x" * 1_000_000, *[b"X-%d: y" % n for n in range(10_000)]))
    assert len(mail.headers) == 1000
    assert len(mail.headers["x-long"][0]) == 16_384


def test_the_header_of_a_part_may_have_no_end() -> None:
    body = b"--b\r\nContent-Type: text/html\r\n--b\r\nContent-Type: text/plain\r\n\r\nsaid\r\n--b--"
    assert read(of(b"Content-Type: multipart/mixed; boundary=b", b"", body)).text == "said"
