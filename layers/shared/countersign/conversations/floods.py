"""Mails that two programs write to each other without end, though neither says that it is one.

A contact form writes by one address for many people: so these mails wait for a person, undrafted.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select

from countersign.conversations.tables import Conversation, Message
from countersign.platform.db import TenantSession

WITHIN = timedelta(hours=1)
MOST_MAILS = 20
"""Of one sender within that time; no person writes more."""
MOST_EQUAL = 3
"""Of one sender with the same words."""


def is_one(session: TenantSession, channel_id: UUID, sender: str, text: str, now: datetime) -> bool:
    """Whether one more mail of `sender` to a channel, saying `text`, is one of a loop.

    By channel, since one mail may go to many in one go.
    """
    of_sender, equal = session.execute(
        select(func.count(), func.count().filter(Message.body_text == text))
        .select_from(Conversation)
        .join(
            Message,
            (Message.organization_id == Conversation.organization_id)
            & (Message.conversation_id == Conversation.id),
        )
        .where(Conversation.organization_id == session.organization_id)
        .where(Conversation.channel_id == channel_id)
        .where(Conversation.customer_email == sender)
        .where(Message.direction == "inbound")
        .where(Message.sent_at > now - WITHIN)
    ).one()
    return bool(of_sender >= MOST_MAILS or equal >= MOST_EQUAL)
