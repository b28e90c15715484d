"""A conversation's record, page by page, with the texts that it commits to (docs/audit.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from countersign.conversations import reading
from countersign.drafting.schemas import Export
from countersign.drafting.tables import Draft
from countersign.platform import audit
from countersign.platform.db import TenantSession


def export(session: TenantSession, conversation_id: UUID, after_seq: int = 0) -> Export:
    """The events of a conversation after one, with the texts of its messages and drafts.

    As many as one answer holds. Raises `NotFound`. Checkpoints are kept elsewhere on purpose: the
    verifier takes them beside the export.
    """
    reading.found(session, conversation_id)

    def bodies(data: Sequence[Mapping[str, Any]]) -> list[audit.Body]:
        messages = reading.bodies(session, _ids("message_id", data))
        return messages + _drafts(session, _ids("draft_id", data))

    page = audit.export(session, conversation_id, bodies, after_seq)
    return Export.model_validate(page)


def _ids(name: str, data: Sequence[Mapping[str, Any]]) -> list[UUID]:
    return [UUID(one[name]) for one in data if name in one]


def _drafts(session: TenantSession, ids: Sequence[UUID]) -> list[audit.Body]:
    rows = session.execute(
        select(Draft.text_salt, Draft.suggested_text)
        .where(Draft.organization_id == session.organization_id)
        .where(Draft.id.in_(ids))
    )
    return [audit.body(salt, text) for salt, text in rows]
