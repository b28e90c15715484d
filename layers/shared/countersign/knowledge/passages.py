"""Finding the passages of an organization's documents that bear on a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from countersign.knowledge import languages
from countersign.knowledge.tables import Chunk, Document
from countersign.platform.db import TenantSession
from countersign.retrieval import hybrid
from countersign.retrieval.corpus import NOTHING, Corpus, Filter
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
    asked = Question(question, embedded.vector, embedded.space, languages.of_documents(session))
    return described(session, hybrid.search(session, CHUNKS, asked, limit, shown(session)).hits)


_IS_SHOWN = """
NOT (t.document_id = ANY (CAST(:under_work AS uuid[])) AND t.version > (
    SELECT d.version FROM documents d
    WHERE d.organization_id = :organization_id AND d.id = t.document_id
))
"""


def shown(session: TenantSession, where: Filter = NOTHING) -> Filter:
    """The passages that may be found, of those that `where` lets through: none of a version that is
    under work. Whoever searches `CHUNKS` asks for these."""
    under_work = session.scalars(
        select(Document.id)
        .where(Document.organization_id == session.organization_id)
        .where(Document.processing_status.in_(("pending", "processing")))
        .where(Document.deleted_at.is_(None))
    ).all()
    if not under_work:
        return where
    condition = f"({where.condition}) AND {_IS_SHOWN}"
    return Filter(condition, {**where.parameters, "under_work": under_work})


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
