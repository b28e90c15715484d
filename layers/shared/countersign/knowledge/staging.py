"""The passages of a version under work: kept in batches, then put in the place of the live ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select, text

from countersign.knowledge.chunking import Piece
from countersign.knowledge.tables import Chunk, ChunkEmbedding, Document, StagedChunk
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id


class Kept(NamedTuple):
    """How far a version under work has come: its passages, and where the last one ends."""

    passages: int
    end: int


def kept(session: TenantSession, document: Document, space: UUID) -> Kept:
    """What is kept of the version under work. Passages of another space are let go."""
    mine = (
        (StagedChunk.organization_id == session.organization_id)
        & (StagedChunk.document_id == document.id)
        & (StagedChunk.version == document.version + 1)
    )
    session.execute(delete(StagedChunk).where(mine, StagedChunk.embedding_space_id != space))
    found = session.execute(
        select(func.count(), func.coalesce(func.max(StagedChunk.end_offset), 0)).where(mine)
    ).one()
    return Kept(*found)


def unchanged(
    session: TenantSession, document: Document, space: UUID, batch: Sequence[Piece]
) -> dict[str, list[float]]:
    """The vectors, by hash, of those passages that the live version has too."""
    found = session.execute(
        select(Chunk.hash, ChunkEmbedding.embedding)
        .join(
            ChunkEmbedding,
            (ChunkEmbedding.organization_id == Chunk.organization_id)
            & (ChunkEmbedding.chunk_id == Chunk.id),
        )
        .where(Chunk.organization_id == session.organization_id)
        .where(Chunk.document_id == document.id)
        .where(Chunk.hash.in_([piece.hash for piece in batch]))
        .where(ChunkEmbedding.embedding_space_id == space)
    )
    return {row.hash: row.embedding for row in found}


def stage(
    session: TenantSession,
    document: Document,
    space: UUID,
    index: int,
    batch: Sequence[Piece],
    vectors: Mapping[str, Sequence[float]],
) -> None:
    """Keep passages, of which the first is number `index` of the version under work."""
    session.add_all(
        StagedChunk(
            organization_id=session.organization_id,
            document_id=document.id,
            version=document.version + 1,
            chunk_index=number,
            id=new_id(),
            start_offset=piece.start,
            end_offset=piece.end,
            heading=piece.heading,
            text=piece.text,
            hash=piece.hash,
            embedding_space_id=space,
            embedding=list(vectors[piece.hash]),
        )
        for number, piece in enumerate(batch, index)
    )


_STAGED = "organization_id = :organization_id AND document_id = :document_id"
_MOVE = [
    text(statement)
    for statement in (
        f"DELETE FROM chunks WHERE {_STAGED}",
        f"""
        INSERT INTO chunks (organization_id, id, document_id, chunk_index, start_offset, end_offset,
                            heading, text, hash, language)
        SELECT organization_id, id, document_id, chunk_index, start_offset, end_offset, heading,
               text, hash, :language
        FROM staged_chunks WHERE {_STAGED} AND version = :version
        """,
        f"""
        INSERT INTO chunk_embeddings (organization_id, embedding_space_id, chunk_id, embedding)
        SELECT organization_id, embedding_space_id, id, embedding
        FROM staged_chunks WHERE {_STAGED} AND version = :version
        """,
        f"DELETE FROM staged_chunks WHERE {_STAGED}",
    )
]


def publish(session: TenantSession, document: Document) -> None:
    """Put the passages that are kept in the place of the live version's, with their vectors."""
    asked = {
        "organization_id": session.organization_id,
        "document_id": document.id,
        "version": document.version + 1,
        "language": document.language,
    }
    for statement in _MOVE:
        session.execute(statement, asked)
