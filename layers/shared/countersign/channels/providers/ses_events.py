"""What SES tells by SNS: a mail that came in, or what became of one of ours.

The latter in two dialects: events of a configuration set (`eventType`), which bring back our tags,
and feedback of an identity (`notificationType`), which does not.
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html,
https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html and
https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from countersign.channels.messages import DeliveryStatus, Outgoing, Status, Suppression
from countersign.mail.verdicts import Verdicts, verdict
from countersign.platform.errors import Invalid

Event = Mapping[str, Any]

_PREFIX = "ses."
_SETUP = ("Successfully validated", "Amazon SES")
# The parts of a permanent bounce's kind that say that SES did not even try.
_NEVER_SENT = frozenset({"Suppressed", "OnAccountSuppressionList"})
_REASON_CHARACTERS = 500


@dataclass(frozen=True)
class Subject:
    """Which of our sends an event is about, as far as it says: `message_id` is SES's."""

    channel_key: str | None
    attempt_id: UUID | None
    message_id: str


@dataclass(frozen=True)
class Received:
    """A mail that came in: where its bytes lie, and what SES found. `event_id` is SES's for it."""

    event_id: str
    bucket: str
    key: str
    verdicts: Verdicts

    @property
    def recipients(self) -> tuple[str, ...]:
        """Whom it was brought for, Bcc included."""
        return self.verdicts.envelope_to


def tags(delivery: Outgoing) -> dict[str, str]:
    """The tags by which an event names the send: letters, digits, `_` and `-` alone are allowed,
    so that the channel key goes without its `ses.`."""
    key = urlsplit(delivery.callback_url).path.rpartition("/")[2]
    return {"channel": key.removeprefix(_PREFIX), "attempt": str(delivery.attempt_id)}


def read(message: str) -> dict[str, Any] | None:
    """The event in an SNS message; None for what AWS says when a topic is set up.

    Raises `Invalid` on anything else.
    """
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        if message.startswith(_SETUP):
            return None
        raise Invalid("The message is not JSON.") from None
    if not isinstance(event, dict) or not _kind(event):
        raise Invalid("The message is no event of SES: it has no eventType or notificationType.")
    return event


def _kind(event: Event) -> str:
    kind = event.get("eventType") or event.get("notificationType")
    return kind if isinstance(kind, str) else ""


def is_received(event: Event) -> bool:
    """Whether it is a mail that came in."""
    return _kind(event) == "Received"


def received(event: Event) -> Received:
    """Where the mail is that came in. Raises `Invalid` if it is not in S3."""
    receipt, mail = _part(event, "receipt"), _part(event, "mail")
    action = _part(receipt, "action")
    event_id, bucket, key = mail.get("messageId"), action.get("bucketName"), action.get("objectKey")
    if not (isinstance(event_id, str) and isinstance(bucket, str) and isinstance(key, str)):
        raise Invalid("The notification names no object in S3: its rule must have an S3 action.")
    source = mail.get("source")
    found = Verdicts(
        spf=verdict(_status(receipt, "spfVerdict")),
        dkim=verdict(_status(receipt, "dkimVerdict")),
        dmarc=verdict(_status(receipt, "dmarcVerdict")),
        spam=_found(_status(receipt, "spamVerdict")),
        virus=_found(_status(receipt, "virusVerdict")),
        # SES writes nothing, or <>, for the null return path.
        envelope_from=source.strip("<> ") if isinstance(source, str) else "",
        envelope_to=tuple(one for one in _list(receipt, "recipients") if isinstance(one, str)),
    )
    return Received(event_id, bucket, key, found)


def _status(receipt: Event, name: str) -> str:
    status = _part(receipt, name).get("status")
    return status if isinstance(status, str) else ""


def _found(status: str) -> bool | None:
    """Whether a scan found what it looks for; GRAY, a failed scan and none at all say nothing."""
    return {"FAIL": True, "PASS": False}.get(status)


def subject_of(event: Event) -> Subject:
    """Which send the event is about. Raises `Invalid` if it names no mail."""
    mail = _part(event, "mail")
    message_id = mail.get("messageId")
    if not isinstance(message_id, str) or not message_id:
        raise Invalid("The event names no mail: mail.messageId is missing.")
    given = _part(mail, "tags")
    channel, attempt = (_first(given, name) for name in ("channel", "attempt"))
    try:
        attempt_id = UUID(attempt) if attempt else None
    except ValueError:
        raise Invalid("The event's tag attempt is not a UUID.") from None
    return Subject(_PREFIX + channel if channel else None, attempt_id, message_id)


def source_of(event: Event) -> str:
    """The address that the mail was sent from, '' if the event does not say: what does not come of
    a configuration set has no tags."""
    return _address(_text(_part(event, "mail"), "source") or "")


def _first(given: Event, name: str) -> str | None:
    found = [one for one in _list(given, name) if isinstance(one, str)]
    return found[0] if found else None


