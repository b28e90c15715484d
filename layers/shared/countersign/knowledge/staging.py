"""The passages of a version under work: kept in batches with their vectors, and shown all at once.

Nothing is moved in the end, however long the document is: search does not show passages of a
version that its document does not have yet (`passages.shown`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from pgvector.sqlalchemy import Vector
from sqlalchemy import ColumnElement, Text, delete, func, insert, select, text

from countersign.knowledge.chunking import Piece
from countersign.knowledge.tables import Chunk, ChunkEmbedding, Document
from countersign.models.vectors import STORED_DIMENSIONS
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id


class Kept(NamedTuple):
    """How far a version under work has come: its passages, and where the last one ends."""

    passages: int
    end: int


def kept(session: TenantSession, document: Document, space: UUID) -> Kept:
    """What is kept of the version under work; nothing, if it was embedded for another space."""
    under_work = _of(session, document, Chunk.version > document.version)
    has_vector = (
        select(ChunkEmbedding.chunk_id)
        .where(ChunkEmbedding.organization_id == session.organization_id)
        .where(ChunkEmbedding.embedding_space_id == space)
        .where(ChunkEmbedding.chunk_id == Chunk.id)
        .exists()
    )
    counted = select(
        func.count(), func.coalesce(func.max(Chunk.end_offset), 0), func.bool_and(has_vector)
    )
    passages, end, is_whole = session.execute(counted.where(under_work)).one()
    if is_whole is False:
        let_go(session, document)
        return Kept(0, 0)
    return Kept(passages, end)


def let_go(session: TenantSession, document: Document) -> None:
    """Delete what is kept of the version under work."""
    session.execute(delete(Chunk).where(_of(session, document, Chunk.version > document.version)))


def _of(
    session: TenantSession, document: Document, versions: ColumnElement[bool]
) -> ColumnElement[bool]:
    own = Chunk.organization_id == session.organization_id
    return own & (Chunk.document_id == document.id) & versions


_KNOWN = text(
    """
    SELECT asked.hash, known.embedding
    FROM unnest(CAST(:hashes AS text[])) AS asked (hash), LATERAL (
        SELECT v.embedding
        FROM chunks c JOIN chunk_embeddings v
            ON v.organization_id = c.organization_id AND v.chunk_id = c.id
        WHERE c.organization_id = :organization_id AND c.document_id = :document_id
            AND c.hash = asked.hash AND v.embedding_space_id = :space
        LIMIT 1
    ) AS known
    """
).columns(hash=Text, embedding=Vector(STORED_DIMENSIONS))


def unchanged(
    session: TenantSession, document: Document, space: UUID, batch: Sequence[Piece]
) -> dict[str, list[float]]:
    """The vectors, by hash, of those passages that the document has already."""
    asked = {
        "organization_id": session.organization_id,
        "document_id": document.id,
        "space": space,
        "hashes": list({piece.hash for piece in batch}),
    }
    return {row.hash: row.embedding for row in session.execute(_KNOWN, asked)}


def stage(
    session: TenantSession,
    document: Document,
    space: UUID,
    index: int,
    batch: Sequence[Piece],
    vectors: Mapping[str, Sequence[float]],
) -> None:
    """Keep passages, of which the first is number `index` of the version under work."""
    own = {"organization_id": session.organization_id}
    ids = [new_id() for _ in batch]
    passages = [
        {
            **own,
            "id": id_,
            "document_id": document.id,
            "version": document.version + 1,
            "chunk_index": number,
            "start_offset": piece.start,
            "end_offset": piece.end,
            "heading": piece.heading,
            "text": piece.text,
            "hash": piece.hash,
            "language": document.language,
        }
        for number, (id_, piece) in enumerate(zip(ids, batch, strict=True), index)
    ]
    embeddings = [
        {
            **own,
            "embedding_space_id": space,
            "chunk_id": id_,
            "embedding": list(vectors[piece.hash]),
        }
        for id_, piece in zip(ids, batch, strict=True)
    ]
    session.execute(insert(Chunk), passages)
    session.execute(insert(ChunkEmbedding), embeddings)


def publish(session: TenantSession, document: Document) -> None:
    """Let the version under work be the document's: its passages are shown, and no others."""
    session.execute(delete(Chunk).where(_of(session, document, Chunk.version <= document.version)))
    document.version += 1
