"""Tables of the channels room."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from countersign.channels.messages import ChannelType
from countersign.platform.columns import Tenant, citext, created, json, timestamp, word
from countersign.platform.db import Table

WebhookStatus = Literal["accepted", "rejected"]
DeliveryState = Literal["queued", "sending", "sent", "delivered", "failed", "unknown", "cancelled"]
AttemptOutcome = Literal["accepted", "refused", "throttled", "unreached", "unknown"]


class Channel(Tenant, Table):
    """A way in and out (seeds: Channel, ChannelConfig).

    `external_id` is our own address on it, such as a phone number. A mail channel's mail may come
    in at another, the `inbound_address`. The credentials are a secret named after the channel's id;
    the row holds none.
    """

    __tablename__ = "channels"

    type: Mapped[ChannelType] = word()
    provider: Mapped[str]
    external_id: Mapped[str]
    inbound_address: Mapped[str | None] = citext()
    name: Mapped[str]
    metadata_: Mapped[dict[str, Any]] = json("metadata", server_default="{}")
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class WebhookDelivery(Tenant, Table):
    """One event of a provider, known by its own id: what makes a second telling harmless."""

    __tablename__ = "webhook_deliveries"

    channel_id: Mapped[UUID]
    provider_event_id: Mapped[str]
    status: Mapped[WebhookStatus] = word()
    reason: Mapped[str | None]
    received_at: Mapped[datetime] = timestamp()
    created_at: Mapped[datetime] = created()


class Delivery(Tenant, Table):
    """Something to be sent once: its rendered payload, its recipient and what became of it.

    `fence` grows with each lease; a worker may store its result only while it holds the newest.
    `may_have_arrived` says that a try ended without the provider's yes or no; `stop_reason` why
    nothing more is to be tried, once a call under way has ended.
    `message_id` and `conversation_id` point into a later room and may be absent.
    """

    __tablename__ = "deliveries"

    channel_id: Mapped[UUID]
    conversation_id: Mapped[UUID | None]
    message_id: Mapped[UUID | None]
    status: Mapped[DeliveryState] = word(server_default="queued")
    sender: Mapped[str]
    recipient: Mapped[str]
    payload: Mapped[dict[str, Any]] = json()
    not_before: Mapped[datetime] = timestamp()
    fence: Mapped[int] = mapped_column(server_default="0")
    leased_until: Mapped[datetime | None] = timestamp()
    attempts: Mapped[int] = mapped_column(server_default="0")
    may_have_arrived: Mapped[bool] = mapped_column(server_default="false")
    stop_reason: Mapped[str | None]
    provider_message_id: Mapped[str | None]
    reason_code: Mapped[str | None]
    reason: Mapped[str | None]
    sent_at: Mapped[datetime | None] = timestamp()
    delivered_at: Mapped[datetime | None] = timestamp()
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class DeliveryAttempt(Tenant, Table):
    """One call to the provider; begun before the call, so that a crash leaves its trace."""

    __tablename__ = "delivery_attempts"

    delivery_id: Mapped[UUID]
    number: Mapped[int]
    outcome: Mapped[AttemptOutcome | None] = word()
    provider_message_id: Mapped[str | None]
    reason_code: Mapped[str | None]
    reason: Mapped[str | None]
    started_at: Mapped[datetime] = timestamp()
    finished_at: Mapped[datetime | None] = timestamp()
