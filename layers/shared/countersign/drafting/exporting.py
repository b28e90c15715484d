"""A conversation's record, whole, with the texts that it commits to (docs/audit.md)."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from countersign.conversations import reading
from countersign.drafting.schemas import Export
from countersign.drafting.tables import Draft
from countersign.platform import audit
from countersign.platform.db import TenantSession


def export(session: TenantSession, conversation_id: UUID) -> Export:
    """The events of a conversation, with the texts of its messages and drafts. Raises `NotFound`.

    Checkpoints are kept elsewhere on purpose: the verifier takes them beside the export.
    """
    reading.found(session, conversation_id)
    bodies = reading.bodies(session, conversation_id) + _drafts(session, conversation_id)
    return Export.model_validate(audit.export(session, conversation_id, bodies, None))


def _drafts(session: TenantSession, conversation_id: UUID) -> list[audit.Body]:
    rows = session.execute(
        select(Draft.text_salt, Draft.suggested_text)
        .where(Draft.organization_id == session.organization_id)
        .where(Draft.conversation_id == conversation_id)
        .order_by(Draft.created_at, Draft.id)
    )
    return [audit.body(salt, text) for salt, text in rows]
