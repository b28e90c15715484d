"""What SendGrid posts: a mail that came in (a form with the raw mail), or events of ours (JSON).

https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from countersign.channels.messages import (
    DeliveryStatus,
    InboundMessage,
    RawMail,
    Status,
    Suppression,
    WebhookRequest,
)
from countersign.channels.providers import mails
from countersign.mail.verdicts import Verdict, Verdicts, verdict
from countersign.platform.errors import Invalid

ATTEMPT = "cs_attempt"
"""The custom argument that names a try. Events have a field `attempt` of their own."""

_MOST_FIELDS = 64
_SPAM_SCORE = 5.0  # SpamAssassin's own threshold, of which SendGrid posts the score
_BOUNDARY = re.compile(r"boundary=(?:\"([^\"\r\n]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_NAME = re.compile(rb"name=\"([^\"\r\n]{0,100})\"")
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_DKIM = re.compile(r"@([^\s:,{}]{1,253})\s*:\s*([A-Za-z]{1,20})")
_REASON_CHARACTERS = 500
_DROPPED: dict[str, Suppression] = {
    "bounced address": "bounced",
    "invalid": "bounced",
    "spam reporting address": "complained",
    "unsubscribed address": "unsubscribed",
}
_STATUSES: dict[str, Status] = {
    "processed": "sent",
    "deferred": "deferred",
    "delivered": "delivered",
    "bounce": "bounced",
    "dropped": "failed",
    # Who complains or unsubscribes has got it.
    "spamreport": "delivered",
    "unsubscribe": "delivered",
    "group_unsubscribe": "delivered",
}
_SUPPRESSIONS: dict[str, Suppression] = {
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}


def is_mail(request: WebhookRequest) -> bool:
    """Whether a mail came in: a form, where events are JSON."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def message(request: WebhookRequest) -> InboundMessage:
    """The mail in a form, whose bytes are of any charset. Raises `Invalid` if there is none.

    SendGrid gives it no id: it is known by its bytes and whom it was brought for.
    """
    fields = _fields(request)
    raw = fields.get("email")
    if raw is None:
        raise Invalid("The form lacks email: Inbound Parse must post the raw, full MIME message.")
    sender, recipients = _envelope(fields.get("envelope", b""))
    mail = RawMail(raw=raw, verdicts=_verdicts(fields, sender, recipients))
    event_id = hashlib.sha256(raw + "\0".join(sorted(recipients)).encode()).hexdigest()
    return mails.message(mail, event_id, request.received_at)


def _fields(request: WebhookRequest) -> dict[str, bytes]:
    """The fields of the form as they came (RFC 7578), of one twice the first.

    The boundary is SendGrid's invention, which no mail can foresee.
    """
    match = _BOUNDARY.search(request.headers.get("content-type", ""))
    if not match:
        raise Invalid("The form's content type names no boundary.")
    boundary = (match[1] or match[2]).encode("latin-1", "replace")
    between = re.compile(rb"\r?\n--" + re.escape(boundary))
    parts = between.split(b"\r\n" + request.body, maxsplit=_MOST_FIELDS + 1)[1:]
    if len(parts) > _MOST_FIELDS:
        raise Invalid(f"The form has more than {_MOST_FIELDS} fields.")
    found: dict[str, bytes] = {}
    for part in parts:
        end = _EMPTY_LINE.search(part)
        name = _NAME.search(part, 0, end.start()) if end else None
        if end and name:
            found.setdefault(name[1].decode("latin-1").lower(), part[end.end() :])
    return found


