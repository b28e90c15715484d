"""Finding the passages of an organization's documents that bear on a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from countersign.knowledge.tables import Chunk, Document
from countersign.platform.db import TenantSession
from countersign.retrieval import hybrid
from countersign.retrieval.corpus import Corpus
from countersign.retrieval.hybrid import Hit, Question

CHUNKS = Corpus(texts="chunks", vectors="chunk_embeddings", owner="chunk_id")


@dataclass(frozen=True)
class Embedded:
    """A text's vector, and the space that it is in."""

    vector: Sequence[float]
    space: UUID


@dataclass(frozen=True)
class Passage:
    """A chunk with its document's name; `start` is where its text begins in the document."""

    chunk_id: UUID
    document_id: UUID
    document_version: int
    title: str
    source_url: str | None
    heading: str
    language: str
    start: int
    text: str
    hit: Hit

    @property
    def score(self) -> float:
        """How well it fits, to be compared with others of the same question."""
        return round(self.hit.score, 6)


def find(session: TenantSession, question: str, embedded: Embedded, limit: int) -> list[Passage]:
    """The passages that fit a question best, best first."""
    asked = Question(question, embedded.vector, embedded.space, languages(session))
    return described(session, hybrid.search(session, CHUNKS, asked, limit).hits)


def languages(session: TenantSession) -> list[str]:
    """What the organization's documents are written in."""
    own = Document.organization_id == session.organization_id
    return list(session.scalars(select(Document.language).where(own).distinct()))


def described(session: TenantSession, hits: Sequence[Hit]) -> list[Passage]:
    """The found chunks, in the same order."""
    query = (
        select(
            Chunk.id.label("chunk_id"),
            Document.id.label("document_id"),
            Document.version.label("document_version"),
            Document.title,
            Document.source_url,
            Chunk.heading,
            Chunk.language,
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
    rows = {row.chunk_id: row for row in session.execute(query)}
    return [Passage(**rows[hit.id]._mapping, hit=hit) for hit in hits if hit.id in rows]
