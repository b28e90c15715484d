"""Draft requests: opened by a message, leased by a worker, settled with what came of them.

The caller holds the lock on the conversation's row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import func, select, update

from countersign.channels import lengths
from countersign.conversations.tables import Conversation, Message
from countersign.drafting.tables import Draft, DraftRequest
from countersign.identity.preferences import preferences
from countersign.people import directory
from countersign.platform import audit, outbox
from countersign.platform.db import TenantSession
from countersign.platform.errors import NotFound, Unavailable
from countersign.platform.ids import new_id
from countersign.platform.log import logger

LEASE = timedelta(seconds=150)
"""Longer than both model calls and the function's own timeout."""
MAX_ATTEMPTS = 5
"""Fewer than the queue's own tries, so that a request that no worker survives ends as failed."""
CONTEXT_MESSAGES = 12
"""How many of a conversation's newest messages a model is shown."""


@dataclass(frozen=True)
class Job:
    """A leased request with all that writing a draft needs, read in the lease's transaction."""

    request: DraftRequest
    messages: tuple[Message, ...]
    """The newest of the conversation, oldest first; the last is the one to answer."""
    most_characters: int
    """How long a reply its channel takes."""


def open_requests(
    session: TenantSession,
    triggers: Iterable[Message],
    now: datetime,
    revision: int = 1,
    correlation_ids: Mapping[UUID, str] = MappingProxyType({}),
) -> list[DraftRequest]:
    """Ask for a draft on each of the messages, after the organization's debounce time.

    `correlation_ids` has those of messages that did not begin with what is under way.
    """
    due = now + preferences(session).debounce
    opened = [
        _made(session, trigger, revision, due, correlation_ids.get(trigger.id))
        for trigger in triggers
    ]
    for request in opened:
        _promise(session, request)
    return opened


def decline(session: TenantSession, trigger: Message, reason: str, now: datetime) -> audit.Event:
    """Note that there will be no draft on a message, and why. Returns the event, to be appended."""
    request = _made(session, trigger, 1, now, None)
    request.status, request.reason = "abstained", reason
    return _ended(request)


def _made(
    session: TenantSession,
    trigger: Message,
    revision: int,
    not_before: datetime,
    correlation_id: str | None,
) -> DraftRequest:
    request = DraftRequest(
        organization_id=session.organization_id,
        id=new_id(),
        conversation_id=trigger.conversation_id,
        trigger_message_id=trigger.id,
        revision=revision,
        not_before=not_before,
        correlation_id=correlation_id or logger.get_correlation_id(),
    )
    session.add(request)
    return request


def supersede(session: TenantSession, conversation_ids: Iterable[UUID], reason: str) -> None:
    """End what is being drafted in conversations: it no longer answers their latest message."""
    session.execute(
        update(DraftRequest)
        .where(DraftRequest.organization_id == session.organization_id)
        .where(DraftRequest.conversation_id.in_(list(conversation_ids)))
        .where(DraftRequest.status.in_(("waiting", "drafting")))
        .values(status="superseded", reason=reason)
        .execution_options(synchronize_session=False)
    )


def supersede_drafts(
    session: TenantSession, conversation_ids: Iterable[UUID]
) -> list[tuple[UUID, UUID]]:
    """Make the pending drafts of conversations superseded; their ids, with the conversations'."""
    superseded = session.execute(
        update(Draft)
        .where(Draft.organization_id == session.organization_id)
        .where(Draft.conversation_id.in_(list(conversation_ids)))
        .where(Draft.status == "pending")
        .values(status="superseded")
        .returning(Draft.id, Draft.conversation_id)
        .execution_options(synchronize_session=False)
    )
    return [(row.id, row.conversation_id) for row in superseded]


def conversation_of(session: TenantSession, request_id: UUID) -> UUID:
    """The id of the conversation that a request is in, to lock it first. Raises `NotFound`."""
    found = session.scalar(
        select(DraftRequest.conversation_id)
        .where(DraftRequest.organization_id == session.organization_id)
        .where(DraftRequest.id == request_id)
    )
    if found is None:
        raise NotFound("There is no such draft request here.")
    return found


