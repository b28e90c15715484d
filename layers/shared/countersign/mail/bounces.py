"""Mails of mail systems about mails that they could not deliver.

First the fields of delivery reports (RFC 3464), then what older or stubborn systems write as text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Literal

from countersign.mail.model import Mail

_MOST_RECIPIENTS = 100
_MOST_CHARACTERS = 64_000
_MOST_LINES = 1_000
_LONGEST_LINE = 1_000
_LONGEST_REASON = 500
_MOST_OF_REASON = 2_000
"""Characters that are looked at for one recipient."""
_MOST_OF_PART = 200
"""Lines, likewise."""

_ADDRESS = re.compile(
    r"(?<![^\s<>\"'`(\[:;,=])([^\s<>()\[\]\"'`,;:=@|/\\]{1,128}@(?:[\w-]{1,63}\.){1,10}[\w-]{2,63})"
    r"(?![\w@-])"
)
_CODE = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY = re.compile(r"(?<![\d.:])([45])[0-5]\d(?=[ -]\D|[ -]\d\.|,)")
_SYSTEM = re.compile(
    r"(?:mailer|mail|mailbox|delivery)[-_.]?daemon|m?daemon|post[-_]?master"
    r"|microsoftexchange[0-9a-f]{8,}|mail[-_.]?(?:delivery|system)(?:[-_.]\w{1,40})*|bounces?(?:[-+=_.].*)?",
    re.IGNORECASE,
)
_POSTMASTER = re.compile(r"post[-_]?master", re.IGNORECASE)
_SYSTEM_NAME = re.compile(
    r"mail(?:er)?[- ]?daemon|post[- ]?master|mail delivery"
    r"|mail (?:delivery |transport )?(?:sub)?(?:system|service|agent|software)",
    re.IGNORECASE,
)
_FAILED_SUBJECT = re.compile(
    r"undeliver|returned (?:mail|to sender)|returning message|delivery has failed|failure notice"
    r"|deliver\w* (?:status|notification|fail|error|problem)|nondeliver|non remis|unzustellbar"
    r"|未送達|mail (?:system error|failure|error|delivery)|could not (?:be )?(?:send|sent|deliver)"
    r"|message (?:delivery|not delivered|rejected|status)|rejected",
    re.IGNORECASE,
)

_ENDS_HEAD = re.compile(
    r"(?:received|return-path|x-[\w-]{1,60}|message-id|dkim-signature|delivered-to): ?\S"
    r"|[\s>*=_#-]*(?:(?:this|here|included|attached|below|enclosed|following) is\b.{0,20}\bcopy\b"
    r"|(?:the )?(?:header|text|body|copy)s? (?:of|from) (?:the|your) (?:original|returned|message)"
    r"|(?:the |your )?(?:original|unsent|returned|rejected|undelivered|bounced) (?:message|mail)\b"
    r"(?! (?:was|could|has|did|to))|(?:the )?(?:original )?message (?:header|text|body|content)s?\b"
    r"|below this line|message follows|start of returned|undelivered mail header)",
    re.IGNORECASE,
)
_ALONE = re.compile(r"[\s>*<]*(?:\d{1,3}[.) -]\s?(?:\d\.\d\.\d )?)?[<\"'(\[]?$")
_NAMES = re.compile(
    r"(?:to|for|of|rcpt|recipients?|users?|unknown|address(?:ee)?(?:\(es\))?|mailbox|account|failed"
    r"|宛先|送信先)\W{0,12}(?:rfc822 ?; ?)?$",
    re.IGNORECASE,
)
_NOT_IT = re.compile(
    r"(?:from|sender|reply-to|return-path|contact|mailto|write to|e-?mail|help|assistance)\W{0,8}$",
    re.IGNORECASE,
)
_HEADER_OF_OURS = re.compile(r"\s*(?:to|cc|from|sender|reply-to|subject|宛先) ?:", re.IGNORECASE)
_NOT_FAILED = ("delayed", "deliver", "relayed", "expanded")
_FIELD = re.compile(r"\s*(?:final|original|x-actual)-recipient ?:", re.IGNORECASE)

_SENDERS_CODES = ("5.1.7", "5.1.8")
_DEAD_CODES = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.4.4")
# Looked at in this order. Whatever is none of them is soft.
_FULL = re.compile(
    r"quota|(?:box|storage|disk) (?:is |was )?(?:\w+ )?full|over ?limit|exceed|insufficient"
    r"|not enough|no space|too (?:large|big|long|many)|一杯",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"\bspam|black ?list|block ?list|dnsbl|\brbl\b|reputation|\bspf\b|dkim|dmarc|reverse dns"
    r"|\bptr\b|\bpolic(?:y|ies)|virus|sender(?:'s)? (?:address|domain|verif|rejected|denied)"
    r"|mail ?from domain|your (?:ip|host|server|network)|client host|\brelay(?:ing)?\b|authenticat"
    r"|unsolicited|prohibited|not found, try again"
    # The recipient had been accepted before the data came: this answers the mail's contents.
    r"|end of data",
    re.IGNORECASE,
)
_DEAD = re.compile(
    r"user.{0,12}(?:unknown|not found|doesn.?t exist|does not exist|not known|invalid)"
    r"|(?:unknown|no such|invalid|bad|nonexistent|no valid|not a (?:valid|known)) (?:\w+ ){0,2}"
    r"(?:user(?:id)?|recipient|address|mailbox|account|person|domain|host|addressee)"
    r"|(?:mailbox|recipient|account|address|addressee|user|alias|e-?mail).{0,60}(?:does ?n.?t exist"
    r"|does not exist|not exist|not found|unknown|could ?n.?t be found|could not be found"
    r"|no longer|not listed|not recogni[sz]ed)"
    r"|(?:host|domain|name).{0,60}(?:unknown|not found|no such|does not exist|nxdomain|isn.?t known"
    r"|couldn.?t be found|doesn.?t exist|not reachable)"
    r"|(?:find|found) (?:a |any )?(?:host named|mail exchanger|mx record)|no mx record"
    r"|no smtp service|\.\w+ does not exist|unrout|name or service not known|null ?mx"
    r"|does not accept mail|has moved|not our customer|doesn.?t have an? .{1,60} account"
    r"|no (?:mail ?box|account|user)\b|mailbox unavailable|リストにありません|見つかりません"
    # Exchange Online: the address is in no directory.
    r"|5\.4\.1\W{1,9}recipient address rejected: access denied",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"warning (?:message )?only|this is a warning|still being retried|(?:no|not) need to resend"
    r"|(?<!not )(?:will|going to) (?:be retried|continue|keep|retry)|notification about a delay"
    r"|delivery (?:incomplete|delayed|has been delayed)|not (?:yet )?(?:been )?delivered yet",
    re.IGNORECASE,
)
_BREAK = re.compile(r"<(?:br|p|div|tr|li|h\d)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True)
class Bounce:
    """One recipient that a mail did not reach, for good or for now."""

    recipient: str
    kind: Literal["hard", "soft"]
    """`hard`: there is no such mailbox or domain. Everything else may be another time, or another
    mail: a full mailbox, a policy, spam, a size, a time-out."""
    code: str | None
    """Enhanced status code (RFC 3463), such as 5.1.1."""
    reason: str | None
    original_message_id: str | None
    original: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Headers of the mail that did not arrive by lower-case name, as far as they came back."""


