"""The vector arm: the texts whose vectors are nearest, by an exact scan of the tenant's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pgvector import Vector
from sqlalchemy import text

from countersign.platform.db import TenantSession
from countersign.retrieval.corpus import NOTHING, Corpus, Filter

_NEAR = """
SELECT v.{owner} AS id, 1 - (v.embedding <=> CAST(:vector AS vector)) AS similarity
FROM {vectors} v
JOIN {texts} t ON t.organization_id = v.organization_id AND t.id = v.{owner}
WHERE v.organization_id = :organization_id AND v.embedding_space_id = :space AND ({condition})
ORDER BY v.embedding <=> CAST(:vector AS vector), id
LIMIT :limit
"""


@dataclass(frozen=True)
class Near:
    """A text and the cosine of its vector with the one that was asked for, from -1 to 1."""

    id: UUID
    similarity: float


def near(
    session: TenantSession,
    corpus: Corpus,
    vector: Sequence[float],
    space: UUID,
    limit: int,
    where: Filter = NOTHING,
) -> list[Near]:
    """The tenant's `limit` texts nearest to `vector` in `space`, nearest first."""
    statement = _NEAR.format(
        texts=corpus.texts, vectors=corpus.vectors, owner=corpus.owner, condition=where.condition
    )
    asked = {
        **where.parameters,
        "organization_id": session.organization_id,
        "space": space,
        "vector": Vector(list(vector)).to_text(),
        "limit": limit,
    }
    return [Near(*row) for row in session.execute(text(statement), asked)]
