"""A conversation has moved on: stop what was drafted, or approved and not yet handed over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select

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
    and its draft superseded too; one that may have arrived is looked up instead. Returns the events
    by conversation, for the caller to append.
    """
    by_id = {conversation.id: conversation for conversation in conversations}
    events: dict[UUID, list[audit.Event]] = {conversation_id: [] for conversation_id in by_id}
    requests.supersede(session, by_id, reason)
    for superseded, conversation_id in requests.supersede_drafts(session, by_id):
        events[conversation_id].append(_superseded(superseded, reason))
    for delivery in deliveries.stop_all(session, by_id, reason, now):
        assert delivery.conversation_id
        conversation = by_id[delivery.conversation_id]
        if delivery.status == "cancelled":
            events[conversation.id] += _take_back(session, conversation, delivery, now)[0]
        else:
            events[conversation.id] += outbound.note_outcome(session, conversation, delivery, now)
    return events


def stopped(
    session: TenantSession, conversation: Conversation, delivery: Delivery, now: datetime
) -> None:
    """Follow a delivery that was cancelled when it was to be handed over.

    What was approved is superseded. If the customer still waits for that answer, there is another
    request, which says why there is no draft for as long as the reason lasts.
    """
    events, draft = _take_back(session, conversation, delivery, now)
    audit.append(session, conversation.id, events, now)
    if draft and draft.trigger_message_id == conversation.latest_message_id:
        trigger = session.get_one(Message, (session.organization_id, draft.trigger_message_id))
        revision = requests.next_revision(session, trigger.id)
        requests.open_requests(session, [trigger], now, revision)


def _take_back(
    session: TenantSession, conversation: Conversation, delivery: Delivery, now: datetime
) -> tuple[list[audit.Event], Draft | None]:
    """What follows from a cancelled delivery: its message is hidden, its author told, its draft
    superseded. Returns the events, and that draft."""
    assert delivery.message_id
    assert delivery.reason_code
    outbound.take_back(session, conversation, delivery.message_id, now)
    outbound.notify_author(session, delivery)
    events = [outbound.outcome(delivery)]
    draft = revoke_approval(session, delivery.message_id, "superseded", now)
    return events + ([_superseded(draft.id, delivery.reason_code)] if draft else []), draft


def answered(session: TenantSession, conversation: Conversation) -> list[audit.Event]:
    """Supersede what was pending or being drafted: a person's own words have answered.

    Returns the events, for the caller to append.
    """
    requests.supersede(session, [conversation.id], "answered")
    superseded = requests.supersede_drafts(session, [conversation.id])
    return [_superseded(draft_id, "answered") for draft_id, _ in superseded]


def revoke_approval(
    session: TenantSession, message_id: UUID, status: DraftStatus, now: datetime
) -> Draft | None:
    """Take back the action that made a message, with what was learnt from it.

    Its draft, which is returned, becomes `status`; None for a message without a draft.
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
    draft = session.get_one(Draft, (session.organization_id, action.draft_id))
    draft.status = status
    return draft


def _superseded(draft_id: UUID, reason: str) -> audit.Event:
    return audit.Event(
        "draft.superseded", audit.SYSTEM, {"draft_id": str(draft_id), "reason": reason}
    )
