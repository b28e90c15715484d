"""What those who took a mail in found out about its sender: SPF, DKIM, DMARC, spam, viruses."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from countersign.mail.model import Mail

Verdict = Literal["pass", "fail", "none", "unknown"]
"""`none`: the domain publishes nothing, or the mail is not signed. `unknown`: nobody has looked, or
they came to no end."""

_VERDICTS: dict[str, Verdict] = {
    "pass": "pass",
    "fail": "fail",
    "softfail": "fail",
    "hardfail": "fail",
    "policy": "fail",
    "reject": "fail",
    "none": "none",
    "neutral": "none",
    "gray": "none",
    "bestguesspass": "none",
}
_LONGEST_HEADER = 10_000
_MOST_RESULTS = 50
_TOKEN = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"?|(?P<mark>[;=])|(?P<word>[^\s;="]+)')
_METHODS = ("spf", "dkim", "dmarc")


@dataclass(frozen=True)
class Verdicts:
    """What a provider, or a mail server of the customer's, says of one mail."""

    spf: Verdict = "unknown"
    dkim: Verdict = "unknown"
    dmarc: Verdict = "unknown"
    spam: bool | None = None
    virus: bool | None = None
    envelope_from: str | None = None
    """The return path (RFC 5321, MAIL FROM): '' is the null one of bounces, None is not known."""
    envelope_to: tuple[str, ...] = ()
    """Whom the mail was delivered for (RCPT TO), Bcc included."""
    authenticated: tuple[str, ...] = ()
    """Domains that SPF or DKIM passed for, as far as they are known."""


def verdict(word: str | None) -> Verdict:
    """What a result means: a word of RFC 8601 (2.7), of SES (`PASS`, `GRAY`, …) or of SendGrid.

    Errors, temporary and permanent, say nothing about the mail.
    """
    return _VERDICTS.get((word or "").strip().lower(), "unknown")


def is_spoofed(mail: Mail, verdicts: Verdicts) -> bool:
    """Whether the address in From is to be taken for somebody else's doing: to be shown, not to be
    acted upon, since forwarding breaks honest mails in the same way (RFC 7960, 2).

    DMARC failed and no domain that passed is From's or next above or below it (RFC 7489, 3.1; of
    siblings only a list of public suffixes could tell). Where nobody evaluated DMARC, that From's
    own domain says through SPF that this host may not send for it, and no signature stands.
    """
    author = domain(mail.from_[0].address) if mail.from_ else ""
    returned_to = domain(verdicts.envelope_from or "")
    passed = [*verdicts.authenticated, *([returned_to] if verdicts.spf == "pass" else [])]
    if not author or verdicts.dmarc == "pass" or any(aligned(author, one) for one in passed):
        return False
    if verdicts.dmarc == "unknown":
        fails = verdicts.spf == "fail" and verdicts.dkim in ("fail", "none")
        return fails and aligned(author, returned_to)
    return verdicts.dmarc == "fail"


def from_authentication_results(mail: Mail, trusted_hosts: Collection[str]) -> Verdicts:
    """Verdicts of the topmost Authentication-Results header (RFC 8601), if a trusted host wrote it.

    `trusted_hosts` are authserv-ids; '' stands for Microsoft 365, which writes none. Whatever
    stands below the topmost header may be the sender's own invention (RFC 8601, 1.6 and 7.1).
    """
    headers = mail.headers.get("authentication-results", ())
    if not headers:
        return Verdicts()
    host, results = _parsed(headers[0][:_LONGEST_HEADER])
    if host not in {one.lower() for one in trusted_hosts}:
        return Verdicts()
    found: dict[str, list[Verdict]] = {method: [] for method in _METHODS}
    authenticated: list[str] = []
    envelope_from: str | None = None
    for method, word, properties in results:
        if method in found:
            found[method].append(verdict(word))
        envelope_from = envelope_from or properties.get("envelope-from")
        if method == "spf":
            envelope_from = envelope_from or properties.get("smtp.mailfrom")
        if method in ("spf", "dkim") and verdict(word) == "pass":
            names = ("smtp.mailfrom",) if method == "spf" else ("header.d", "header.i")
            authenticated += [domain(properties[name]) for name in names if name in properties]
    return Verdicts(
        spf=_best(found["spf"]),
        dkim=_best(found["dkim"]),
        dmarc=_best(found["dmarc"]),
        envelope_from=envelope_from if envelope_from and "@" in envelope_from else None,
        authenticated=tuple(dict.fromkeys(one for one in authenticated if one)),
    )


def aligned(one: str, other: str) -> bool:
    """Whether two domains are the same, or one is a subdomain of the other."""
    shorter, longer = sorted((one.lower().rstrip("."), other.lower().rstrip(".")), key=len)
    return bool(shorter) and (
        shorter == longer or ("." in shorter and longer.endswith(f".{shorter}"))
    )


def domain(address: str) -> str:
    """The domain of an address, in lower case; of what has no @, itself."""
    return address.rpartition("@")[2].strip("<> ").lower().rstrip(".")


def _best(verdicts: list[Verdict]) -> Verdict:
    """Of several signatures one that passes is enough (RFC 6376, 6.1; RFC 7489, 4.2)."""
    ranks: tuple[Verdict, ...] = ("pass", "fail", "none")
    return next((one for one in ranks if one in verdicts), "unknown")


def _parsed(header: str) -> tuple[str, list[tuple[str, str, dict[str, str]]]]:
    """The authserv-id, and each method with its result and its properties."""
    host = ""
    results: list[tuple[str, str, dict[str, str]]] = []
    for index, pairs in enumerate(_segments(_without_comments(header))[:_MOST_RESULTS]):
        if index == 0 and pairs and not pairs[0][1]:
            host, pairs = pairs[0][0], []
        if pairs:
            method, word = pairs[0]
            results.append((method.partition("/")[0], word, dict(pairs[1:])))
            if method not in _METHODS:
                # SES parts the properties of one result by semicolons.
                results[-1][2].update(pairs[:1])
    return host, results


def _segments(text: str) -> list[list[tuple[str, str]]]:
    """What stands between semicolons: names in lower case, with values where `=` gives them one."""
    segments: list[list[tuple[str, str]]] = [[]]
    awaits_value = False
    for token in _TOKEN.finditer(text):
        value = token["word"] or re.sub(r"\\(.)", r"\1", token["quoted"] or "")
        if token["mark"] == ";":
            segments.append([])
            awaits_value = False
        elif token["mark"]:
            awaits_value = True
        elif awaits_value and segments[-1]:
            segments[-1][-1] = (segments[-1][-1][0], value)
            awaits_value = False
        else:
            segments[-1].append((value.lower(), ""))
    return segments


def _without_comments(text: str) -> str:
    """`text` without comments, which may be nested (RFC 5322, 3.2.2), and may never end."""
    kept: list[str] = []
    depth, is_quoted, is_escaped = 0, False, False
    for character in text:
        if is_escaped:
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == '"' and not depth:
            is_quoted = not is_quoted
        elif character == "(" and not is_quoted:
            depth += 1
        elif character == ")" and depth:
            depth -= 1
            continue
        if not depth:
            kept.append(character)
    return "".join(kept)
