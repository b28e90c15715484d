"""The feed: every open conversation that waits for us, the longest wait first.

One statement, by the index `ix_conversations_feed`; its plan is in docs/api.md.
"""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Row, text

from countersign.conversations.reading import picture
from countersign.conversations.schemas import Delivery
from countersign.drafting import schemas
from countersign.drafting.schemas import EXCERPT_CHARACTERS
from countersign.identity.members import Member
from countersign.platform import paging
from countersign.platform.db import TenantSession
from countersign.platform.paging import FIRST, PageQuery, Position

FEED = """
    SELECT to_jsonb(c) AS conversation, c.id, c.waiting_since,
           jsonb_build_object('id', h.id, 'type', h.type, 'name', h.name) AS channel,
           m.id AS message_id, left(m.body_text, :excerpt) AS message_text,
           length(m.body_text) <= :excerpt AS message_is_whole, m.sent_at AS message_sent_at,
           CASE WHEN m.raw_key IS NOT NULL THEN m.metadata -> 'authentication' END
               AS authentication,
           d.id AS draft_id, d.revision AS draft_revision, d.created_at AS draft_created_at,
           left(d.suggested_text, :excerpt) AS draft_text,
           length(d.suggested_text) <= :excerpt AS draft_is_whole,
           k.user_id, u.display_name, k.expires_at,
           to_jsonb(r) AS request, to_jsonb(y) AS delivery
    FROM (
        SELECT organization_id, id, channel_id, kind, status, subject, customer_address,
               customer_name, customer_email, person_id, assignee_id, waiting_since, snoozed_until,
               latest_message_id, latest_inbound_message_id, last_message_at, created_at
        FROM conversations
        WHERE organization_id = :organization_id
          AND status = 'open' AND waiting_since IS NOT NULL
          AND (snoozed_until IS NULL OR snoozed_until <= :now)
          AND (waiting_since, id) > (:after_at, :after_id)
        ORDER BY waiting_since, id
        LIMIT :rows
    ) c
    JOIN channels h ON h.organization_id = c.organization_id AND h.id = c.channel_id
    LEFT JOIN messages m
      ON m.organization_id = c.organization_id AND m.id = c.latest_inbound_message_id
    LEFT JOIN drafts d
      ON d.organization_id = c.organization_id AND d.conversation_id = c.id
     AND d.status = 'pending'
    LEFT JOIN draft_claims k
      ON k.organization_id = d.organization_id AND k.draft_id = d.id AND k.expires_at > :now
    LEFT JOIN users u ON u.id = k.user_id
    LEFT JOIN LATERAL (
        SELECT id, status, reason, revision, created_at FROM draft_requests
        WHERE organization_id = c.organization_id AND conversation_id = c.id
        ORDER BY created_at DESC, revision DESC
        LIMIT 1
    ) r ON true
    LEFT JOIN LATERAL (
        SELECT id, message_id, status, not_before, attempts, reason_code, reason,
               provider_message_id, sent_at, delivered_at
        FROM deliveries
        WHERE organization_id = c.organization_id AND conversation_id = c.id
        ORDER BY created_at DESC
        LIMIT 1
    ) y ON y.status IN ('failed', 'unknown')
    ORDER BY c.waiting_since, c.id
"""


def read(session: TenantSession, query: PageQuery, now: datetime) -> schemas.Feed:
    """A page of the feed as it is at `now`. Raises `Invalid` for a cursor that is none."""
    after = paging.decode(query.cursor) if query.cursor is not None else FIRST
    rows = session.execute(text(FEED), parameters(session, after, query.limit, now)).all()
    page, cursor = paging.cut(rows, query.limit, lambda row: Position(row.waiting_since, row.id))
    return schemas.Feed(items=[_item(row) for row in page], next_cursor=cursor)


def parameters(
    session: TenantSession, after: Position, limit: int, now: datetime
) -> dict[str, Any]:
    """What the statement is run with: one row more than a page shows whether there is another."""
    return {
        "organization_id": session.organization_id,
        "now": now,
        "after_at": after.at,
        "after_id": after.id,
        "rows": limit + 1,
        "excerpt": EXCERPT_CHARACTERS,
    }


def _item(row: Row[Any]) -> schemas.FeedItem:
    return schemas.FeedItem(
        conversation=picture(SimpleNamespace(**row.conversation), SimpleNamespace(**row.channel)),
        latest_inbound_message=_message(row),
        draft=_draft(row),
        request=schemas.DraftRequest.model_validate(row.request) if row.request else None,
        delivery=Delivery.model_validate(row.delivery) if row.delivery else None,
    )


def _message(row: Row[Any]) -> schemas.LatestMessage | None:
    if row.message_id is None:
        return None
    excerpt = schemas.Excerpt(text=row.message_text, is_whole=row.message_is_whole)
    return schemas.LatestMessage(
        id=row.message_id,
        excerpt=excerpt,
        authentication=row.authentication,
        sent_at=row.message_sent_at,
    )


def _draft(row: Row[Any]) -> schemas.PendingDraft | None:
    if row.draft_id is None:
        return None
    claim = None
    if row.user_id:
        member = Member(id=row.user_id, name=row.display_name)
        claim = schemas.Claim(user=member, expires_at=row.expires_at)
    return schemas.PendingDraft(
        id=row.draft_id,
        revision=row.draft_revision,
        excerpt=schemas.Excerpt(text=row.draft_text, is_whole=row.draft_is_whole),
        created_at=row.draft_created_at,
        claim=claim,
    )
