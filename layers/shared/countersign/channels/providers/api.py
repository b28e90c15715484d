"""Any other system, by Standard Webhooks both ways. Credentials are `{"secret": "whsec_…", "url"}`.

It sends us `message.received`, `message.delivered` and `message.failed`; we send `message.send` to
its `url`, with the delivery's id as `webhook-id` on every try, by which it must deduplicate.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from countersign.channels.messages import (
    Accepted,
    ChannelType,
    DeliveryStatus,
    InboundMessage,
    Outgoing,
    Refused,
    SendResult,
    Unreached,
    WebhookRequest,
)
from countersign.channels.providers import (
    Credentials,
    ProviderSettings,
    no_files,
)
from countersign.channels.providers.calls import post
from countersign.platform import clock
from countersign.platform.calls import Answer
from countersign.platform.errors import Invalid, Unauthenticated, Unavailable
from countersign.platform.schemas import MAX_TEXT_CHARACTERS, faults

TYPES: Mapping[ChannelType, str] = {"api": ""}
CREDENTIALS = {"secret": "whsec_…", "url": "https://…"}
PARSED_HEADERS: tuple[str, ...] = ("webhook-id",)
ANSWER = ("application/json", '{"status":"accepted"}')
RESEND_IS_SAFE = True
MOST_CHARACTERS = MAX_TEXT_CHARACTERS
OPTED_OUT: frozenset[str] = frozenset()
fetch = no_files

REPLAY_WINDOW_SECONDS = 300
_MOST_METADATA_BYTES = 32 * 1024
_EXCERPT_CHARACTERS = 200
# The specification forbids full stops: they part what is signed.
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,255}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Key = Annotated[str, Field(min_length=1, max_length=255)]
Label = Annotated[str, Field(max_length=1000)]
Time = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC))]


def _storable(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Raise `ValueError` on what a JSON column cannot or should not hold: infinity, or too much."""
    if len(json.dumps(metadata, allow_nan=False)) > _MOST_METADATA_BYTES:
        raise ValueError(f"larger than {_MOST_METADATA_BYTES} bytes of JSON")
    return metadata


class _Model(BaseModel):
    model_config = ConfigDict(strict=True)


class Sender(_Model):
    """Who wrote: an address that replies go to, as the sending system knows it."""

    address: Annotated[str, Field(min_length=1, max_length=320)]
    name: Label | None = None


class Received(_Model):
    """A customer's message."""

    message_id: Key
    conversation_id: Key
    sender: Sender
    subject: Label | None = None
    text: Annotated[str, Field(min_length=1)]
    sent_at: Time | None = None
    metadata: Annotated[dict[str, JsonValue], AfterValidator(_storable)] = {}


class Failure(_Model):
    """Why a message of ours did not arrive."""

    code: Key
    reason: Label


class Settled(_Model):
    """What became of a message of ours."""

    delivery_id: UUID
    error: Failure | None = None


class ReceivedEvent(_Model):
    """`message.received`."""

    type: Literal["message.received"]
    timestamp: Time
    data: Received


class SettledEvent(_Model):
    """`message.delivered` or `message.failed`."""

    type: Literal["message.delivered", "message.failed"]
    timestamp: Time
    data: Settled


_EVENT: TypeAdapter[ReceivedEvent | SettledEvent] = TypeAdapter(
    Annotated[ReceivedEvent | SettledEvent, Field(discriminator="type")]
)


def verify(request: WebhookRequest, credentials: Sequence[Credentials], now: datetime) -> None:
    """Raise `Unauthenticated` unless one of the signatures is ours and the time within 5 minutes.

    Signed is `{webhook-id}.{webhook-timestamp}.{body}`, by HMAC-SHA256, as `v1,{base64}`; several
    signatures are parted by spaces (Standard Webhooks, "Signature scheme").
    """
    keys = [key for one in credentials if (key := _signing_key(one))]
    if not keys:
        raise Unavailable(
            "The channel's secret holds no signing secret of the form whsec_{base64}."
        )
    event_id, sent_at = _signed_headers(request.headers)
    if abs(now.timestamp() - sent_at) > REPLAY_WINDOW_SECONDS:
        raise Unauthenticated("webhook-timestamp is more than 5 minutes away from now.")
    given = [one.encode() for one in request.headers.get("webhook-signature", "").split()]
    expected = [_signature(key, event_id, sent_at, request.body).encode() for key in keys]
    if not any(hmac.compare_digest(mine, theirs) for mine in expected for theirs in given):
        raise Unauthenticated("webhook-signature is missing or was not made with this secret.")


