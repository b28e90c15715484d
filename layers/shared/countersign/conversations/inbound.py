"""Customers' messages enter their conversations: once, however often a provider tells of them.

A whole batch goes in by a few statements of many rows each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from countersign.channels.messages import Consent, InboundMessage
from countersign.channels.tables import Channel
from countersign.conversations import attachments
from countersign.conversations.participants import Participation, take_part
from countersign.conversations.tables import Attachment, Conversation, Message
from countersign.people import directory
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import Unavailable
from countersign.platform.ids import new_id

if TYPE_CHECKING:
    from countersign.conversations.letters import Letter

Content = tuple[str, str]
"""The external id of a message's conversation, and its text."""


@dataclass(frozen=True)
class Arrival:
    """A message that a provider told of, and the channel it came by."""

    channel: Channel
    message: InboundMessage
    correlation_id: str
    letter: Letter | None = None
    """What a mail holds besides."""

    @property
    def thread(self) -> tuple[UUID, str]:
        """What names its conversation: the channel, and the provider's id within it."""
        return self.channel.id, self.message.conversation_external_id

    @property
    def key(self) -> tuple[UUID, str]:
        """What names the message itself: the channel, and the provider's id within it."""
        return self.channel.id, self.message.external_id

    @property
    def content(self) -> Content:
        """What is said, and where."""
        return self.message.conversation_external_id, self.message.text


@dataclass(frozen=True)
class Received:
    """A message that is new here, in its locked conversation, and the event that records it."""

    conversation: Conversation
    message: Message
    event: audit.Event
    arrival: Arrival


Conversations = Mapping[tuple[UUID, str], Conversation]
"""Locked conversations by channel and external id."""


def look_up(
    session: TenantSession, told: Mapping[UUID, Collection[str]]
) -> tuple[dict[UUID, Channel], dict[tuple[UUID, str], Content]]:
    """Of messages' external ids by channel: the channels, and the messages, that are here.

    One statement for both, and no lock: a message that is not here may be on its way.
    """
    found = session.execute(
        select(Channel, Message.external_id, Conversation.external_id, Message.body_text)
        .outerjoin(
            Message,
            (Message.organization_id == Channel.organization_id)
            & (Message.channel_id == Channel.id)
            & Message.external_id.in_(set().union(*told.values())),
        )
        .outerjoin(
            Conversation,
            (Conversation.organization_id == Message.organization_id)
            & (Conversation.id == Message.conversation_id),
        )
        .where(Channel.organization_id == session.organization_id)
        .where(Channel.id.in_(told))
    ).all()
    channels = {channel.id: channel for channel, *_ in found}
    return channels, {(row[0].id, row[1]): (row[2], row[3]) for row in found if row[1] is not None}


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
    """Add messages that `look_up` did not find to their locked conversations.

    Raises `Unavailable` if one came to be here meanwhile: another time it is found.
    """
    added = _insert(session, conversations, arrivals)
    if len(added) < len(arrivals):
        raise Unavailable("Another worker has just taken in a message with the id of one of these.")
    _introduce(session, conversations, arrivals)
    received = []
    for arrival in arrivals:
        conversation, message = conversations[arrival.thread], added[arrival.key]
        if arrival.letter is None or arrival.letter.is_heard:
            _wait_for_us(conversation, message, now)
        _attach(session, message, arrival)
        _heed(session, arrival.message)
        event = _recorded(conversation, message, arrival.message.consent)
        received.append(Received(conversation, message, event, arrival))
    return received


def _insert(
    session: TenantSession, conversations: Conversations, arrivals: Sequence[Arrival]
) -> dict[tuple[UUID, str | None], Message]:
    """The messages that are new, by `Arrival.key`."""
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
            **(arrival.letter.row() if arrival.letter else {}),
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
    """Say of conversations that are new which person they are with, and who else takes part."""
    new = [one for one in arrivals if conversations[one.thread].person_id is None]
    people = directory.people_at(
        session, {one.message.sender: one.message.sender_name for one in new}
    )
    for arrival in new:
        conversations[arrival.thread].person_id = people[arrival.message.sender]
    taking_part = [
        one
        for arrival in arrivals
        if arrival in new or arrival.letter
        for one in _taking_part(conversations[arrival.thread], arrival)
    ]
    take_part(session, taking_part)


def _taking_part(conversation: Conversation, arrival: Arrival) -> Iterator[Participation]:
    sender = arrival.message
    yield Participation(conversation, "customer", sender.sender, sender.sender_name)
    if arrival.letter:
        for address, name in arrival.letter.copied:
            yield Participation(conversation, "copied", address, name)


def _wait_for_us(conversation: Conversation, message: Message, now: datetime) -> None:
    conversation.status = "open"
    conversation.snoozed_until = None
    conversation.waiting_since = conversation.waiting_since or now
    conversation.last_message_at = conversation.latest_inbound_at = now
    conversation.latest_message_id = conversation.latest_inbound_message_id = message.id


def _attach(session: TenantSession, message: Message, arrival: Arrival) -> None:
    files = [
        Attachment(
            file_name=media.url.rsplit("/", 1)[-1], mime_type=media.mime_type, file_url=media.url
        )
        for media in arrival.message.media
    ]
    letter = arrival.letter
    if letter:
        files += letter.attachments()
    refused = "virus" if letter and letter.silence == "virus" else None
    attachments.note(session, message, files, arrival.correlation_id, refused)


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
