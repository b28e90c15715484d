"""Vectors and words together: words add to a text's similarity what they tell, and no more.

A strong encoder ranks paraphrases better than words do, and knows nothing of part numbers. So the
words' evidence counts by its square: half of what was asked adds little, all of it outweighs any
similarity. docs/adr/0014-words-count-by-what-they-tell.md
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from countersign.platform.db import TenantSession
from countersign.retrieval import words
from countersign.retrieval.corpus import NOTHING, Corpus, Filter
from countersign.retrieval.near import near, sent_as_bytes
from countersign.retrieval.words import Term, Worded

WORDS_WEIGHT = 0.5
"""What full evidence adds to a similarity."""
CANDIDATES = 50
"""How many texts of each arm are weighed, where fewer are asked for."""

_SIMILARITIES = """
SELECT {owner} AS id, 1 - (embedding <=> CAST(:vector AS vector)) AS similarity
FROM {vectors}
WHERE organization_id = :organization_id AND embedding_space_id = :space
    AND {owner} = ANY(CAST(:ids AS uuid[]))
"""


@dataclass(frozen=True)
class Question:
    """What is asked: its words, their vector in a space, and the languages of the texts."""

    words: str
    vector: Sequence[float]
    space: UUID
    languages: Sequence[str] = ("english",)


@dataclass(frozen=True)
class Hit:
    """A found text.

    `score` is `similarity`, a cosine from -1 to 1, and what its words add to it: up to
    `WORDS_WEIGHT`. A text that has no vector in the space has words alone. `evidence`, from 0 to 1,
    is how much of the question its words say; `lexemes` are those.
    """

    id: UUID
    score: float
    similarity: float | None
    evidence: float
    lexemes: Sequence[str]


@dataclass(frozen=True)
class Least:
    """What a text has to reach to be found: a score, and a similarity where one is asked for."""

    score: float = -1.0
    similarity: float | None = None

    def lets_through(self, hit: Hit) -> bool:
        """Whether a text reaches it; one without a vector reaches no similarity."""
        if self.similarity is not None and (
            hit.similarity is None or hit.similarity < self.similarity
        ):
            return False
        return hit.score >= self.score


@dataclass(frozen=True)
class Found:
    """The best texts, best first, and what the question asked for."""

    hits: list[Hit]
    terms: list[Term]


def search(
    session: TenantSession,
    corpus: Corpus,
    question: Question,
    limit: int,
    where: Filter = NOTHING,
    least: Least = Least(),
) -> Found:
    """The tenant's `limit` best texts for a question, none that is below `least`."""
    candidates = max(limit, CANDIDATES)
    nearest = near(session, corpus, question.vector, question.space, candidates, where)
    similar = {one.id: one.similarity for one in nearest}
    terms = words.terms(session, corpus, question.words, question.languages)
    worded = words.worded(session, corpus, terms, candidates, where, list(similar))
    said = {one.id: one for one in worded}
    similar |= _similarities(session, corpus, question, said.keys() - similar.keys())
    hits = [_hit(id_, similar.get(id_), said.get(id_)) for id_ in similar.keys() | said.keys()]
    hits.sort(key=lambda hit: (-hit.score, hit.id))
    return Found([hit for hit in hits if least.lets_through(hit)][:limit], terms)


def _similarities(
    session: TenantSession, corpus: Corpus, question: Question, ids: Collection[UUID]
) -> dict[UUID, float]:
    """How near texts are that words alone have found, where they have a vector."""
    if not ids:
        return {}
    rows = session.execute(
        text(_SIMILARITIES.format(vectors=corpus.vectors, owner=corpus.owner)),
        {
            "organization_id": session.organization_id,
            "space": question.space,
            "vector": sent_as_bytes(session, question.vector),
            "ids": list(ids),
        },
    )
    return {row.id: row.similarity for row in rows}


def _hit(id_: UUID, similarity: float | None, said: Worded | None) -> Hit:
    evidence, lexemes = (said.evidence, said.lexemes) if said else (0.0, [])
    return Hit(id_, (similarity or 0.0) + WORDS_WEIGHT * evidence**2, similarity, evidence, lexemes)