def _envelope(raw: bytes) -> tuple[str | None, tuple[str, ...]]:
    """From whom and for whom the mail was brought; the senders of bounces are ''."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return None, ()
    sender, to = found.get("from"), found.get("to")
    recipients = tuple(one for one in to if isinstance(one, str)) if isinstance(to, list) else ()
    return (sender.strip("<> ") if isinstance(sender, str) else None), recipients


def _verdicts(
    fields: Mapping[str, bytes], sender: str | None, recipients: tuple[str, ...]
) -> Verdicts:
    """SendGrid evaluates no DMARC, and tells of DKIM as `{@example.com : pass}`."""
    text = {name: fields.get(name, b"").decode("utf-8", "replace")[:10_000] for name in _SAID}
    signatures = [(domain.lower(), verdict(word)) for domain, word in _DKIM.findall(text["dkim"])]
    words = [word for _, word in signatures] or [verdict(text["dkim"].strip("{} "))]
    ranks: tuple[Verdict, ...] = ("pass", "fail", "none")
    return Verdicts(
        spf=verdict(text["spf"]),
        dkim=next((one for one in ranks if one in words), "unknown"),
        spam=_is_spam(text["spam_score"]),
        envelope_from=sender,
        envelope_to=recipients,
        authenticated=tuple(dict.fromkeys(d for d, word in signatures if word == "pass")),
    )


_SAID = ("spf", "dkim", "spam_score")


def _is_spam(score: str) -> bool | None:
    try:
        return float(score) >= _SPAM_SCORE
    except ValueError:
        return None


def statuses(request: WebhookRequest) -> Iterator[DeliveryStatus]:
    """What the events say became of our mails; nothing of other events, nor of those that name no
    mail. Raises `Invalid`."""
    try:
        events = json.loads(request.body)
    except (ValueError, RecursionError):
        raise Invalid("The body is neither JSON nor a form.") from None
    if not isinstance(events, list):
        raise Invalid("The body is no list of events.")
    for event in events:
        if isinstance(event, dict) and _text(event, "event") in _STATUSES:
            told = _status(event, request.received_at)
            if told.attempt_id or told.provider_message_id:
                yield told


def _status(event: Mapping[str, Any], received_at: datetime) -> DeliveryStatus:
    kind = _text(event, "event") or ""
    event_id = _text(event, "sg_event_id")
    if not event_id:
        raise Invalid(f"An event {kind} has no sg_event_id.")
    reason = _text(event, "reason") or _text(event, "response")
    failed = kind in ("bounce", "dropped", "deferred")
    return DeliveryStatus(
        provider_event_id=event_id[:255],
        status=_STATUSES[kind],
        attempt_id=_attempt_id(event),
        provider_message_id=_message_id(event),
        recipient=_text(event, "email"),
        suppress=_suppression(kind, event),
        error_code=(_text(event, "status") or _text(event, "type") or kind) if failed else None,
        error_reason=reason[:_REASON_CHARACTERS] if failed and reason else None,
        occurred_at=_time(event, received_at),
    )


def _suppression(kind: str, event: Mapping[str, Any]) -> Suppression | None:
    """A bounce of the type `blocked` or `expired` is no fault of the address: SendGrid itself goes
    on sending there."""
    if kind == "bounce":
        return "bounced" if _text(event, "type") in ("bounce", None) else None
    if kind == "dropped":
        return _DROPPED.get((_text(event, "reason") or "").lower())
    return _SUPPRESSIONS.get(kind)


def _attempt_id(event: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(_text(event, ATTEMPT) or "")
    except ValueError:
        return None


def _message_id(event: Mapping[str, Any]) -> str | None:
    """The X-Message-Id that `mail/send` answered: `sg_message_id` to its first full stop.

    A bounce that came late has none; the id that SendGrid gave the mail then begins with it.
    """
    found = (_text(event, "sg_message_id") or "").partition(".")[0]
    return found or (_text(event, "smtp-id") or "").strip("<> ").partition("@")[0] or None


def _time(event: Mapping[str, Any], received_at: datetime) -> datetime:
    try:
        return min(datetime.fromtimestamp(float(event["timestamp"]), UTC), received_at)
    except (LookupError, ValueError, TypeError, OverflowError, OSError):
        return received_at


def _text(event: Mapping[str, Any], name: str) -> str | None:
    """A text of the event, as Postgres stores it."""
    found = event.get(name)
    if not isinstance(found, str):
        return None
    return found.replace("\0", "").encode("utf-8", "replace").decode() or None