def statuses(event: Event, received_at: datetime) -> list[DeliveryStatus]:
    """What the event says became of a mail, by recipient; none for what is nothing of the kind.

    The same event has the same ids in both dialects. Raises `Invalid`.
    """
    subject = subject_of(event)
    read_kind = _KINDS.get(_kind(event))
    if read_kind is None:
        return []
    name, tell = read_kind
    detail = _part(event, name)
    occurred_at = _time(detail, event, received_at)
    return [
        DeliveryStatus(
            provider_event_id=_event_id(one, detail, subject),
            status=one.status,
            attempt_id=subject.attempt_id,
            provider_message_id=subject.message_id,
            recipient=one.recipient,
            suppress=one.suppress,
            error_code=one.code,
            error_reason=one.reason[:_REASON_CHARACTERS] if one.reason else None,
            occurred_at=occurred_at,
        )
        for one in tell(detail)
    ]


@dataclass(frozen=True)
class _Told:
    """What an event says of one recipient, or with None of the whole mail."""

    status: Status
    recipient: str | None = None
    code: str | None = None
    reason: str | None = None
    suppress: Suppression | None = None


def _event_id(told: _Told, detail: Event, subject: Subject) -> str:
    feedback_id = detail.get("feedbackId")
    parts = [feedback_id if isinstance(feedback_id, str) else f"{subject.message_id}:{told.status}"]
    if told.status == "deferred":
        parts.append(str(detail.get("timestamp")))
    return ":".join([*parts, *([told.recipient.lower()] if told.recipient else [])])


def _time(detail: Event, event: Event, received_at: datetime) -> datetime:
    for text in (detail.get("timestamp"), _part(event, "mail").get("timestamp")):
        try:
            found = datetime.fromisoformat(str(text))
        except ValueError:
            continue
        if found.tzinfo:
            return min(found, received_at)
    return received_at


def _send(detail: Event) -> Iterator[_Told]:
    yield _Told("sent")


def _delivery(detail: Event) -> Iterator[_Told]:
    for recipient in _list(detail, "recipients"):
        if isinstance(recipient, str):
            yield _Told("delivered", _address(recipient))


def _delay(detail: Event) -> Iterator[_Told]:
    for recipient, one in _recipients(detail, "delayedRecipients"):
        code = _text(one, "status") or _text(detail, "delayType")
        yield _Told("deferred", recipient, code, _diagnosis(one) or _text(detail, "delayType"))


def _bounce(detail: Event) -> Iterator[_Told]:
    """Permanent: it will never arrive there. Transient may be an answer of an absent person, and
    Undetermined anything: neither takes back that the mail was delivered."""
    kind, part = _text(detail, "bounceType") or "", _text(detail, "bounceSubType") or ""
    for recipient, one in _recipients(detail, "bouncedRecipients"):
        code = _text(one, "status") or f"{kind}/{part}"
        reason = _diagnosis(one) or f"{kind}/{part}"
        if kind != "Permanent":
            yield _Told("failed", recipient, code, reason)
        elif part == "UnsubscribedRecipient":
            yield _Told("failed", recipient, code, reason, "unsubscribed")
        else:
            status: Status = "failed" if part in _NEVER_SENT else "bounced"
            yield _Told(status, recipient, code, reason, "bounced")


def _complaint(detail: Event) -> Iterator[_Told]:
    """Most providers do not say who complained: SES names all of that domain, and of several the
    one is not known."""
    feedback = _text(detail, "complaintFeedbackType")
    if feedback == "not-spam":
        return
    never_sent = _text(detail, "complaintSubType") == "OnAccountSuppressionList"
    found = list(_recipients(detail, "complainedRecipients"))
    suppress: Suppression | None = "complained" if len(found) == 1 else None
    for recipient, _ in found:
        status: Status = "failed" if never_sent else "delivered"
        yield _Told(status, recipient, "complaint", feedback or "complaint", suppress)


def _reject(detail: Event) -> Iterator[_Told]:
    yield _Told("failed", None, "reject", _text(detail, "reason"))


def _rendering_failure(detail: Event) -> Iterator[_Told]:
    yield _Told("failed", None, "rendering_failure", _text(detail, "errorMessage"))


# The kind of an event → the name of its object, and what reads that.
_KINDS = {
    "Send": ("send", _send),
    "Delivery": ("delivery", _delivery),
    "DeliveryDelay": ("deliveryDelay", _delay),
    "Bounce": ("bounce", _bounce),
    "Complaint": ("complaint", _complaint),
    "Reject": ("reject", _reject),
    "Rendering Failure": ("failure", _rendering_failure),
}


def _recipients(detail: Event, name: str) -> Iterator[tuple[str, Event]]:
    for one in _list(detail, name):
        if isinstance(one, dict) and isinstance(one.get("emailAddress"), str):
            yield _address(one["emailAddress"]), one


def _address(text: str) -> str:
    """Without a display name, which some bounces have."""
    return text[text.rfind("<") + 1 :].strip("<> ") if "<" in text else text.strip()


def _diagnosis(recipient: Event) -> str | None:
    return _text(recipient, "diagnosticCode") or _text(recipient, "diagnosticsCode")


def _text(value: Event, name: str) -> str | None:
    """A text of the event, as Postgres stores it."""
    found = value.get(name)
    return found.replace("\0", "") or None if isinstance(found, str) else None


def _part(value: Event, name: str) -> Event:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _list(value: Event, name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []
