"""Mails that two programs write to each other without end, though neither says that it is one.

A contact form writes by one address for many people: so these mails wait for a person, undrafted.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Text, cast, func, select

from countersign.channels.messages import InboundMessage
from countersign.conversations.tables import Conversation, Message
from countersign.platform.db import TenantSession

WITHIN = timedelta(hours=1)
MOST_MAILS = 20
"""Of one sender within that time; no person writes more."""
MOST_EQUAL = 3
"""Of one sender with the same words."""


def is_one(
    session: TenantSession, channel_id: UUID, message: InboundMessage, now: datetime
) -> bool:
    """Whether one more mail to a channel is one of a loop: of its sender there are too many, in
    conversations that are theirs and in the one that it belongs to.

    By channel, since one mail may go to many in one go.
    """
    theirs = Conversation.customer_email == message.sender
    here = Conversation.external_id == message.conversation_external_id
    # A mail that names nobody in From is of whom its conversation is with.
    named = Message.recipients["sent_by"][0]["address"].astext
    writer = func.coalesce(named, cast(Conversation.customer_address, Text))
    of_sender, equal = session.execute(
        select(func.count(), func.count().filter(Message.body_text == message.text))
        .select_from(Conversation)
        .join(
            Message,
            (Message.organization_id == Conversation.organization_id)
            & (Message.conversation_id == Conversation.id),
        )
        .where(Conversation.organization_id == session.organization_id)
        .where(Conversation.channel_id == channel_id)
        .where(theirs | here)
        .where(func.lower(writer) == message.sender.lower())
        .where(Message.direction == "inbound")
        # Not by `sent_at`: that is what the program says.
        .where(Message.created_at > now - WITHIN)
    ).one()
    return bool(of_sender >= MOST_MAILS or equal >= MOST_EQUAL)