def _signing_key(credentials: Credentials) -> bytes:
    """The key's bytes; none if the secret is absent or malformed."""
    secret = str(credentials.get("secret") or "").removeprefix("whsec_")
    try:
        return base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True)
    except ValueError:
        return b""


def _signed_headers(headers: Mapping[str, str]) -> tuple[str, int]:
    event_id = headers.get("webhook-id", "")
    if not _ID.fullmatch(event_id):
        raise Unauthenticated("webhook-id is missing, has a full stop, or exceeds 255 characters.")
    timestamp = headers.get("webhook-timestamp", "")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Unauthenticated("webhook-timestamp is missing or is not in whole Unix seconds.")
    return event_id, int(timestamp)


def _signature(key: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def check(request: WebhookRequest) -> None:
    """Raise `Invalid` with `errors`, a list of `{"where", "what"}` of all that is wrong."""
    _event(request.body)


def _event(body: bytes) -> ReceivedEvent | SettledEvent:
    try:
        event = _EVENT.validate_json(body)
    except ValidationError as error:
        # The union puts the event's type before the rest.
        raise _invalid(faults(error, "body", skip=1)) from None
    if _NUL.search(body):
        what = "The character U+0000 cannot be stored; leave it out"
        raise _invalid([{"where": "body", "what": what}])
    return event


def _invalid(wrong: list[dict[str, str]]) -> Invalid:
    return Invalid("The body is not an event of this channel; see errors.", errors=wrong)


def parse(request: WebhookRequest) -> list[InboundMessage | DeliveryStatus]:
    """The one message or status that the body tells; raises `Invalid` like `check`."""
    event = _event(request.body)
    event_id = request.headers["webhook-id"]
    if isinstance(event, ReceivedEvent):
        return [_message(event, event_id, request.received_at)]
    error = event.data.error
    return [
        DeliveryStatus(
            provider_event_id=event_id,
            status="delivered" if event.type == "message.delivered" else "failed",
            delivery_id=event.data.delivery_id,
            error_code=error.code if error else None,
            error_reason=error.reason if error else None,
            occurred_at=min(event.timestamp, request.received_at),
        )
    ]


def _message(event: ReceivedEvent, event_id: str, received_at: datetime) -> InboundMessage:
    data = event.data
    return InboundMessage(
        provider_event_id=event_id,
        external_id=data.message_id,
        conversation_external_id=data.conversation_id,
        sender=data.sender.address,
        sender_name=data.sender.name,
        subject=data.subject,
        text=data.text,
        # A sender's clock that is ahead must not keep a conversation on top for ever.
        sent_at=min(data.sent_at or event.timestamp, received_at),
        metadata=data.metadata,
    )


def send(delivery: Outgoing, credentials: Credentials, settings: ProviderSettings) -> SendResult:
    """POST `message.send` to the receiver; 2xx is sent, 429 and 5xx try again, all else refused.

    Raises `Unauthenticated` where the receiver does not know the signature (401).
    """
    if not (_signing_key(credentials) and credentials.get("url")):
        return Unreached(
            "The channel's secret holds no url or no secret of the form whsec_{base64}."
        )
    data: dict[str, Any] = {
        "delivery_id": str(delivery.delivery_id),
        "conversation_id": delivery.external_conversation_id,
        "recipient": delivery.recipient,
        "text": delivery.text,
    }
    if delivery.html is not None:
        data["html"] = delivery.html
    now = clock.now()
    event = {"type": "message.send", "timestamp": now.isoformat(), "data": data}
    body = json.dumps(event, ensure_ascii=False).encode()
    headers = _headers(delivery, credentials, int(now.timestamp()), body)
    return post(credentials["url"], headers, body, lambda answer: _settle(answer, delivery))


def _headers(
    delivery: Outgoing, credentials: Credentials, timestamp: int, body: bytes
) -> dict[str, str]:
    event_id = str(delivery.delivery_id)
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": _signature(_signing_key(credentials), event_id, timestamp, body),
    }


def _settle(answer: Answer, delivery: Outgoing) -> SendResult:
    if answer.ok:
        return Accepted(str(delivery.delivery_id))
    excerpt = answer.body[: 4 * _EXCERPT_CHARACTERS].decode(errors="replace").replace("\0", "")
    reason = f"The receiver answered {answer.status}: {excerpt[:_EXCERPT_CHARACTERS]}"
    if answer.status == 401:
        raise Unauthenticated(reason)
    return Refused(f"http_{answer.status}", reason)


def look_up(
    delivery: Outgoing, credentials: Credentials, settings: ProviderSettings, since: datetime
) -> list[str]:
    """Nothing: there is nowhere to look, and no need, for a resend is safe."""
    return []