def bounces(mail: Mail) -> tuple[Bounce, ...]:
    """The recipients that `mail` says were not reached; delays and successes are none of them.

    Anybody can write such a mail: it says something only of a mail that is known to be ours, by
    what only we could know of it (an id in `original`, say).
    """
    if mail.report and mail.report.report_type in ("disposition-notification", "feedback-report"):
        return ()
    head, returned = _split(beginning(mail))
    original = (mail.report.original if mail.report else {}) or _headers(returned)
    groups = [group for group in (mail.report.status if mail.report else ()) if _recipient(group)]
    if groups:
        found = list(_from_fields(groups, head))
    elif from_mail_system(mail) and not any(_DELAYED.search(line) for line in head):
        found = list(_from_text(mail, head, original))
    else:
        return ()
    message_id = _message_id(mail, original)
    return tuple(
        Bounce(one.recipient, one.kind, one.code, one.reason, message_id, original)
        for one in _unique(found)
    )


def from_mail_system(mail: Mail) -> bool:
    """Whether a mail server wrote this: by its report, its name, or nothing to return it to."""
    if mail.report and mail.report.report_type == "delivery-status":
        return True
    if "x-failed-recipients" in mail.headers:
        return True
    # MAILER-DAEMON alone is no address, so it is not among `from_`.
    author = next(iter(mail.headers.get("from", ())), "")[:_LONGEST_LINE]
    names = [author, *author.split("<"), *(one.name for one in mail.from_)]
    if any(_SYSTEM_NAME.fullmatch(name.strip('<>" ')) for name in names):
        return True
    returned_to = next(iter(mail.headers.get("return-path", ())), "unknown").strip("<> ").lower()
    goes_nowhere = not returned_to or returned_to.startswith("mailer-daemon")
    has_failed = bool(_FAILED_SUBJECT.search(mail.subject[:_LONGEST_LINE]))
    for one in mail.from_:
        local_part = one.address.rpartition("@")[0]
        # Postmasters are people too (RFC 2142, 5): "Bob <postmaster@example.com>".
        is_bob = _POSTMASTER.fullmatch(local_part) and one.name
        if _SYSTEM.fullmatch(local_part) and (goes_nowhere or has_failed or not is_bob):
            return True
    return has_failed and (goes_nowhere or not mail.from_)


