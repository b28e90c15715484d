"""What providers told us takes effect: a message asks for a draft, a status moves a delivery."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from countersign.channels import deliveries
from countersign.channels.envelope import Envelope
from countersign.channels.messages import DeliveryStatus, InboundMessage
from countersign.channels.tables import Channel, WebhookDelivery
from countersign.conversations import inbound, locking, outbound
from countersign.conversations.inbound import Arrival, Content, Received
from countersign.drafting import overtaking, requests
from countersign.knowledge import unembedded
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
    reply_keys: Sequence[str] = field(default=(), repr=False)
    """What reply addresses are made with, where there is a mail."""


def take_effect(session: TenantSession, webhooks: Sequence[Webhook], now: datetime) -> None:
    """Let each event of the tenant's webhooks take effect, once.

    What cannot be read is recorded as rejected: to be told it again would not help.
    """
    channels, here = inbound.look_up(session, _messages(webhooks))
    known = [webhook for webhook in webhooks if webhook.envelope.channel_id in channels]
    if len(known) < len(webhooks):
        logger.warning("webhooks came for channels that do not exist any more")
    _receive(session, channels, here, known, now)
    for webhook in known:
        for event in webhook.events:
            if isinstance(event, DeliveryStatus):
                _follow(session, webhook, event, now)


def _messages(webhooks: Sequence[Webhook]) -> dict[UUID, set[str]]:
    """The external ids of the messages that are told of, by channel."""
    told: dict[UUID, set[str]] = {webhook.envelope.channel_id: set() for webhook in webhooks}
    for webhook in webhooks:
        told[webhook.envelope.channel_id] |= {
            known_as
            for event in webhook.events
            if isinstance(event, InboundMessage)
            for known_as in event.external_ids
        }
    return told


def _receive(
    session: TenantSession,
    channels: Mapping[UUID, Channel],
    here: dict[tuple[UUID, str], Content],
    webhooks: Sequence[Webhook],
    now: datetime,
) -> None:
    """Take in the messages that are not `here` yet.

    Events come before conversations, and sorted, so that nobody opens a conversation for what
    turns out to be told already, and no worker waits for another that waits for it.
    """
    rows = [_rejected(webhook) for webhook in webhooks if webhook.rejection]
    unheard: dict[tuple[UUID, str], Arrival] = {}
    for webhook in webhooks:
        for event in webhook.events:
            if isinstance(event, InboundMessage):
                arrival = _arrival(session, webhook, channels, here, event, now)
                rows.append(_told(webhook, arrival, here))
                key = arrival.channel.id, event.provider_event_id
                if arrival.key not in here and key not in unheard:
                    unheard[key] = arrival
                    here[arrival.key] = arrival.content
    new = _first_tellings(session, rows)
    arrivals = [arrival for event, arrival in unheard.items() if event in new]
    conversations = inbound.lock_or_open(session, arrivals)
    received = inbound.receive(session, conversations, arrivals, now)
    unembedded.promise(session, [one.message.id for one in received])
    if received:
        _ask_for_drafts(session, received, now)
    _hear_of_bounces(session, webhooks, received, now)


def _arrival(
    session: TenantSession,
    webhook: Webhook,
    channels: Mapping[UUID, Channel],
    here: Mapping[tuple[UUID, str], Content],
    message: InboundMessage,
    now: datetime,
) -> Arrival:
    channel, correlation_id = channels[webhook.envelope.channel_id], webhook.envelope.correlation_id
    if message.mail is None:
        return Arrival(channel, message, correlation_id)
    # Few channels have mail: the others start without the room of it.
    from countersign.conversations import floods, letters, threads

    message, letter = letters.understand(message, channel)
    for known_as in message.external_ids:
        message = replace(message, external_id=known_as)
        told = here.get((channel.id, known_as))
        if told is None:
            message = threads.place(session, channel, message, letter, webhook.reply_keys, now)
            break
        if told[1] == message.text:
            message = replace(message, conversation_external_id=told[0])
            break
    if letter.silence is None and floods.is_one(session, channel.id, message, now):
        letter = replace(letter, silence="flood")
    return Arrival(channel, message, correlation_id, letter)


def _told(
    webhook: Webhook, arrival: Arrival, here: Mapping[tuple[UUID, str], Content]
) -> dict[str, Any]:
    """A message's row; rejected where its id names another one that is here."""
    row = _row(webhook, arrival.message.provider_event_id)
    if here.get(arrival.key, arrival.content) != arrival.content:
        row |= {"status": "rejected", "reason": "duplicate_message_id"}
    return row


def _ask_for_drafts(session: TenantSession, received: Sequence[Received], now: datetime) -> None:
    """The newest message of each conversation asks for a draft; all before it is overtaken."""
    newest = {one.conversation.id: one for one in received if _is_heard(one)}
    conversations = [one.conversation for one in newest.values()]
    overtaken = overtaking.overtake(session, conversations, "newer_message", now)
    events: dict[UUID, list[audit.Event]] = defaultdict(list)
    for one in received:
        events[one.conversation.id].append(one.event)
        if one.arrival.letter and one.arrival.letter.silence:
            reason = one.arrival.letter.silence
            events[one.conversation.id].append(requests.decline(session, one.message, reason, now))
            newest.pop(one.conversation.id, None)
    requests.open_requests(
        session,
        [one.message for one in newest.values()],
        now,
        correlation_ids={one.message.id: one.arrival.correlation_id for one in newest.values()},
    )
    for conversation_id, stopped in overtaken.items():
        events[conversation_id] += stopped
    audit.append_all(session, events, now)


def _is_heard(one: Received) -> bool:
    return one.arrival.letter is None or one.arrival.letter.is_heard


def _hear_of_bounces(
    session: TenantSession,
    webhooks: Sequence[Webhook],
    received: Sequence[Received],
    now: datetime,
) -> None:
    """A mail server's report moves the deliveries that it is about, as a provider's event does."""
    for one in received:
        if one.arrival.letter and one.arrival.letter.silence == "bounce":
            for status in one.arrival.letter.statuses(one.message, now):
                _follow(session, webhooks[0], status, now)


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
        once.returning(WebhookDelivery.channel_id, WebhookDelivery.provider_event_id),
        sorted(rows, key=lambda row: (row["channel_id"], row["provider_event_id"])),
    )
    return {(row.channel_id, row.provider_event_id) for row in new}
