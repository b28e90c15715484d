"""What passes between the channels room and its providers: the words that every provider shares."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from countersign.mail.model import Address, Mail
    from countersign.mail.verdicts import Verdicts
    from countersign.mail.writing import File

ChannelType: TypeAlias = Literal[
    "email", "chat", "shopify", "slack", "whatsapp", "sms", "messenger", "instagram", "api"
]
Status: TypeAlias = Literal["sent", "deferred", "delivered", "failed", "bounced"]
"""`deferred`: its provider goes on trying. `failed`: it did not arrive, unless it is said to have.
`bounced`: it did not arrive, whatever was said before."""
Suppression: TypeAlias = Literal["bounced", "complained", "unsubscribed"]
Consent: TypeAlias = Literal["opted_out", "opted_in"]


@dataclass(frozen=True, kw_only=True)
class WebhookRequest:
    """A request as it was sent: the public URL with its query, header names in lower case."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime


@dataclass(frozen=True)
class Media:
    """A file of a message, at its provider."""

    url: str
    mime_type: str


@dataclass(frozen=True, kw_only=True)
class RawMail:
    """A mail as it came, and what is known of it besides: its envelope, and who vouches for it."""

    raw: bytes = field(repr=False)
    verdicts: Verdicts

    @functools.cached_property
    def parsed(self) -> Mail:
        """What it says; read once. Raises `Invalid` if it is no mail."""
        # It is large, and who sends or takes webhooks needs it not.
        from countersign.mail import reading

        return reading.read(self.raw)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the whole, in hex."""
        return hashlib.sha256(self.raw).hexdigest()

    def brought_to(self, addresses: tuple[str, ...]) -> RawMail:
        """The same mail, as if for these of its envelope's addresses alone."""
        narrowed = replace(self, verdicts=replace(self.verdicts, envelope_to=addresses))
        # One mail may be for many channels: what is large is read once, and there once.
        vars(narrowed).update(parsed=self.parsed, digest=self.digest)
        return narrowed

    def key(self, organization_id: UUID, channel_id: UUID) -> str:
        """Where the whole of it is kept: in one place, however often it comes."""
        return f"mail/{organization_id}/{channel_id}/{self.digest}.eml"


@dataclass(frozen=True, kw_only=True)
class InboundMessage:
    """A message to us. Addresses are the provider's own, such as `+15550100` or `whatsapp:+1555…`.

    `provider_event_id` is the same for each telling of one event; `external_id` names the message
    and `conversation_external_id` the conversation, both within the channel. `consent` is what the
    provider itself takes the message to say, so that it refuses, or no longer, what we send.
    A `mail` comes whole.
    """

    provider_event_id: str
    external_id: str
    conversation_external_id: str
    sender: str
    sender_name: str | None = None
    recipient: str | None = None
    subject: str | None = None
    text: str
    sent_at: datetime
    media: tuple[Media, ...] = ()
    consent: Consent | None = None
    mail: RawMail | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def external_ids(self) -> tuple[str, ...]:
        """`external_id`, then what names a mail that has another's: some programs give each mail
        the same Message-ID, and none may be lost for that."""
        if self.mail is None:
            return (self.external_id,)
        return self.external_id, f"{self.external_id}#{self.mail.digest[:16]}"


@dataclass(frozen=True, kw_only=True)
class DeliveryStatus:
    """What a provider says became of a message of ours, named by one or more of its ids.

    `recipient` is whom it speaks of, where a message may have several. That address is to be
    written to no more where `suppress` says why.
    """

    provider_event_id: str
    status: Status
    attempt_id: UUID | None = None
    delivery_id: UUID | None = None
    message_id: UUID | None = None
    provider_message_id: str | None = None
    recipient: str | None = None
    suppress: Suppression | None = None
    error_code: str | None = None
    error_reason: str | None = None
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class OutgoingMail:
    """What a mail has besides its text. Message ids stand without angle brackets.

    `message_id` is ours, and the same on every try. `to` and `cc` are all whom it goes to.
    """

    subject: str
    sender_name: str = ""
    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    message_id: str
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[File, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One try at sending one delivery; status events are asked for at `callback_url`.

    `recipient` is whom the delivery is for; a `mail` may go to others besides.
    """

    delivery_id: UUID
    attempt_id: UUID
    sender: str
    recipient: str
    text: str = field(repr=False)
    html: str | None = field(default=None, repr=False)
    external_conversation_id: str | None = None
    mail: OutgoingMail | None = field(default=None, repr=False)
    callback_url: str = field(repr=False)


@dataclass(frozen=True)
class Accepted:
    """The provider took the message; `note` says for whom not, where it went to several."""

    provider_message_id: str
    note: str | None = None


@dataclass(frozen=True)
class Refused:
    """The provider will never take this message; its own code and reason."""

    code: str
    reason: str


@dataclass(frozen=True)
class Throttled:
    """The provider asks to try later: after `retry_after` seconds, if it said so.

    It was at fault itself (5xx) where it `may_have_arrived` all the same.
    """

    retry_after: float | None
    reason: str
    may_have_arrived: bool = False


@dataclass(frozen=True)
class Unreached:
    """The provider surely never saw the message."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """The provider may have taken the message."""

    reason: str


SendResult: TypeAlias = Accepted | Refused | Throttled | Unreached | Unknown