def _from_fields(groups: list[Mapping[str, str]], head: list[str]) -> Iterator[Bounce]:
    failed = [group for group in groups if _has_failed(group)][:_MOST_RECIPIENTS]
    parts = _parts(head, [_recipient(group) for group in failed])
    for group in failed:
        recipient, status = _recipient(group), group.get("status", "").strip()[:_LONGEST_LINE]
        diagnostic = group.get("diagnostic-code", "")[:_MOST_OF_REASON]
        said = re.sub(r"^\s*[\w-]{1,40}\s*;\s*", "", diagnostic)
        reason = said or status.partition("(")[2].rstrip(")")
        code = _CODE.match(status)
        yield _bounce(
            recipient, code[1] if code else None, [reason] if reason else parts[recipient]
        )


def _has_failed(group: Mapping[str, str]) -> bool:
    action = group.get("action", "").strip().lower()
    return not action.startswith(_NOT_FAILED) and not group.get("status", "").strip().startswith(
        "2"
    )


def _recipient(group: Mapping[str, str]) -> str:
    """The address as we wrote it, where the report has it (RFC 3464, 2.3.1), else as it became."""
    for name in ("original-recipient", "final-recipient"):
        found = _ADDRESS.search(group.get(name, "")[:_LONGEST_LINE])
        if found:
            return found[1]
    return ""


def _from_text(
    mail: Mail, head: list[str], original: Mapping[str, tuple[str, ...]]
) -> Iterator[Bounce]:
    ours = {one.address.lower() for one in (*mail.to, *mail.from_)}
    listed = ",".join(mail.headers.get("x-failed-recipients", ()))[:_MOST_CHARACTERS]
    places = _places(head, ours)
    found = [one[1] for one in _ADDRESS.finditer(listed)] or list(places)
    if not found:
        texts = original.get("x-envelope-to", ()) or original.get("to", ())
        found = [one[1] for text in texts for one in _ADDRESS.finditer(text[:_MOST_CHARACTERS])]
    found = list(dict.fromkeys(found))[:_MOST_RECIPIENTS]
    parts = _parts(head, list(dict.fromkeys([*found, *places]))[: 2 * _MOST_RECIPIENTS])
    for address in found:
        yield _bounce(address, None, parts[address])


def _parts(head: list[str], recipients: list[str]) -> dict[str, list[str]]:
    """What is said about each recipient: from where it is named to where the next one is, or all
    where there is but one.
    """
    named = {
        one: next((at for at, line in enumerate(head) if one in line), None) for one in recipients
    }
    starts = sorted({at for at in named.values() if at is not None})
    if len(starts) < 2:
        return dict.fromkeys(recipients, head)
    ends = dict(zip(starts, [*starts[1:], len(head)], strict=True))
    return {one: head if at is None else head[at : ends[at]] for one, at in named.items()}


def _places(head: list[str], ours: set[str]) -> dict[str, int]:
    """Addresses that may be meant, with the line they first stand in: the surest kind of place."""
    ranked: dict[int, dict[str, int]] = {0: {}, 1: {}, 2: {}, 3: {}}
    for number, line in enumerate(head):
        if _HEADER_OF_OURS.match(line):
            continue
        for match in _ADDRESS.finditer(line):
            address, before = match[1], line[max(0, match.start() - 40) : match.start()]
            is_unlikely = address.lower() in ours or _SYSTEM.fullmatch(address.rpartition("@")[0])
            if _FIELD.match(line):
                rank = 0
            elif match.start() < 40 and _ALONE.match(before):
                rank = 1
            elif is_unlikely or _NOT_IT.search(before):
                continue
            else:
                rank = 2 if _NAMES.search(before) else 3
            ranked[rank].setdefault(address, number)
    return next((places for places in ranked.values() if places), {})


