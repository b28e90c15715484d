"""Conversations and their messages, as the API shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import select

from countersign.channels.tables import Channel, Delivery
from countersign.conversations import keeping, recipients, schemas
from countersign.conversations.tables import Attachment, Conversation, Message
from countersign.identity.members import Member, members
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import NotFound

URL_SECONDS = 300
"""How long the address of a file is good: to be followed at once, and not to be passed on."""


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
    files = _attachments(session, {message.id: message for message, _ in rows})
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
        recipients=mail_recipients(message),
        authentication=authentication(message),
        author=names[message.author_user_id] if message.author_user_id else None,
        sent_at=message.sent_at,
        cancelled_at=message.cancelled_at,
        attachments=files[message.id],
        delivery=schemas.Delivery.model_validate(delivery) if delivery else None,
    )


def mail_recipients(message: Message) -> schemas.MailRecipients | None:
    """Whom a mail is from and for; None for any other message."""
    if not message.recipients:
        return None
    differences = {name: message.metadata_.get(name, []) for name in recipients.DIFFERENCES}
    return schemas.MailRecipients(**message.recipients, **differences)


def authentication(message: Message) -> schemas.Authentication | None:
    """What was found out about the sender of a mail; None for any other message, whose metadata are
    its sender's own."""
    found = message.metadata_.get("authentication") if message.raw_key else None
    return schemas.Authentication.model_validate(found) if found else None


def _attachments(
    session: TenantSession, messages: Mapping[UUID, Message]
) -> dict[UUID, list[schemas.Attachment]]:
    by_message: dict[UUID, list[schemas.Attachment]] = defaultdict(list)
    rows = session.scalars(
        select(Attachment)
        .where(Attachment.organization_id == session.organization_id)
        .where(Attachment.message_id.in_(messages))
        .order_by(Attachment.id)
    )
    for row in rows:
        assert row.message_id
        html = messages[row.message_id].body_html
        by_message[row.message_id].append(schemas.Attachment(**_attachment(row, html)))
    return by_message


def _attachment(row: Attachment, html: str | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "file_name": row.file_name,
        "mime_type": row.mime_type,
        "size_bytes": row.size_bytes,
        "content_id": row.content_id,
        "is_inline": _is_inline(row.content_id, html),
        "status": row.status,
        "reason": row.reason,
        "sha256": row.sha256,
    }


def _is_inline(content_id: str | None, html: str | None) -> bool:
    """Whether the HTML has an image whose address is `cid:` and that id (RFC 2392)."""
    if not content_id or not html:
        return False
    return any(f'"cid:{form}"' in html for form in (escape(content_id), quote(content_id)))


def attachment(
    session: TenantSession, attachment_id: UUID, bucket: str, now: datetime
) -> schemas.AttachmentFile:
    """A file or an upload, and for five minutes where in `bucket` it is. Raises `NotFound`."""
    row = session.get(Attachment, (session.organization_id, attachment_id))
    if row is None:
        raise NotFound("There is no such attachment here.")
    message = row.message_id and session.get(Message, (session.organization_id, row.message_id))
    is_there = row.status == "completed"
    return schemas.AttachmentFile(
        **_attachment(row, message.body_html if message else None),
        message_id=row.message_id,
        url=keeping.url(row, bucket, URL_SECONDS) if is_there else None,
        url_expires_at=now + timedelta(seconds=URL_SECONDS) if is_there else None,
    )


def upload(file: Attachment) -> schemas.Attachment:
    """An upload."""
    return schemas.Attachment(**_attachment(file, None))


def bodies(session: TenantSession, ids: Sequence[UUID]) -> list[audit.Body]:
    """The texts of the messages of those ids, and whom mails of ours went to, as audit events
    commit to them."""
    found = session.scalars(
        select(Message)
        .where(Message.organization_id == session.organization_id)
        .where(Message.id.in_(ids))
    ).all()
    texts = [audit.body(message.body_salt, message.body_text) for message in found]
    mails = [one for one in found if one.direction == "outbound" and one.recipients]
    return texts + [recipients.body(message) for message in mails]
