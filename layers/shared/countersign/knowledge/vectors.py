"""The vectors of texts that are there already: which lack one in a space, and how they get it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from countersign.knowledge.messages import MESSAGES
from countersign.knowledge.passages import CHUNKS
from countersign.models.vectors import padded
from countersign.platform.db import TenantSession
from countersign.retrieval.corpus import Corpus
from countersign.retrieval.near import sent_as_bytes

FIRST = UUID(int=0)
"""Before all ids."""


@dataclass(frozen=True)
class Source:
    """A corpus, and what an encoder is shown of its texts: SQL on the alias `t`."""

    corpus: Corpus
    shown: str


PASSAGES = Source(CHUNKS, r"concat_ws(E'\n\n', nullif(t.heading, ''), t.text)")
"""As `Piece.embedded` has it."""
LETTERS = Source(MESSAGES, r"concat_ws(E'\n\n', t.subject, left(t.body_text, 4000))")
SOURCES = (PASSAGES, LETTERS)


@dataclass(frozen=True)
class Bare:
    """A text that has no vector, as an encoder is shown it."""

    id: UUID
    text: str


# The ids are in the order of the primary keys on both sides.
_OF_THOSE = """
FROM {texts} t
WHERE t.organization_id = :organization_id AND t.id > :after {only}
    AND t.id <> ALL (CAST(:refused AS uuid[])) AND {shown} ~ '[^[:space:]]'
    AND NOT EXISTS (
        SELECT FROM {vectors} v
        WHERE v.organization_id = :organization_id AND v.embedding_space_id = :space
            AND v.{owner} = t.id
    )
"""
_LACKING = f"SELECT t.id, {{shown}} AS text {_OF_THOSE} ORDER BY t.id LIMIT :limit"
_COUNT = f"SELECT count(*) {_OF_THOSE}"
_ONLY = "AND t.id = ANY (CAST(:ids AS uuid[]))"
# A text that was deleted meanwhile needs none.
_KEEP = """
INSERT INTO {vectors} (organization_id, embedding_space_id, {owner}, embedding)
SELECT t.organization_id, :space, t.id, CAST(:vector AS vector)
FROM {texts} t WHERE t.organization_id = :organization_id AND t.id = :id
ON CONFLICT DO NOTHING
"""
_FORGET = """
DELETE FROM {vectors} WHERE (organization_id, embedding_space_id, {owner}) IN (
    SELECT organization_id, embedding_space_id, {owner} FROM {vectors}
    WHERE organization_id = :organization_id AND embedding_space_id <> :space
    LIMIT :limit
)
"""


def lacking(
    session: TenantSession,
    source: Source,
    space: UUID,
    limit: int,
    *,
    after: UUID = FIRST,
    ids: Sequence[UUID] | None = None,
    refused: Collection[UUID] = (),
) -> list[Bare]:
    """The first `limit` texts behind `after` that have no vector in a space, by id.

    Only those of `ids`, where they are given; none of the `refused`, and none that is blank.
    """
    asked = {"after": after, "ids": ids, "refused": list(refused), "limit": limit}
    rows = _those(session, _LACKING, source, space, "" if ids is None else _ONLY, asked)
    return [Bare(row.id, row.text) for row in rows]


def count(session: TenantSession, source: Source, space: UUID) -> int:
    """How many texts have no vector in a space."""
    asked: dict[str, Any] = {"after": FIRST, "refused": []}
    (found,) = _those(session, _COUNT, source, space, "", asked)
    return int(found[0])


def _those(
    session: TenantSession,
    statement: str,
    source: Source,
    space: UUID,
    only: str,
    asked: dict[str, Any],
) -> Sequence[Row[Any]]:
    names = {**vars(source.corpus), "shown": source.shown, "only": only}
    asked |= {"organization_id": session.organization_id, "space": space}
    return session.execute(text(statement.format(**names)), asked).all()


def keep(
    session: TenantSession,
    source: Source,
    space: UUID,
    texts: Sequence[Bare],
    vectors: Sequence[Sequence[float]],
) -> None:
    """Keep the vectors of texts; those that are there stay."""
    session.execute(
        text(_KEEP.format(**vars(source.corpus))),
        [
            {
                "organization_id": session.organization_id,
                "space": space,
                "id": bare.id,
                "vector": sent_as_bytes(session, padded(vector)),
            }
            for bare, vector in zip(texts, vectors, strict=True)
        ],
    )


def forget_others(session: TenantSession, space: UUID, limit: int) -> bool:
    """Delete vectors of all spaces but one, `limit` of a corpus at most; whether any were left."""
    deleted = [
        session.connection().execute(
            text(_FORGET.format(**vars(source.corpus))),
            {"organization_id": session.organization_id, "space": space, "limit": limit},
        )
        for source in SOURCES
    ]
    return any(one.rowcount == limit for one in deleted)
