"""Messages as texts to be searched: what customers asked and what was answered before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text

from countersign.conversations.tables import Message
from countersign.knowledge import languages
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


_TELL = text(
    """
    UPDATE messages m SET language = guessed.language
    FROM (
        SELECT id, search_guess(body_text, :otherwise) AS language FROM messages
        WHERE organization_id = :organization_id AND id = ANY (CAST(:ids AS uuid[]))
    ) AS guessed
    WHERE m.organization_id = :organization_id AND m.id = guessed.id
        AND m.language <> guessed.language
    """
)


def tell_languages(session: TenantSession, message_ids: Sequence[UUID]) -> None:
    """Note what messages are written in, so that they are searched by its stems.

    One that does not tell is taken to be in the language of the documents, if these have one alone.
    """
    known = languages.of_documents(session)
    asked = {
        "organization_id": session.organization_id,
        "ids": list(message_ids),
        "otherwise": known[0] if len(known) == 1 else "english",
    }
    session.execute(_TELL, asked)


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
