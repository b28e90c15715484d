"""A conversation has moved on: stop what was drafted, or approved and not yet handed over."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update

from countersign.channels import deliveries
from countersign.conversations import outbound
from countersign.conversations.tables import Conversation
from countersign.drafting import requests
from countersign.drafting.tables import Draft, DraftAction, DraftStatus, LearningSample
from countersign.platform import audit
from countersign.platform.db import TenantSession


def overtake(
    session: TenantSession, conversation: Conversation, reason: str, now: datetime
) -> list[audit.Event]:
    """Stop all that answers an earlier state of a locked conversation.

    Requests and the pending draft are superseded; a queued delivery is cancelled, its approver told
    and its draft superseded too. Returns the events, for the caller to append.
    """
    requests.supersede(session, conversation.id, reason)
    superseded = requests.supersede_drafts(session, conversation.id)
    events = [_superseded(draft_id, reason) for draft_id in superseded]
    for delivery in deliveries.cancel_queued(session, conversation.id, reason):
        assert delivery.message_id
        outbound.take_back(session, conversation, delivery.message_id, now)
        outbound.notify_author(session, delivery, "delivery_cancelled")
        events.append(_cancelled(delivery.id, delivery.message_id, reason))
        draft_id = revoke_approval(session, delivery.message_id, "superseded", now)
        events += [_superseded(draft_id, reason)] if draft_id else []
    return events


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
        "draft.superseded", outbound.SYSTEM, {"draft_id": str(draft_id), "reason": reason}
    )


def _cancelled(delivery_id: UUID, message_id: UUID, reason: str) -> audit.Event:
    data = {
        "delivery_id": str(delivery_id),
        "message_id": str(message_id),
        "reason_code": reason,
    }
    return audit.Event("delivery.cancelled", outbound.SYSTEM, data)
