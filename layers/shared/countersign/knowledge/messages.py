"""Messages as texts to be searched: what customers asked and what was answered before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from countersign.conversations.tables import Message
from countersign.platform.db import TenantSession
from countersign.retrieval.corpus import Corpus
from countersign.retrieval.hybrid import Hit

MESSAGES = Corpus(texts="messages", vectors="message_embeddings", owner="message_id")


@dataclass(frozen=True)
class FoundMessage:
    """A message, with what was found of it."""

    message_id: UUID
    conversation_id: UUID
    direction: str
    sent_at: datetime
    language: str
    text: str
    hit: Hit


def described(session: TenantSession, hits: Sequence[Hit]) -> list[FoundMessage]:
    """The found messages, in the same order."""
    query = (
        select(
            Message.id.label("message_id"),
            Message.conversation_id,
            Message.direction,
            Message.sent_at,
            Message.language,
            Message.body_text.label("text"),
        )
        .where(Message.organization_id == session.organization_id)
        .where(Message.id.in_([hit.id for hit in hits]))
    )
    rows = {row.message_id: row for row in session.execute(query)}
    return [FoundMessage(**rows[hit.id]._mapping, hit=hit) for hit in hits if hit.id in rows]
