"""Give each tenant of many vectors an index of its own, and take it from one that has few again.

Done as `app_owner`, CONCURRENTLY, so that nobody waits. Each statement is a transaction of its own,
and in every moment between two a row of `vector_indexes` means a valid index: a run that died is
completed by the next one, which finds what that left (docs/adr/0013-vector-indexes.md).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from countersign.knowledge.messages import MESSAGES
from countersign.knowledge.passages import CHUNKS
from countersign.platform.db import Database
from countersign.platform.log import logger
from countersign.retrieval.corpus import Corpus
from countersign.retrieval.near import INDEX, part
from migrations.upgrade import alone

CORPORA = (CHUNKS, MESSAGES)


@dataclass(frozen=True)
class Thresholds:
    """Rows of a tenant's space above which it gets an index, and below which it loses it."""

    promote_above: int = 10_000
    demote_below: int = 5_000


@dataclass(frozen=True)
class Owner:
    """Whose vectors an index has."""

    organization_id: UUID
    space: UUID

    def index_name(self, corpus: Corpus) -> str:
        """The name of their index: from it alone, what a dead run left can be told."""
        whose = hashlib.sha256(self.organization_id.bytes + self.space.bytes).hexdigest()
        return f"{_prefix(corpus)}{whose[:32]}"


_SIZES = """
SELECT organization_id, embedding_space_id, count(*) FROM {vectors}
GROUP BY 1, 2 HAVING count(*) >= :least
"""
_LISTED = text(
    "SELECT organization_id, embedding_space_id FROM vector_indexes WHERE corpus = :corpus"
)
_BUILT = text(
    """
    SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = CAST(:corpus AS regclass) AND starts_with(c.relname, :prefix)
    """
)
_LIST = text(
    """
    INSERT INTO vector_indexes (organization_id, embedding_space_id, corpus, index_name, rows)
    VALUES (:organization_id, :space, :corpus, :index_name, :rows)
    """
)
_UNLIST = text(
    """
    DELETE FROM vector_indexes
    WHERE organization_id = :organization_id AND embedding_space_id = :space AND corpus = :corpus
    """
)


def maintain(database: Database, thresholds: Thresholds = Thresholds()) -> dict[str, list[str]]:
    """Make and drop what is due in every corpus; returns the indexes' names.

    Raises `Conflict` while another run, or an upgrade, is under way.
    """
    done: dict[str, list[str]] = {"made": [], "dropped": []}
    with database.engine.connect() as connection:
        autocommitting = connection.execution_options(isolation_level="AUTOCOMMIT")
        with alone(autocommitting):
            for corpus in CORPORA:
                _maintain(autocommitting, corpus, thresholds, done)
    return done


def _maintain(
    connection: Connection, corpus: Corpus, thresholds: Thresholds, done: dict[str, list[str]]
) -> None:
    sizes = _sizes(connection, corpus, thresholds.demote_below)
    built = _built(connection, corpus)
    listed = set()
    for owner in _listed(connection, corpus):
        if owner in sizes and built.get(owner.index_name(corpus)):
            listed.add(owner)
        else:
            connection.execute(_UNLIST, _key(owner, corpus))
    wanted = {
        owner.index_name(corpus): owner
        for owner, rows in sizes.items()
        if owner in listed or rows > thresholds.promote_above
    }
    for name, is_valid in built.items():
        if name not in wanted or not is_valid:
            _drop(connection, name)
            done["dropped"].append(name)
    for name, owner in wanted.items():
        if not built.get(name):
            _make(connection, corpus, name, owner)
            done["made"].append(name)
        if owner not in listed:
            listing = {"index_name": name, "rows": sizes[owner]}
            connection.execute(_LIST, _key(owner, corpus) | listing)


def _sizes(connection: Connection, corpus: Corpus, least: int) -> dict[Owner, int]:
    found = connection.execute(text(_SIZES.format(vectors=corpus.vectors)), {"least": least})
    return {Owner(organization_id, space): rows for organization_id, space, rows in found}


def _listed(connection: Connection, corpus: Corpus) -> list[Owner]:
    return [Owner(*row) for row in connection.execute(_LISTED, {"corpus": corpus.vectors})]


def _built(connection: Connection, corpus: Corpus) -> dict[str, bool]:
    """Which of these indexes are there, and whether they are valid: one half made is not."""
    asked = {"corpus": corpus.vectors, "prefix": _prefix(corpus)}
    return {row.relname: row.indisvalid for row in connection.execute(_BUILT, asked)}


def _prefix(corpus: Corpus) -> str:
    return f"near_{corpus.vectors}_"


def _key(owner: Owner, corpus: Corpus) -> dict[str, Any]:
    return {
        "organization_id": owner.organization_id,
        "space": owner.space,
        "corpus": corpus.vectors,
    }


def _drop(connection: Connection, name: str) -> None:
    logger.info("dropping an index of vectors", index=name)
    connection.execute(text(f"DROP INDEX CONCURRENTLY {name}"))


def _make(connection: Connection, corpus: Corpus, name: str, owner: Owner) -> None:
    logger.info("making an index of vectors", index=name, organization_id=owner.organization_id)
    rows = part(owner.organization_id, owner.space)
    connection.execute(
        text(f"CREATE INDEX CONCURRENTLY {name} ON {corpus.vectors} {INDEX} WHERE {rows}")
    )
