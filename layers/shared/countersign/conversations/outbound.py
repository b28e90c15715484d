"""What we say, and what becomes of it: messages out, taken back, sent, failed.

Callers hold the lock on the conversation's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Row, select

from countersign.channels import deliveries
from countersign.channels.tables import Channel, Delivery, DeliveryState
from countersign.conversations.tables import Conversation, Message, Notification
from countersign.people import directory
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, Invalid
from countersign.platform.ids import new_id

if TYPE_CHECKING:
    from countersign.mail.model import Address


@dataclass(frozen=True)
class Chosen:
    """What a person chose for a message of ours besides its text; what is None is as usual."""

    to: tuple[Address, ...] | None = None
    cc: tuple[Address, ...] | None = None
    files: tuple[UUID, ...] = ()
    """Uploads that go along."""


AS_USUAL = Chosen()


def say(
    session: TenantSession,
    conversation: Conversation,
    text: str,
    author: UUID,
    not_before: datetime,
    now: datetime,
    chosen: Chosen = AS_USUAL,
) -> tuple[Message, Delivery]:
    """Add a message of ours, and put its delivery on the ledger.

    Raises `Conflict` if whom it goes to must not be written to, `Invalid` if they cannot be.
    """
    if chosen.to is None and directory.is_suppressed(session, conversation.customer_address):
        raise Conflict("The customer's address is suppressed: it must not be written to.")
    channel = session.get_one(Channel, (session.organization_id, conversation.channel_id))
    message = _add_message(session, conversation, text, author, now)
    recipient = conversation.customer_address
    payload: dict[str, Any] = {"text": text, "conversation": conversation.external_id}
    if channel.type == "email":
        # Few channels have mail: the others start without it.
        from countersign.conversations import mailing

        goes_to = mailing.address(session, conversation, channel, message, chosen)
        recipient = goes_to.to[0].address
        payload |= mailing.payload(message, mailing.attach(session, message, chosen))
    else:
        _check_is_as_usual(chosen)
    session.flush()
    delivery = deliveries.queue(
        session,
        channel_id=channel.id,
        conversation_id=conversation.id,
        message_id=message.id,
        sender=channel.external_id,
        recipient=recipient,
        payload=payload,
        not_before=not_before,
    )
    conversation.waiting_since = None
    conversation.last_message_at = now
    conversation.latest_message_id = message.id
    return message, delivery


def _check_is_as_usual(chosen: Chosen) -> None:
    wrong = [
        {"where": name, "what": "Only a mail's recipients can be chosen"}
        for name in ("to", "cc")
        if getattr(chosen, name) is not None
    ]
    if chosen.files:
        wrong.append({"where": "attachment_ids", "what": "Only a mail takes files along"})
    if wrong:
        raise Invalid("The conversation's channel is not one of mail.", errors=wrong)


def _add_message(
    session: TenantSession, conversation: Conversation, text: str, author: UUID, now: datetime
) -> Message:
    message = Message(
        organization_id=session.organization_id,
        id=new_id(),
        conversation_id=conversation.id,
        channel_id=conversation.channel_id,
        direction="outbound",
        role="assistant",
        body_text=text,
        body_salt=audit.new_salt(),
        author_user_id=author,
        sent_at=now,
    )
    session.add(message)
    return message


def take_back(
    session: TenantSession, conversation: Conversation, message_id: UUID, now: datetime
) -> None:
    """Hide a message that was never handed over: the conversation is as if it had not been said."""
    message = session.get_one(Message, (session.organization_id, message_id))
    message.cancelled_at = now
    _find_latest(session, conversation, now)


def _find_latest(session: TenantSession, conversation: Conversation, now: datetime) -> None:
    """Say again which message is the latest; it waits for us unless that is ours and gone out.

    Ids tell the order: they are made under the conversation's lock, times before it.
    """
    session.flush()
    said = _newest_said(session, conversation.id)
    heard, heard_at = conversation.latest_inbound_message_id, conversation.latest_inbound_at
    if said is None or (heard and heard > said.id):
        conversation.latest_message_id, conversation.last_message_at = heard, heard_at
        waits = heard is not None
    else:
        conversation.latest_message_id, conversation.last_message_at = said.id, said.sent_at
        waits = said.status in ("failed", "unknown")
    since = conversation.waiting_since or heard_at or now
    conversation.waiting_since = since if waits else None


def _newest_said(
    session: TenantSession, conversation_id: UUID
) -> Row[UUID, datetime, DeliveryState | None] | None:
    """The newest message of ours that was not taken back, with its delivery's status."""
    return session.execute(
        select(Message.id, Message.sent_at, Delivery.status)
        .outerjoin(
            Delivery,
            (Delivery.organization_id == Message.organization_id)
            & (Delivery.message_id == Message.id),
        )
        .where(Message.organization_id == session.organization_id)
        .where(Message.conversation_id == conversation_id)
        .where(Message.direction == "outbound")
        .where(Message.cancelled_at.is_(None))
        .order_by(Message.sent_at.desc(), Message.id.desc())
        .limit(1)
    ).first()


def record_outcome(
    session: TenantSession, conversation: Conversation, delivery: Delivery, now: datetime
) -> None:
    """Write down what became of a delivery that was not cancelled."""
    events = note_outcome(session, conversation, delivery, now)
    audit.append(session, conversation.id, events, now)


def note_outcome(
    session: TenantSession, conversation: Conversation, delivery: Delivery, now: datetime
) -> list[audit.Event]:
    """As `record_outcome`, but returns the events for the caller to append.

    What went wrong makes the conversation wait, in everyone's sight: nobody looks for a failed
    reply among what is closed or snoozed.
    """
    if delivery.status in ("failed", "unknown"):
        conversation.status, conversation.snoozed_until = "open", None
        conversation.waiting_since = conversation.waiting_since or now
        notify_author(session, delivery)
    else:
        went_out(session, conversation, delivery, now)
    return [outcome(delivery)]


def went_out(
    session: TenantSession, conversation: Conversation, delivery: Delivery, now: datetime
) -> None:
    """The customer has it, whatever we thought before: show it, and wait for it no longer."""
    message = session.get_one(Message, (session.organization_id, delivery.message_id))
    if message.cancelled_at:
        message.cancelled_at = None
        _find_latest(session, conversation, now)
    elif conversation.latest_message_id == message.id:
        conversation.waiting_since = None


def outcome(delivery: Delivery) -> audit.Event:
    """The event that records what became of a delivery."""
    return audit.Event(
        f"delivery.{delivery.status}",
        audit.SYSTEM,
        {
            "delivery_id": str(delivery.id),
            "message_id": str(delivery.message_id),
            "provider_message_id": delivery.provider_message_id,
            "reason_code": delivery.reason_code,
            "attempts": delivery.attempts,
        },
    )


def notify_author(session: TenantSession, delivery: Delivery) -> None:
    """Tell who wrote or approved a message what became of it."""
    message = session.get_one(Message, (session.organization_id, delivery.message_id))
    session.add(
        Notification(
            organization_id=session.organization_id,
            user_id=message.author_user_id,
            type=f"delivery_{delivery.status}",
            payload={
                "conversation_id": str(delivery.conversation_id),
                "message_id": str(delivery.message_id),
                "reason_code": delivery.reason_code,
            },
        )
    )
