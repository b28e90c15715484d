"""What a provider told us takes effect: a message asks for a draft, a status moves a delivery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from countersign.channels import deliveries
from countersign.channels.envelope import Envelope
from countersign.channels.messages import DeliveryStatus, InboundMessage
from countersign.channels.tables import Channel, Delivery, WebhookDelivery, WebhookStatus
from countersign.conversations import inbound, locking, outbound
from countersign.drafting import overtaking, requests
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import NotFound
from countersign.platform.ids import new_id


def take_in(
    session: TenantSession,
    envelope: Envelope,
    events: Sequence[InboundMessage | DeliveryStatus],
    now: datetime,
) -> None:
    """Let each of a webhook's events take effect, once. Raises `NotFound` for no such channel."""
    channel = _channel(session, envelope)
    for event in events:
        if isinstance(event, InboundMessage):
            _receive(session, channel, event, envelope, now)
        else:
            _follow(session, channel, event, envelope, now)


def reject(session: TenantSession, envelope: Envelope, event_id: str, reason: str) -> None:
    """Record a verified webhook that cannot be read: telling it again would not help.

    Raises `NotFound` like `take_in`.
    """
    _channel(session, envelope)
    _is_new(session, envelope, event_id, "rejected", reason)


def _channel(session: TenantSession, envelope: Envelope) -> Channel:
    channel = session.get(Channel, (session.organization_id, envelope.channel_id))
    if channel is None:
        raise NotFound("The channel of this webhook does not exist any more.")
    return channel


def _receive(
    session: TenantSession,
    channel: Channel,
    message: InboundMessage,
    envelope: Envelope,
    now: datetime,
) -> None:
    conversation = inbound.lock_or_open(session, channel, message)
    if not _is_new(session, envelope, message.provider_event_id):
        return
    received = inbound.receive(session, conversation, message, now)
    if received is None:
        return
    overtaken = overtaking.overtake(session, conversation, "newer_message", now)
    requests.open_request(session, conversation.id, received.message.id, now)
    audit.append(session, conversation.id, [received.event, *overtaken], now)


def _follow(
    session: TenantSession,
    channel: Channel,
    status: DeliveryStatus,
    envelope: Envelope,
    now: datetime,
) -> None:
    delivery_id = deliveries.find(session, channel.id, status)
    if delivery_id is None:
        reject(session, envelope, status.provider_event_id, "no_such_delivery")
        return
    conversation = locking.lock_of_delivery(session, delivery_id)
    if not _is_new(session, envelope, status.provider_event_id):
        return
    delivery = _locked(session, delivery_id)
    if deliveries.apply_status(session, delivery, status):
        outbound.record_outcome(session, conversation, delivery, now)


def _locked(session: TenantSession, delivery_id: UUID) -> Delivery:
    return session.scalars(
        select(Delivery)
        .where(Delivery.organization_id == session.organization_id)
        .where(Delivery.id == delivery_id)
        .with_for_update()
    ).one()


def _is_new(
    session: TenantSession,
    envelope: Envelope,
    event_id: str,
    status: WebhookStatus = "accepted",
    reason: str | None = None,
) -> bool:
    """Whether this is the first telling of an event; the unique key decides between two at once."""
    row = insert(WebhookDelivery).values(
        organization_id=session.organization_id,
        id=new_id(),
        channel_id=envelope.channel_id,
        provider_event_id=event_id,
        status=status,
        reason=reason,
        received_at=envelope.request.received_at,
    )
    once = row.on_conflict_do_nothing(constraint="uq_webhook_deliveries_event")
    return session.scalar(once.returning(WebhookDelivery.id)) is not None
