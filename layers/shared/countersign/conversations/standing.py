"""Where a conversation stands with us: open, closed, or out of sight for a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from countersign.conversations import locking
from countersign.conversations.tables import Conversation
from countersign.identity.api_keys import Principal
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, Invalid

LONGEST_SNOOZE = timedelta(days=366)


def close(
    session: TenantSession, principal: Principal, conversation_id: UUID, now: datetime
) -> Conversation:
    """Call a conversation done until the customer writes again. Raises `NotFound`.

    What is on its way to the customer still goes. Closing what is closed changes nothing.
    """
    conversation = locking.lock(session, conversation_id)
    if conversation.status != "closed":
        conversation.status, conversation.snoozed_until = "closed", None
        _record(session, principal, conversation, "closed", now)
    return conversation


def reopen(
    session: TenantSession, principal: Principal, conversation_id: UUID, now: datetime
) -> Conversation:
    """Take a closed conversation up again; it waits for us if it did. Raises `NotFound`."""
    conversation = locking.lock(session, conversation_id)
    if conversation.status == "closed":
        conversation.status = "open"
        _record(session, principal, conversation, "reopened", now)
    return conversation


def snooze(
    session: TenantSession,
    principal: Principal,
    conversation_id: UUID,
    until: datetime,
    now: datetime,
) -> Conversation:
    """Leave an open conversation out of the feed until then, or until news of it comes.

    Raises `Invalid`, `Conflict` for a closed one, `NotFound`.
    """
    if not now < until <= now + LONGEST_SNOOZE:
        wrong = {"where": "until", "what": "Must be in the future, by a year at most"}
        raise Invalid("until is not in the year to come.", errors=[wrong])
    conversation = locking.lock(session, conversation_id)
    if conversation.status == "closed":
        raise Conflict("The conversation is closed; reopen it first.")
    if conversation.snoozed_until != until:
        conversation.snoozed_until = until
        _record(session, principal, conversation, "snoozed", now, until=until.isoformat())
    return conversation


def wake(
    session: TenantSession, principal: Principal, conversation_id: UUID, now: datetime
) -> Conversation:
    """End a snooze. Raises `NotFound`."""
    conversation = locking.lock(session, conversation_id)
    if conversation.snoozed_until is not None:
        conversation.snoozed_until = None
        _record(session, principal, conversation, "woken", now)
    return conversation


def _record(
    session: TenantSession,
    principal: Principal,
    conversation: Conversation,
    what: str,
    now: datetime,
    **data: Any,
) -> None:
    data["api_key_id"] = str(principal.api_key_id)
    event = audit.Event(f"conversation.{what}", principal.actor, data)
    audit.append(session, conversation.id, [event], now)
