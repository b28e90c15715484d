"""Finding the passages of an organization's documents that bear on a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from countersign.knowledge.tables import Chunk, Document
from countersign.platform.db import TenantSession
from countersign.retrieval import hybrid
from countersign.retrieval.corpus import Corpus
from countersign.retrieval.hybrid import Question

CHUNKS = Corpus(texts="chunks", vectors="chunk_embeddings", owner="chunk_id")


@dataclass(frozen=True)
class Passage:
    """A chunk with its document's name; `start` is where its text begins in the document."""

    chunk_id: UUID
    document_id: UUID
    document_version: int
    title: str
    source_url: str | None
    start: int
    text: str
    score: float


def find(
    session: TenantSession, question: str, vector: Sequence[float], space: UUID, limit: int
) -> list[Passage]:
    """The passages that fit `question` and its `vector` best, best first."""
    asked = Question(question, vector, space)
    hits = hybrid.search(session, CHUNKS, asked, limit).hits
    rows = {row.chunk_id: row for row in session.execute(_described(session, hits))}
    return [
        Passage(**rows[hit.id]._mapping, score=round(hit.score, 6))
        for hit in hits
        if hit.id in rows
    ]


def _described(session: TenantSession, hits: Iterable[hybrid.Hit]) -> Any:
    return (
        select(
            Chunk.id.label("chunk_id"),
            Document.id.label("document_id"),
            Document.version.label("document_version"),
            Document.title,
            Document.source_url,
            Chunk.start_offset.label("start"),
            Chunk.text,
        )
        .join(
            Document,
            (Document.organization_id == Chunk.organization_id)
            & (Document.id == Chunk.document_id),
        )
        .where(Chunk.organization_id == session.organization_id)
        .where(Chunk.id.in_([hit.id for hit in hits]))
    )
