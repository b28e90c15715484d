"""The one lock order: a conversation's row first, then whatever else of it changes."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Select, select

from countersign.channels.tables import Delivery
from countersign.conversations.tables import Conversation, Message
from countersign.platform.db import TenantSession
from countersign.platform.errors import NotFound


def lock(session: TenantSession, conversation_id: UUID) -> Conversation:
    """The conversation, locked to the end of the transaction. Raises `NotFound`."""
    return lock_where(session, _of_tenant(session).where(Conversation.id == conversation_id))


def lock_of_delivery(session: TenantSession, delivery_id: UUID) -> Conversation:
    """The conversation that a delivery belongs to, locked. Raises `NotFound`."""
    owner = select(Delivery.conversation_id).where(
        Delivery.organization_id == session.organization_id, Delivery.id == delivery_id
    )
    found = _of_tenant(session).where(Conversation.id == owner.scalar_subquery())
    return lock_where(session, found)


def lock_of_message(session: TenantSession, message_id: UUID) -> Conversation:
    """The conversation that a message belongs to, locked. Raises `NotFound`."""
    owner = select(Message.conversation_id).where(
        Message.organization_id == session.organization_id, Message.id == message_id
    )
    found = _of_tenant(session).where(Conversation.id == owner.scalar_subquery())
    return lock_where(session, found)


def lock_where(session: TenantSession, query: Select[Conversation]) -> Conversation:
    """The one conversation that `query` finds, locked. Raises `NotFound`."""
    locking = query.with_for_update(of=Conversation).execution_options(populate_existing=True)
    found = session.scalars(locking).one_or_none()
    if found is None:
        raise NotFound("There is no such conversation here.")
    return found


def _of_tenant(session: TenantSession) -> Select[Conversation]:
    return select(Conversation).where(Conversation.organization_id == session.organization_id)
