"""What providers told us takes effect: a message asks for a draft, a status moves a delivery."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from countersign.channels import deliveries
from countersign.channels.envelope import Envelope
from countersign.channels.messages import DeliveryStatus, InboundMessage
from countersign.channels.tables import Channel, WebhookDelivery
from countersign.conversations import inbound, locking, outbound
from countersign.conversations.inbound import Arrival, Received
from countersign.drafting import overtaking, requests
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id
from countersign.platform.log import logger


@dataclass(frozen=True)
class Webhook:
    """A verified request, read: its events, or why they cannot be read."""

    envelope: Envelope
    events: Sequence[InboundMessage | DeliveryStatus]
    rejection: str | None = None


def take_in(session: TenantSession, webhooks: Sequence[Webhook], now: datetime) -> None:
    """Let each event of the tenant's webhooks take effect, once.

    What cannot be read is recorded as rejected: to be told it again would not help.
    """
    channels = _channels(session, webhooks)
    known = [webhook for webhook in webhooks if webhook.envelope.channel_id in channels]
    if len(known) < len(webhooks):
        logger.warning("webhooks came for channels that do not exist any more")
    _receive(session, channels, known, now)
    for webhook in known:
        for event in webhook.events:
            if isinstance(event, DeliveryStatus):
                _follow(session, webhook, event, now)


def _channels(session: TenantSession, webhooks: Iterable[Webhook]) -> dict[UUID, Channel]:
    found = session.scalars(
        select(Channel)
        .where(Channel.organization_id == session.organization_id)
        .where(Channel.id.in_({webhook.envelope.channel_id for webhook in webhooks}))
    )
    return {channel.id: channel for channel in found}


def _receive(
    session: TenantSession,
    channels: Mapping[UUID, Channel],
    webhooks: Sequence[Webhook],
    now: datetime,
) -> None:
    told = [
        (webhook, Arrival(channels[webhook.envelope.channel_id], event))
        for webhook in webhooks
        for event in webhook.events
        if isinstance(event, InboundMessage)
    ]
    conversations = inbound.lock_or_open(session, [arrival for _, arrival in told])
    rows = [_row(webhook, arrival.message.provider_event_id) for webhook, arrival in told]
    new = _first_tellings(session, rows + [_rejected(w) for w in webhooks if w.rejection])
    arrivals = [
        arrival
        for _, arrival in told
        if (arrival.channel.id, arrival.message.provider_event_id) in new
    ]
    received = inbound.receive(session, conversations, arrivals, now)
    if received:
        _ask_for_drafts(session, received, now)


def _ask_for_drafts(session: TenantSession, received: Sequence[Received], now: datetime) -> None:
    """The newest message of each conversation asks for a draft; all before it is overtaken."""
    newest = {one.conversation.id: one for one in received}
    conversations = [one.conversation for one in newest.values()]
    overtaken = overtaking.overtake(session, conversations, "newer_message", now)
    requests.open_requests(session, [one.message for one in newest.values()], now)
    events = {
        conversation_id: [one.event for one in received if one.conversation.id == conversation_id]
        + overtaken[conversation_id]
        for conversation_id in newest
    }
    audit.append_all(session, events, now)


def _follow(
    session: TenantSession, webhook: Webhook, status: DeliveryStatus, now: datetime
) -> None:
    row = _row(webhook, status.provider_event_id)
    delivery_id = deliveries.find(session, webhook.envelope.channel_id, status)
    if delivery_id is None:
        _first_tellings(session, [{**row, "status": "rejected", "reason": "no_such_delivery"}])
        return
    conversation = locking.lock_of_delivery(session, delivery_id)
    if _first_tellings(session, [row]):
        delivery = deliveries.apply_status(session, delivery_id, status)
        if delivery:
            outbound.record_outcome(session, conversation, delivery, now)


def _row(webhook: Webhook, event_id: str) -> dict[str, Any]:
    envelope = webhook.envelope
    return {
        "organization_id": envelope.organization_id,
        "id": new_id(),
        "channel_id": envelope.channel_id,
        "provider_event_id": event_id,
        "status": "accepted",
        "reason": None,
        "received_at": envelope.request.received_at,
    }


def _rejected(webhook: Webhook) -> dict[str, Any]:
    digest = hashlib.sha256(webhook.envelope.request.body).hexdigest()
    row = _row(webhook, f"sha256:{digest}")
    return {**row, "status": "rejected", "reason": webhook.rejection}


def _first_tellings(
    session: TenantSession, rows: Sequence[dict[str, Any]]
) -> set[tuple[UUID, str]]:
    """The (channel id, event id) of those events that are new; the unique key decides of two."""
    if not rows:
        return set()
    once = insert(WebhookDelivery).on_conflict_do_nothing(constraint="uq_webhook_deliveries_event")
    new = session.execute(
        once.returning(WebhookDelivery.channel_id, WebhookDelivery.provider_event_id), rows
    )
    return {(row.channel_id, row.provider_event_id) for row in new}
