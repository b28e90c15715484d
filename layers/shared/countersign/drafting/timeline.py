"""What happened in a conversation: its messages, and what people decided about drafts.

In the order in which we came to know it: a sender's clock may go wrong by hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text

from countersign.conversations import reading
from countersign.drafting import schemas
from countersign.drafting.tables import DraftAction
from countersign.identity.members import members
from countersign.platform import paging
from countersign.platform.db import TenantSession
from countersign.platform.paging import FIRST, LAST, Position

_PLACES = """
    SELECT type, at, id FROM (
        SELECT 'message' AS type, created_at AS at, id FROM messages
        WHERE organization_id = :organization_id AND conversation_id = :conversation_id
          AND (created_at, id) {after} (:at, :id)
        UNION ALL
        SELECT 'action', a.created_at, a.id FROM draft_actions a
        JOIN drafts d ON d.organization_id = a.organization_id AND d.id = a.draft_id
        WHERE d.organization_id = :organization_id AND d.conversation_id = :conversation_id
          AND (a.created_at, a.id) {after} (:at, :id)
    ) places
    ORDER BY at {order}, id {order}
    LIMIT :rows
"""
_ASCENDING = text(_PLACES.format(after=">", order="ASC"))
_DESCENDING = text(_PLACES.format(after="<", order="DESC"))


def read(
    session: TenantSession, conversation_id: UUID, query: schemas.TimelineQuery
) -> schemas.Timeline:
    """A conversation and a page of its timeline. Raises `NotFound`; `Invalid` for no cursor."""
    conversation = reading.show(session, conversation_id)
    places = _places(session, conversation_id, query)
    page, cursor = paging.cut(places, query.limit, lambda place: Position(place.at, place.id))
    items = _entries(session, page)
    return schemas.Timeline(conversation=conversation, items=items, next_cursor=cursor)


def _places(
    session: TenantSession, conversation_id: UUID, query: schemas.TimelineQuery
) -> Sequence[Row[Any]]:
    ascending = query.order == "asc"
    start = FIRST if ascending else LAST
    after = paging.decode(query.cursor) if query.cursor is not None else start
    bounds = {
        "organization_id": session.organization_id,
        "conversation_id": conversation_id,
        "at": after.at,
        "id": after.id,
        "rows": query.limit + 1,
    }
    return session.execute(_ASCENDING if ascending else _DESCENDING, bounds).all()


def _entries(
    session: TenantSession, places: Iterable[Row[Any]]
) -> list[schemas.MessageEntry | schemas.ActionEntry]:
    ids: dict[str, list[UUID]] = {"message": [], "action": []}
    for place in places:
        ids[place.type].append(place.id)
    messages = reading.messages(session, ids["message"])
    decided = {action.id: action for action in actions(session, DraftAction.id.in_(ids["action"]))}
    return [
        schemas.MessageEntry(type="message", at=place.at, message=messages[place.id])
        if place.type == "message"
        else schemas.ActionEntry(type="action", at=place.at, action=decided[place.id])
        for place in places
    ]


def actions(session: TenantSession, which: Any) -> list[schemas.DraftAction]:
    """The decisions that a condition on `DraftAction` chooses, the oldest first."""
    rows = session.scalars(
        select(DraftAction)
        .where(DraftAction.organization_id == session.organization_id, which)
        .order_by(DraftAction.created_at, DraftAction.id)
    ).all()
    names = members(session, [row.user_id for row in rows])
    return [
        schemas.DraftAction(
            id=row.id,
            draft_id=row.draft_id,
            type=row.type,
            user=names[row.user_id],
            reason_code=row.reason_code,
            notes=row.notes,
            final_text=row.final_text,
            diff=row.diff_json,
            message_id=row.message_id,
            revoked_at=row.revoked_at,
            created_at=row.created_at,
        )
        for row in rows
    ]
