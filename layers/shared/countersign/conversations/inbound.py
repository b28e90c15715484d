"""A customer's message enters its conversation: once, however often the provider tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert

from countersign.channels.messages import InboundMessage
from countersign.channels.tables import Channel
from countersign.conversations.tables import Attachment, Conversation, Message, Participant
from countersign.people import directory
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id

_ID_COLUMN = {"sms": "sms_id", "whatsapp": "whatsapp_id"}


@dataclass(frozen=True)
class Received:
    """A message that is new here, in its locked conversation, and the event that records it."""

    conversation: Conversation
    message: Message
    event: audit.Event


def lock_or_open(session: TenantSession, channel: Channel, inbound: InboundMessage) -> Conversation:
    """The conversation that `inbound` belongs to, made if there is none, its row locked.

    Conversations of SMS and WhatsApp are one to a customer's address; they are reopened.
    """
    address = directory.bare(inbound.sender)
    known_as = {_ID_COLUMN[channel.type]: address} if channel.type in _ID_COLUMN else {}
    new = insert(Conversation).values(
        organization_id=session.organization_id,
        id=new_id(),
        channel_id=channel.id,
        external_id=inbound.conversation_external_id,
        subject=inbound.subject,
        customer_address=inbound.sender,
        customer_name=inbound.sender_name,
        customer_email=address if directory.kind_of(address) == "email" else None,
        **known_as,
    )
    # An update that changes nothing locks the row, whichever of two first messages made it.
    locked = new.on_conflict_do_update(
        constraint="uq_conversations_channel_id_external_id",
        set_={"external_id": new.excluded.external_id},
    ).returning(Conversation)
    return session.scalars(locked, execution_options={"populate_existing": True}).one()


def receive(
    session: TenantSession, conversation: Conversation, inbound: InboundMessage, now: datetime
) -> Received | None:
    """Add `inbound` to its locked conversation; None if the message is there already."""
    message = _insert(session, conversation, inbound)
    if message is None:
        return None
    if conversation.person_id is None:
        _introduce(session, conversation, inbound)
    _attach(session, message, inbound)
    conversation.status = "open"
    conversation.snoozed_until = None
    conversation.waiting_since = conversation.waiting_since or now
    conversation.last_message_at = conversation.latest_inbound_at = now
    conversation.latest_message_id = conversation.latest_inbound_message_id = message.id
    return Received(conversation, message, _recorded(conversation, message, inbound))


def _insert(
    session: TenantSession, conversation: Conversation, inbound: InboundMessage
) -> Message | None:
    new = insert(Message).values(
        organization_id=session.organization_id,
        id=new_id(),
        conversation_id=conversation.id,
        channel_id=conversation.channel_id,
        external_id=inbound.external_id,
        direction="inbound",
        role="user",
        subject=inbound.subject,
        body_text=inbound.text,
        body_salt=audit.new_salt(),
        sent_at=inbound.sent_at,
        metadata_=dict(inbound.metadata),
    )
    once = new.on_conflict_do_nothing(constraint="uq_messages_channel_id_external_id")
    return session.scalars(once.returning(Message)).one_or_none()


def _introduce(session: TenantSession, conversation: Conversation, inbound: InboundMessage) -> None:
    conversation.person_id = directory.person_at(session, inbound.sender, inbound.sender_name)
    session.add(
        Participant(
            organization_id=session.organization_id,
            conversation_id=conversation.id,
            address=inbound.sender,
            name=inbound.sender_name,
            person_id=conversation.person_id,
        )
    )


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


def _recorded(conversation: Conversation, message: Message, inbound: InboundMessage) -> audit.Event:
    return audit.Event(
        "message.received",
        audit.Actor("customer", str(conversation.person_id)),
        {
            "message_id": str(message.id),
            "channel_id": str(conversation.channel_id),
            "external_id": inbound.external_id,
            "body_commitment": audit.commitment(message.body_salt, message.body_text),
            "attachments": len(inbound.media),
        },
    )
