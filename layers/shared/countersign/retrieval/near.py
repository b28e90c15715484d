"""The vector arm: the texts whose vectors are nearest.

All vectors of a tenant are compared, until there are so many that the migrations function makes an
index for that tenant alone; `vector_indexes` says who has one (decision 13). That an index is made
or dropped meanwhile changes how long a search takes, not what it finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pgvector import Vector
from sqlalchemy import Row, text

from countersign.platform.db import TenantSession
from countersign.retrieval.corpus import NOTHING, Corpus, Filter

FEW = 1_500
"""Fewer texts that match are compared in less time than an index is searched for them."""
CANDIDATES = 2
"""How many times as many as are wanted are taken from an index, to be put in order exactly."""
LEAST_LIST, LIST_TIMES, LARGEST_LIST = 200, 4, 1000
"""`hnsw.ef_search`, how many neighbours are kept in view: at least, for each wanted, at most."""

INDEX = "USING hnsw ((embedding::halfvec(1536)) halfvec_cosine_ops) WITH (ef_construction = 128)"
"""What an index is: of the vectors in half precision, built with more care than by default."""


@dataclass(frozen=True)
class Near:
    """A text and the cosine of its vector with the one that was asked for, from -1 to 1."""

    id: UUID
    similarity: float


def part(organization_id: UUID, space: UUID) -> str:
    """The vectors of one tenant and space, as SQL: the predicate of their index, if there is one.

    Written out: a plan for any parameter could not rest on an index of some rows.
    """
    return f"organization_id = '{organization_id.hex}' AND embedding_space_id = '{space.hex}'"


# No row where there is no index: nothing is set then, and nothing counted.
_IS_INDEXED = """
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true),
       set_config('hnsw.ef_search', :list_size, true)
FROM vector_indexes
WHERE organization_id = :organization_id AND embedding_space_id = :space AND corpus = :corpus
{filtered}
"""
_MATCHED_BY_MANY = """
AND (SELECT count(*) FROM (SELECT FROM {texts} t
                           WHERE t.organization_id = :organization_id AND ({condition})
                           LIMIT {few}) AS matching) = {few}
"""
# A distance is computed once, in the inner query.
_EXACT = """
SELECT id, 1 - distance AS similarity
FROM (
    SELECT v.{owner} AS id, v.embedding <=> CAST(:vector AS vector) AS distance
    FROM {vectors} v {filtered}
    WHERE v.organization_id = :organization_id AND v.embedding_space_id = :space
) AS compared
ORDER BY distance, id
LIMIT {limit}
"""
_JOINED = """
JOIN {texts} t ON t.organization_id = v.organization_id AND t.id = v.{owner} AND ({condition})
"""
_BY_INDEX = """
WITH found AS MATERIALIZED (
    SELECT v.{owner} AS id, v.embedding <=> CAST(:vector AS vector) AS distance
    FROM {vectors} v
    WHERE {part} {filtered}
    ORDER BY v.embedding::halfvec(1536) <=> CAST(CAST(:vector AS vector) AS halfvec(1536))
    LIMIT {candidates}
)
SELECT id, 1 - distance AS similarity FROM found ORDER BY distance, id LIMIT {limit}
"""
# Asked of one row after the other, in the index's order. With a join, the planner may start from
# the texts instead, and then sorts all that match.
_ASKED = """
AND (SELECT true FROM {texts} t
     WHERE t.organization_id = v.organization_id AND t.id = v.{owner} AND ({condition}))
"""


def near(
    session: TenantSession,
    corpus: Corpus,
    vector: Sequence[float],
    space: UUID,
    limit: int,
    where: Filter = NOTHING,
) -> list[Near]:
    """The tenant's `limit` texts nearest to `vector` in `space`, nearest first.

    There are fewer only where fewer match. Without an index they are the very nearest; with one,
    less than one in a hundred is passed over for the next (docs/figures.md).
    """
    names = {
        "texts": corpus.texts,
        "vectors": corpus.vectors,
        "owner": corpus.owner,
        "condition": where.condition,
        "part": part(session.organization_id, space),
        "few": FEW,
        "candidates": CANDIDATES * limit,
        "limit": limit,
    }
    asked = {
        **where.parameters,
        "organization_id": session.organization_id,
        "space": space,
        "corpus": corpus.vectors,
        "list_size": str(min(max(LEAST_LIST, LIST_TIMES * limit), LARGEST_LIST)),
        "vector": sent_as_bytes(session, vector),
    }

    def rows(statement: str, filtered: str = "") -> Sequence[Row[Any]]:
        filtered = "" if where == NOTHING else filtered.format(**names)
        return session.execute(text(statement.format(**names, filtered=filtered)), asked).all()

    found: Sequence[Row[Any]] = []
    if rows(_IS_INDEXED, _MATCHED_BY_MANY):
        found = rows(_BY_INDEX, _ASKED)
    # An index is left, whatever it has found, after `hnsw.max_scan_tuples`.
    if len(found) < limit:
        found = rows(_EXACT, _JOINED)
    return [Near(row.id, row.similarity) for row in found]


def sent_as_bytes(session: TenantSession, vector: Sequence[float]) -> Vector:
    """`vector` for a statement; to write and read it as text takes longer than most searches."""
    from pgvector.psycopg.vector import VectorBinaryDumper

    driver: Any = session.connection().connection.driver_connection
    driver.adapters.register_dumper(Vector, VectorBinaryDumper)
    return Vector(list(vector))