def _bounce(recipient: str, code: str | None, part: list[str]) -> Bounce:
    telling = _telling(part)
    about = " ".join(telling or part)[:_MOST_OF_REASON]
    said = _CODE.search(about)
    if said and (code is None or code.endswith(".0.0")):
        code = said[1]
    if not telling:
        at = next((at for at, line in enumerate(part) if recipient in line), 0)
        telling = part[at : at + 6]
    reason = _clean(" ".join(telling)[:_MOST_OF_REASON])
    return Bounce(recipient, _kind(code, about), code, reason or None, None)


def _kind(code: str | None, about: str) -> Literal["hard", "soft"]:
    # Names say nothing: relay.example.com, spam@example.com.
    text = " ".join(_ADDRESS.sub("", about).split())
    reply = _REPLY.search(text)
    if (code or (reply[1] if reply else "")).startswith("4"):
        return "soft"
    if code in _SENDERS_CODES or _FULL.search(text) or _REFUSED.search(text):
        return "soft"
    return "hard" if _DEAD.search(text) or code in _DEAD_CODES else "soft"


def _telling(part: list[str]) -> list[str]:
    """The lines with a status or reply code, and those that go on with them."""
    telling: list[str] = []
    goes_on = 0
    for line in part[:_MOST_OF_PART]:
        if _CODE.search(line) or _REPLY.search(line):
            goes_on = 3
        goes_on = goes_on - 1 if line.strip() else 0
        if goes_on > 0:
            telling.append(line)
    return telling


def beginning(mail: Mail) -> list[str]:
    """The beginning of what is written in `mail`, of HTML where there is no other text."""
    text = mail.text or ""
    if not text.strip():
        text = _without_style((mail.html or "")[:_MOST_CHARACTERS])
        text = _BREAK.sub("\n", text)
        text = unescape(_TAG.sub(" ", text))
    return [line[:_LONGEST_LINE] for line in text[:_MOST_CHARACTERS].splitlines()[:_MOST_LINES]]


def _without_style(html: str) -> str:
    kept: list[str] = []
    small, at = html.lower(), 0
    while (start := small.find("<style", at)) >= 0:
        kept.append(html[at:start])
        end = small.find("</style", start)
        at = end if end >= 0 else len(html)
    return "".join([*kept, html[at:]])


def _split(said: list[str]) -> tuple[list[str], list[str]]:
    """What the mail system says, and the mail that it returns."""
    for number, line in enumerate(said):
        if _ENDS_HEAD.match(line) and any(one.strip() for one in said[:number]):
            return said[:number], said[number:]
    return said, []


def _headers(returned: list[str]) -> Mapping[str, tuple[str, ...]]:
    """The first block of header fields in a returned mail; text before it is passed over."""
    found: dict[str, list[str]] = {}
    name = ""
    for quoted in returned:
        line = quoted.removeprefix("> ").removeprefix(">")
        match = re.match(r"([!-9;-~]{1,76}):\s?(.*)", line)
        if match and " " not in match[1]:
            name = match[1].lower()
            found.setdefault(name, []).append(match[2].strip())
        elif name and line[:1] in (" ", "\t"):
            found[name][-1] = f"{found[name][-1]} {line.strip()}"
        elif found and not line.strip() and len(found) > 1:
            break
    return {name: tuple(values) for name, values in found.items()}


def _message_id(mail: Mail, original: Mapping[str, tuple[str, ...]]) -> str | None:
    for value in original.get("message-id", ()):
        return value.strip().strip("<>").strip() or None
    return next(iter((*mail.in_reply_to, *reversed(mail.references))), None)


def _unique(found: list[Bounce]) -> list[Bounce]:
    kept: dict[str, Bounce] = {}
    for one in found:
        kept.setdefault(one.recipient.lower(), one)
    return list(kept.values())[:_MOST_RECIPIENTS]


def _clean(text: str) -> str:
    text = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in text)
    return " ".join(text.split())[:_LONGEST_REASON]
