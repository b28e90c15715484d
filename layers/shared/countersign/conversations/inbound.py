"""Customers' messages enter their conversations: once, however often a provider tells of them.

A whole batch goes in by a few statements of many rows each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from countersign.channels.messages import Consent, InboundMessage
from countersign.channels.tables import Channel
from countersign.conversations.tables import Attachment, Conversation, Message, Participant
from countersign.people import directory
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id


@dataclass(frozen=True)
class Arrival:
    """A message that a provider told of, and the channel it came by."""

    channel: Channel
    message: InboundMessage

    @property
    def thread(self) -> tuple[UUID, str]:
        """What names its conversation: the channel, and the provider's id within it."""
        return self.channel.id, self.message.conversation_external_id


@dataclass(frozen=True)
class Received:
    """A message that is new here, in its locked conversation, and the event that records it."""

    conversation: Conversation
    message: Message
    event: audit.Event


Conversations = Mapping[tuple[UUID, str], Conversation]
"""Locked conversations by channel and external id."""


def lock_or_open(session: TenantSession, arrivals: Sequence[Arrival]) -> Conversations:
    """The conversations that messages belong to, made where there are none, their rows locked.

    Conversations of SMS and WhatsApp are one to a customer's address; they are reopened. All
    workers lock in one order, so that none waits for another that waits for it.
    """
    by_thread = {arrival.thread: arrival for arrival in arrivals}
    if not by_thread:
        return {}
    new = insert(Conversation)
    # An update that changes nothing locks the row, whichever of two first messages made it.
    locking = new.on_conflict_do_update(
        constraint="uq_conversations_channel_id_external_id",
        set_={"external_id": new.excluded.external_id},
    ).returning(Conversation)
    locked = session.scalars(
        locking,
        [_opened(session, by_thread[thread]) for thread in sorted(by_thread)],
        execution_options={"populate_existing": True},
    )
    return {(found.channel_id, found.external_id): found for found in locked}


def _opened(session: TenantSession, arrival: Arrival) -> dict[str, Any]:
    message, type_ = arrival.message, arrival.channel.type
    address = directory.bare(message.sender)
    return {
        "organization_id": session.organization_id,
        "id": new_id(),
        "channel_id": arrival.channel.id,
        "external_id": message.conversation_external_id,
        "subject": message.subject,
        "customer_address": message.sender,
        "customer_name": message.sender_name,
        "customer_email": address if directory.kind_of(address) == "email" else None,
        "sms_id": address if type_ == "sms" else None,
        "whatsapp_id": address if type_ == "whatsapp" else None,
    }


def receive(
    session: TenantSession,
    conversations: Conversations,
    arrivals: Sequence[Arrival],
    now: datetime,
) -> list[Received]:
    """Add messages to their locked conversations; those that are there already are left out."""
    added = _insert(session, conversations, arrivals)
    _introduce(session, conversations, arrivals)
    received = []
    for arrival in arrivals:
        message = added.pop((arrival.channel.id, arrival.message.external_id), None)
        if message:
            conversation = conversations[arrival.thread]
            _wait_for_us(conversation, message, now)
            _attach(session, message, arrival.message)
            _heed(session, arrival.message)
            event = _recorded(conversation, message, arrival.message.consent)
            received.append(Received(conversation, message, event))
    return received


def _insert(
    session: TenantSession, conversations: Conversations, arrivals: Sequence[Arrival]
) -> dict[tuple[UUID, str | None], Message]:
    """The messages that are new, by channel and external id."""
    rows = [
        {
            "organization_id": session.organization_id,
            "id": new_id(),
            "conversation_id": conversations[arrival.thread].id,
            "channel_id": arrival.channel.id,
            "external_id": arrival.message.external_id,
            "direction": "inbound",
            "role": "user",
            "subject": arrival.message.subject,
            "body_text": arrival.message.text,
            "body_salt": audit.new_salt(),
            "sent_at": arrival.message.sent_at,
            "metadata_": dict(arrival.message.metadata),
        }
        for arrival in arrivals
    ]
    if not rows:
        return {}
    once = insert(Message).on_conflict_do_nothing(constraint="uq_messages_channel_id_external_id")
    added = session.scalars(once.returning(Message), rows)
    return {(message.channel_id, message.external_id): message for message in added}


def _introduce(
    session: TenantSession, conversations: Conversations, arrivals: Sequence[Arrival]
) -> None:
    """Say of conversations that are new which person they are with."""
    strangers = {
        arrival.thread: arrival.message
        for arrival in arrivals
        if conversations[arrival.thread].person_id is None
    }
    names = {message.sender: message.sender_name for message in strangers.values()}
    people = directory.people_at(session, names)
    for thread, message in strangers.items():
        conversation = conversations[thread]
        conversation.person_id = people[message.sender]
        session.add(
            Participant(
                organization_id=session.organization_id,
                conversation_id=conversation.id,
                address=message.sender,
                name=message.sender_name,
                person_id=conversation.person_id,
            )
        )


def _wait_for_us(conversation: Conversation, message: Message, now: datetime) -> None:
    conversation.status = "open"
    conversation.snoozed_until = None
    conversation.waiting_since = conversation.waiting_since or now
    conversation.last_message_at = conversation.latest_inbound_at = now
    conversation.latest_message_id = conversation.latest_inbound_message_id = message.id


def _attach(session: TenantSession, message: Message, inbound: InboundMessage) -> None:
    for media in inbound.media:
        session.add(
            Attachment(
                organization_id=session.organization_id,
                message_id=message.id,
                file_name=media.url.rsplit("/", 1)[-1],
                mime_type=media.mime_type,
                file_url=media.url,
            )
        )


def _heed(session: TenantSession, inbound: InboundMessage) -> None:
    if inbound.consent == "opted_out":
        directory.suppress(session, inbound.sender, directory.OPTED_OUT)
    elif inbound.consent == "opted_in":
        directory.opt_in(session, inbound.sender)


def _recorded(conversation: Conversation, message: Message, consent: Consent | None) -> audit.Event:
    data = {
        "message_id": str(message.id),
        "channel_id": str(conversation.channel_id),
        "external_id": message.external_id,
        "body_commitment": audit.commitment(message.body_salt, message.body_text),
    }
    if consent:
        data["consent"] = consent
    return audit.Event(
        "message.received", audit.Actor("customer", str(conversation.person_id)), data
    )