def claim(
    session: TenantSession, conversation: Conversation, request_id: UUID, now: datetime
) -> Job | None:
    """Lease a request that is due; None where there is nothing to do (any more, or yet).

    Raises `Unavailable` while another worker holds the lease: the queue tries again.
    """
    request = locked(session, request_id)
    if request is None or request.status not in ("waiting", "drafting"):
        return None
    if request.not_before > now:
        _promise(session, request)
        return None
    if request.status == "drafting" and request.leased_until and request.leased_until > now:
        raise Unavailable("Another worker is drafting this.")
    if request.attempts >= MAX_ATTEMPTS:
        end(session, request, "failed", "too_many_attempts", now)
        return None
    if directory.is_suppressed(session, conversation.customer_address):
        end(session, request, "abstained", "suppressed", now)
        return None
    # Who only opens requests starts without the room of models.
    from countersign.identity.budget import may_spend

    if not may_spend(session, now):
        end(session, request, "abstained", "daily_budget_spent", now)
        return None
    request.status = "drafting"
    request.fence += 1
    request.attempts += 1
    request.leased_until = now + LEASE
    most_characters = lengths.most_characters(session, conversation.channel_id)
    return Job(request, _context(session, request), most_characters)


def locked(session: TenantSession, request_id: UUID) -> DraftRequest | None:
    """The request, its row locked, as it is now."""
    return session.scalars(
        select(DraftRequest)
        .where(DraftRequest.organization_id == session.organization_id)
        .where(DraftRequest.id == request_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def retry(session: TenantSession, request: DraftRequest, after: timedelta, now: datetime) -> None:
    """Give a leased request back, to be tried again later."""
    request.status, request.leased_until = "waiting", None
    request.not_before = now + after
    _promise(session, request)


def end(
    session: TenantSession,
    request: DraftRequest,
    status: Literal["abstained", "failed"],
    reason: str,
    now: datetime,
) -> None:
    """There will be no draft: say why, in the request and on the record."""
    request.status, request.reason = status, reason
    audit.append(session, request.conversation_id, [_ended(request)], now)


def _ended(request: DraftRequest) -> audit.Event:
    data = {"draft_request_id": str(request.id), "reason": request.reason}
    return audit.Event(f"draft.{request.status}", audit.SYSTEM, data)


def correlation_id(session: TenantSession, draft: Draft) -> str | None:
    """That of what the draft began with."""
    return session.scalar(
        select(DraftRequest.correlation_id)
        .where(DraftRequest.organization_id == session.organization_id)
        .where(DraftRequest.trigger_message_id == draft.trigger_message_id)
        .where(DraftRequest.revision == draft.revision)
    )


def next_revision(session: TenantSession, message_id: UUID) -> int:
    """The number that another request for the same message gets."""
    newest = session.scalar(
        select(func.max(DraftRequest.revision))
        .where(DraftRequest.organization_id == session.organization_id)
        .where(DraftRequest.trigger_message_id == message_id)
    )
    return (newest or 0) + 1


def _promise(session: TenantSession, request: DraftRequest) -> None:
    body: dict[str, Any] = {
        "organization_id": str(session.organization_id),
        "draft_request_id": str(request.id),
    }
    outbox.enqueue(session, "drafts", body, request.not_before, request.correlation_id)


def _context(session: TenantSession, request: DraftRequest) -> tuple[Message, ...]:
    newest = session.scalars(
        select(Message)
        .where(Message.organization_id == session.organization_id)
        .where(Message.conversation_id == request.conversation_id)
        .where(Message.cancelled_at.is_(None))
        .order_by(Message.sent_at.desc(), Message.id.desc())
        .limit(CONTEXT_MESSAGES)
    ).all()
    trigger = session.get_one(Message, (session.organization_id, request.trigger_message_id))
    before = [message for message in reversed(newest) if message.id != trigger.id]
    return (*before, trigger)
