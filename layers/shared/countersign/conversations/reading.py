"""Conversations and their messages, as the API shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from countersign.channels.tables import Channel, Delivery
from countersign.conversations import schemas
from countersign.conversations.tables import Attachment, Conversation, Message
from countersign.identity.members import Member, members
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import NotFound


def show(session: TenantSession, conversation_id: UUID) -> schemas.Conversation:
    """A conversation. Raises `NotFound`."""
    return shown(session, found(session, conversation_id))


def found(session: TenantSession, conversation_id: UUID) -> Conversation:
    """The row of a conversation. Raises `NotFound`."""
    conversation = session.get(Conversation, (session.organization_id, conversation_id))
    if conversation is None:
        raise NotFound("There is no such conversation here.")
    return conversation


def shown(session: TenantSession, conversation: Conversation) -> schemas.Conversation:
    """A conversation, whose row one has."""
    channel = session.get_one(Channel, (session.organization_id, conversation.channel_id))
    return picture(conversation, channel)


def picture(conversation: Any, channel: Any) -> schemas.Conversation:
    """A conversation, of objects that have the columns of its row and of its channel's."""
    return schemas.Conversation(
        id=conversation.id,
        channel=schemas.Channel(id=channel.id, type=channel.type, name=channel.name),
        kind=conversation.kind,
        status=conversation.status,
        subject=conversation.subject,
        customer=schemas.Customer(
            address=conversation.customer_address,
            name=conversation.customer_name,
            email=conversation.customer_email,
            person_id=conversation.person_id,
        ),
        assignee_id=conversation.assignee_id,
        waiting_since=conversation.waiting_since,
        snoozed_until=conversation.snoozed_until,
        latest_message_id=conversation.latest_message_id,
        last_message_at=conversation.last_message_at,
        created_at=conversation.created_at,
    )


def messages(session: TenantSession, ids: Sequence[UUID]) -> dict[UUID, schemas.Message]:
    """Messages by id, each with its delivery, its attachments and its author's name."""
    if not ids:
        return {}
    rows = session.execute(
        select(Message, Delivery)
        .outerjoin(
            Delivery,
            (Delivery.organization_id == Message.organization_id)
            & (Delivery.message_id == Message.id),
        )
        .where(Message.organization_id == session.organization_id)
        .where(Message.id.in_(ids))
    ).all()
    names = members(session, [message.author_user_id for message, _ in rows])
    files = _attachments(session, ids)
    return {message.id: _message(message, delivery, names, files) for message, delivery in rows}


def _message(
    message: Message,
    delivery: Delivery | None,
    names: Mapping[UUID, Member],
    files: Mapping[UUID, list[schemas.Attachment]],
) -> schemas.Message:
    return schemas.Message(
        id=message.id,
        direction=message.direction,
        role=message.role,
        subject=message.subject,
        text=message.body_text,
        html=message.body_html,
        quoted_text=message.quoted_text,
        may_have_cut=message.may_have_cut,
        recipients=schemas.MailRecipients(**message.recipients) if message.recipients else None,
        author=names[message.author_user_id] if message.author_user_id else None,
        sent_at=message.sent_at,
        cancelled_at=message.cancelled_at,
        attachments=files[message.id],
        delivery=schemas.Delivery.model_validate(delivery) if delivery else None,
    )


def _attachments(
    session: TenantSession, message_ids: Sequence[UUID]
) -> dict[UUID, list[schemas.Attachment]]:
    by_message: dict[UUID, list[schemas.Attachment]] = defaultdict(list)
    rows = session.scalars(
        select(Attachment)
        .where(Attachment.organization_id == session.organization_id)
        .where(Attachment.message_id.in_(message_ids))
        .order_by(Attachment.id)
    )
    for row in rows:
        by_message[row.message_id].append(
            schemas.Attachment(
                id=row.id,
                file_name=row.file_name,
                mime_type=row.mime_type,
                size_bytes=row.size_bytes,
                content_id=row.content_id,
                status=row.status,
                reason=row.reason,
            )
        )
    return by_message


def bodies(session: TenantSession, ids: Sequence[UUID]) -> list[audit.Body]:
    """The texts of the messages of those ids, as audit events commit to them."""
    rows = session.execute(
        select(Message.body_salt, Message.body_text)
        .where(Message.organization_id == session.organization_id)
        .where(Message.id.in_(ids))
    )
    return [audit.body(salt, text) for salt, text in rows]
