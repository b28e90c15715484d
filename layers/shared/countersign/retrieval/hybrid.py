"""Vectors and words together: exact cosine, and full text whose words are joined by OR.

Full text that asks for every word of a question finds next to nothing, so any word counts here; and
since a strong encoder ranks paraphrases better than words do, words add a little to a passage's
similarity rather than compete with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pgvector import Vector
from sqlalchemy import text

from countersign.platform.db import TenantSession
from countersign.retrieval.corpus import Corpus

LEXICAL_WEIGHT = 0.15
CANDIDATES = 50


@dataclass(frozen=True)
class Hit:
    """A found text; `lexical` is the rank of its words from 0 to 1."""

    id: UUID
    score: float
    lexical: float


# Both arms read the tenant's rows alone, by the index on (organization_id, embedding_space_id): an
# exact scan, which is what a tenant of up to some ten thousand passages wants.
# The words are stemmed once: to stem `univers` again would make it `univ`, which no text has.
_SEARCH = """
WITH asked AS (
    SELECT CAST(replace(CAST(plainto_tsquery('english', :words) AS text), ' & ', ' | ') AS tsquery)
           AS words
),
near AS (
    SELECT {owner} AS id
    FROM {vectors}
    WHERE organization_id = :organization_id AND embedding_space_id = :space
    ORDER BY embedding <=> CAST(:vector AS vector)
    LIMIT :candidates
),
worded AS (
    SELECT t.id
    FROM {texts} t, asked
    WHERE t.organization_id = :organization_id AND t.search @@ asked.words
    ORDER BY ts_rank(t.search, asked.words, 1) DESC
    LIMIT :candidates
),
scored AS (
    SELECT t.id,
           1 - (v.embedding <=> CAST(:vector AS vector)) AS similarity,
           ts_rank(t.search, asked.words, 1) AS rank
    FROM (SELECT id FROM near UNION SELECT id FROM worded) AS found
    JOIN {texts} t ON t.organization_id = :organization_id AND t.id = found.id
    JOIN {vectors} v ON v.organization_id = :organization_id
        AND v.embedding_space_id = :space AND v.{owner} = found.id
    CROSS JOIN asked
)
SELECT id,
       similarity + :weight * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS score,
       coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS lexical
FROM scored
ORDER BY score DESC, id
LIMIT :limit
"""


def search(
    session: TenantSession,
    corpus: Corpus,
    words: str,
    vector: Sequence[float],
    space: UUID,
    limit: int,
) -> list[Hit]:
    """The tenant's `limit` best texts for `words` and their `vector` in `space`, best first."""
    rows = session.execute(
        text(_SEARCH.format(texts=corpus.texts, vectors=corpus.vectors, owner=corpus.owner)),
        {
            "organization_id": session.organization_id,
            "words": words,
            "vector": Vector(list(vector)).to_text(),
            "space": space,
            "weight": LEXICAL_WEIGHT,
            "candidates": CANDIDATES,
            "limit": limit,
        },
    )
    return [Hit(*row) for row in rows]
