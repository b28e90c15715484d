"""A conversation has moved on: stop what was drafted, or approved and not yet handed over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update

from countersign.channels import deliveries
from countersign.channels.tables import Delivery
from countersign.conversations import outbound
from countersign.conversations.tables import Conversation, Message
from countersign.drafting import requests
from countersign.drafting.tables import Draft, DraftAction, DraftStatus, LearningSample
from countersign.platform import audit
from countersign.platform.db import TenantSession


def overtake(
    session: TenantSession, conversations: Iterable[Conversation], reason: str, now: datetime
) -> dict[UUID, list[audit.Event]]:
    """Stop all that answers an earlier state of locked conversations.

    Requests and pending drafts are superseded; a queued delivery is cancelled, its approver told
    and its draft superseded too. Returns the events by conversation, for the caller to append.
    """
    by_id = {conversation.id: conversation for conversation in conversations}
    events: dict[UUID, list[audit.Event]] = {conversation_id: [] for conversation_id in by_id}
    requests.supersede(session, by_id, reason)
    for superseded, conversation_id in requests.supersede_drafts(session, by_id):
        events[conversation_id].append(_superseded(superseded, reason))
    for delivery in deliveries.cancel_queued(session, by_id, reason):
        assert delivery.conversation_id
        events[delivery.conversation_id] += _stop(
            session, by_id[delivery.conversation_id], delivery, reason, now
        )
    return events


def stopped(
    session: TenantSession, conversation: Conversation, delivery: Delivery, now: datetime
) -> None:
    """Follow a delivery that was cancelled when it was to be handed over.

    What was approved is superseded; another request is made, which says why there is no draft for
    as long as the reason lasts.
    """
    assert delivery.reason_code
    events = _stop(session, conversation, delivery, delivery.reason_code, now)
    audit.append(session, conversation.id, events, now)
    latest = conversation.latest_inbound_message_id
    if latest and latest == conversation.latest_message_id:
        trigger = session.get_one(Message, (session.organization_id, latest))
        revision = requests.next_revision(session, latest)
        requests.open_requests(session, [trigger], now, revision)


def _stop(
    session: TenantSession,
    conversation: Conversation,
    delivery: Delivery,
    reason: str,
    now: datetime,
) -> list[audit.Event]:
    """What follows from a cancelled delivery: its message is hidden, its author told, its draft
    superseded. Returns the events."""
    assert delivery.message_id
    outbound.take_back(session, conversation, delivery.message_id, now)
    outbound.notify_author(session, delivery, "delivery_cancelled")
    events = [_cancelled(delivery.id, delivery.message_id, reason)]
    draft_id = revoke_approval(session, delivery.message_id, "superseded", now)
    return events + ([_superseded(draft_id, reason)] if draft_id else [])


def answered(session: TenantSession, conversation: Conversation) -> list[audit.Event]:
    """Supersede what was pending or being drafted: a person's own words have answered.

    Returns the events, for the caller to append.
    """
    requests.supersede(session, [conversation.id], "answered")
    superseded = requests.supersede_drafts(session, [conversation.id])
    return [_superseded(draft_id, "answered") for draft_id, _ in superseded]


def revoke_approval(
    session: TenantSession, message_id: UUID, status: DraftStatus, now: datetime
) -> UUID | None:
    """Take back the action that made a message, with what was learnt from it.

    Its draft becomes `status`. Returns the draft's id; None for a message without a draft.
    """
    action = session.scalars(
        select(DraftAction)
        .where(DraftAction.organization_id == session.organization_id)
        .where(DraftAction.message_id == message_id)
        .where(DraftAction.revoked_at.is_(None))
    ).one_or_none()
    if action is None:
        return None
    action.revoked_at = now
    session.execute(
        delete(LearningSample)
        .where(LearningSample.organization_id == session.organization_id)
        .where(LearningSample.action_id == action.id)
    )
    session.execute(
        update(Draft)
        .where(Draft.organization_id == session.organization_id)
        .where(Draft.id == action.draft_id)
        .values(status=status)
    )
    return action.draft_id


def _superseded(draft_id: UUID, reason: str) -> audit.Event:
    return audit.Event(
        "draft.superseded", audit.SYSTEM, {"draft_id": str(draft_id), "reason": reason}
    )


def _cancelled(delivery_id: UUID, message_id: UUID, reason: str) -> audit.Event:
    data = {
        "delivery_id": str(delivery_id),
        "message_id": str(message_id),
        "reason_code": reason,
    }
    return audit.Event("delivery.cancelled", audit.SYSTEM, data)
