"""The lexical arm: how much of what a question's words say is said by a text, in the same words.

A rare word says more than a common one, and a code far more; a heading or a name repeats it with
more weight than a body does. What no text has counts as unsaid, a code too: texts that share only
the words around it then share little. docs/adr/0014-words-count-by-what-they-tell.md
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from countersign.platform.db import TenantSession
from countersign.retrieval.corpus import NOTHING, Corpus, Filter

CODE_WEIGHT = 32.0
"""How many words, each as rare as it is, a code outweighs."""
NAME, BODY = 0.7, 0.2
"""What a word counts that a text has as a name, or in its body; a code, or in a heading: 1."""
COMMON = 10_000
"""From so many texts on, nobody counts how many have a word."""
MOST_TEXTS = 2_000
"""How many texts are looked at for their words alone: those with the rarest of them."""

_TERMS = """
SELECT language, lexeme, kind FROM search_terms(CAST(:languages AS text[]), :words)
"""
_FREQUENCIES = """
SELECT lexeme, texts FROM {texts}_frequencies(CAST(:lexemes AS text[]), :most)
UNION ALL
SELECT NULL, (SELECT count(*) FROM (
    SELECT FROM {texts} WHERE organization_id = :organization_id LIMIT :most
) AS counted)
"""
# Weights say where a word stands: migrations/searching.py. ts_filter reads a long tsvector once,
# not once for each term.
_EVIDENCE = """
WITH terms AS MATERIALIZED (
    SELECT language, lexeme, share, search_any(ARRAY[lexeme]) AS anywhere,
           search_any(ARRAY[lexeme], 'AC') AS foremost, search_any(ARRAY[lexeme], 'B') AS as_name
    FROM unnest(
        CAST(:languages AS text[]), CAST(:lexemes AS text[]), CAST(:shares AS float8[])
    ) AS given (language, lexeme, share)
), found AS MATERIALIZED (
    SELECT t.id, t.language, ts_filter(t.search, '{{a,b,c,d}}') AS search
    FROM {texts} t
    WHERE t.organization_id = :organization_id AND ({condition}) AND t.id IN (
        SELECT unnest(CAST(:ids AS uuid[]))
        UNION
        SELECT id FROM {texts}_with_any(CAST(:rarest AS text[]))
    )
)
SELECT found.id,
       sum(share * CASE WHEN search @@ foremost THEN 1 WHEN search @@ as_name THEN :name
           ELSE :body END) AS evidence,
       array_agg(lexeme) AS lexemes
FROM found JOIN terms ON terms.language = found.language AND search @@ anywhere
GROUP BY found.id
ORDER BY found.id = ANY(CAST(:ids AS uuid[])) DESC, evidence DESC, found.id
LIMIT :limit
"""


@dataclass(frozen=True)
class Term:
    """What a question asks for in texts of one language.

    `texts` of the tenant's have it, counted up to `COMMON`; `share` is its part of all that the
    question says in that language, from 0 to 1.
    """

    language: str
    lexeme: str
    is_code: bool
    texts: int
    share: float


@dataclass(frozen=True)
class Worded:
    """A text, its evidence from 0 to 1, and the lexemes that it shares with the question."""

    id: UUID
    evidence: float
    lexemes: list[str]


def terms(
    session: TenantSession, corpus: Corpus, words: str, languages: Sequence[str]
) -> list[Term]:
    """What `words` ask for in texts of `languages`, which are text-search configurations."""
    asked = {"languages": list(languages), "words": words}
    rows = session.execute(text(_TERMS), asked).all()
    statement = text(_FREQUENCIES.format(texts=corpus.texts))
    counted = session.execute(
        statement,
        {
            "organization_id": session.organization_id,
            "lexemes": list({row.lexeme for row in rows}),
            "most": COMMON,
        },
    )
    texts: dict[str | None, int] = {row.lexeme: row.texts for row in counted}
    codes = {row.lexeme for row in rows if _is_code(row, texts)}
    found = [code for code in codes if texts[code]]
    kept = [
        (language, row.lexeme)
        for row in rows
        for language in ([row.language] if row.language else languages)
        if row.kind == "whole"
        or ((row.kind == "word" or texts[row.lexeme]) and not _is_within(row.lexeme, found))
    ]
    return _shared(list(dict.fromkeys(kept)), codes, texts)


def _is_code(row: Any, texts: dict[str | None, int]) -> bool:
    """What only looks like a code when its neighbours are joined is one if some text has it."""
    return row.kind == "whole" or (row.kind == "joined" and texts[row.lexeme] > 0)


def _is_within(lexeme: str, codes: Iterable[str]) -> bool:
    """Whether a lexeme is a piece of a longer code that was found, which says it already."""
    piece = lexeme.lstrip("-")
    return any(piece != code and piece in code for code in codes)


def _shared(
    kept: Sequence[tuple[str, str]], codes: set[str], texts: dict[str | None, int]
) -> list[Term]:
    weights = {
        (language, lexeme): _rarity(texts[lexeme], texts[None])
        * (CODE_WEIGHT if lexeme in codes else 1.0)
        for language, lexeme in kept
    }
    totals: dict[str, float] = {}
    for (language, _), weight in weights.items():
        totals[language] = totals.get(language, 0.0) + weight
    return [
        Term(language, lexeme, lexeme in codes, texts[lexeme], weight / totals[language])
        for (language, lexeme), weight in weights.items()
    ]


def _rarity(texts: int, of_texts: int) -> float:
    """What a word that `texts` of `of_texts` have tells: its inverse document frequency.

    As in BM25: Robertson and Zaragoza, The Probabilistic Relevance Framework (2009), section 3.
    """
    return math.log1p((of_texts - texts + 0.5) / (texts + 0.5))


def worded(
    session: TenantSession,
    corpus: Corpus,
    asked: Sequence[Term],
    limit: int,
    where: Filter = NOTHING,
    ids: Sequence[UUID] = (),
) -> list[Worded]:
    """The tenant's `limit` texts that say most of what is asked, and beside them those of `ids`
    that say any of it: these first, then by evidence.

    Of a question whose rarest word more than `MOST_TEXTS` have, words alone find nothing.
    """
    statement = _EVIDENCE.format(texts=corpus.texts, condition=where.condition)
    rows = session.execute(
        text(statement),
        {
            **where.parameters,
            "organization_id": session.organization_id,
            "languages": [term.language for term in asked],
            "lexemes": [term.lexeme for term in asked],
            "shares": [term.share for term in asked],
            "rarest": _rarest(asked),
            "name": NAME,
            "body": BODY,
            "ids": list(ids),
            "limit": limit + len(ids),
        },
    )
    return [Worded(*row) for row in rows]


def _rarest(asked: Iterable[Term]) -> list[str]:
    """The lexemes, rarest first, that no more than `MOST_TEXTS` texts have together."""
    texts = {term.lexeme: term.texts for term in asked if term.texts}
    rarest, together = [], 0
    for lexeme in sorted(texts, key=lambda lexeme: (texts[lexeme], lexeme)):
        together += texts[lexeme]
        if together > MOST_TEXTS:
            break
        rarest.append(lexeme)
    return rarest
