"""A Postgres that holds what bench/search_data.py makes, under the product's own policies."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray

from bench.search_data import CHUNKS_PER_DOCUMENT, Passages, Vectors, tenants
from countersign.models.vectors import STORED_DIMENSIONS
from countersign.platform.db import Database, engine
from countersign.platform.ids import new_id
from local import postgres
from migrations.vector_indexes import Thresholds, maintain
from tests import conftest
from tests.conftest import TestDatabase

SPACE = new_id()

# Rows as `COPY … (FORMAT binary)` has them: the count of fields, then each with its length before.
_VECTOR: list[Any] = [
    ("length", ">i4"),
    ("dimensions", ">i2"),
    ("unused", ">i2"),
    ("values", ">f4", STORED_DIMENSIONS),
]
_START, _END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


@dataclass(frozen=True)
class Store:
    """The database, and whose passages are in it; their vectors are in the tenants' arrays too."""

    database: TestDatabase
    folder: Path
    tenants: Sequence[Passages]

    @property
    def superuser(self) -> str:
        return self.database.cluster.conninfo(self.database.name)

    def size(self, relation: str) -> float:
        """Megabytes of a table with all that belongs to it, or of an index."""
        with psycopg.connect(self.superuser) as connection:
            row = connection.execute(
                "SELECT pg_total_relation_size(CAST(%s AS regclass)) / 1e6", [relation]
            ).fetchone()
        assert row is not None
        return float(row[0])


@contextmanager
def filled(counts: Sequence[int]) -> Iterator[Store]:
    """Tenants of so many passages each. It waits for no disk: what is timed only reads."""
    with (
        tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder,
        postgres.running(Path(folder) / "postgres", fsync=False) as cluster,
    ):
        template = conftest.make_template(cluster)
        with conftest.copied(cluster, template, "bench") as database:
            _configure(cluster)
            store = Store(database, Path(folder), list(tenants(list(counts))))
            with psycopg.connect(store.superuser, autocommit=True) as connection:
                _fill(connection, store.tenants)
            yield store


def promote(store: Store, scale: float = 1.0) -> list[str]:
    """What the migrations function does each day; returns the indexes that were made."""
    owner = Database(engine(store.database.url("app_owner")))
    usual = Thresholds()
    scaled = Thresholds(round(usual.promote_above * scale), round(usual.demote_below * scale))
    made = maintain(owner, scaled)["made"]
    owner.engine.dispose()
    return made


def _configure(cluster: postgres.Cluster) -> None:
    """As a server of some gigabytes would be: the graph of an index fits into memory."""
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET maintenance_work_mem = '2GB'")
        connection.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
        connection.execute("SELECT pg_reload_conf()")


def _fill(connection: psycopg.Connection[Any], passages: Sequence[Passages]) -> None:
    # The rows are known to fit together: keys are not checked.
    connection.execute("SET session_replication_role = replica")
    connection.execute(
        "INSERT INTO embedding_spaces (id, provider, model, dimensions)"
        " VALUES (%s, 'bench', 'bench', 1536)",
        [SPACE],
    )
    for number, tenant in enumerate(passages):
        _fill_texts(connection, tenant, number)
        copy_vectors(
            connection,
            "chunk_embeddings (organization_id, embedding_space_id, chunk_id, embedding)",
            [[tenant.organization_id] * len(tenant), [SPACE] * len(tenant), tenant.ids],
            tenant.vectors,
        )
    connection.execute("CHECKPOINT")
    for table in ("documents", "chunks", "chunk_embeddings"):
        connection.execute(f"VACUUM ANALYZE {table}")


def _fill_texts(connection: psycopg.Connection[Any], tenant: Passages, number: int) -> None:
    own = tenant.organization_id
    connection.execute(
        "INSERT INTO organizations (id, slug, name) VALUES (%s, %s, 'x')", [own, f"t{number}"]
    )
    connection.execute(
        "INSERT INTO datasets (organization_id, id, slug, name) VALUES (%s, %s, 'd', 'd')",
        [own, own],
    )
    rows = zip(tenant.documents, tenant.tags, strict=True)
    with connection.cursor() as cursor:
        with cursor.copy(
            "COPY documents (organization_id, id, dataset_id, title, hash, version,"
            " processing_status, tags) FROM STDIN"
        ) as copy:
            for document, tag in rows:
                tags = [f"below-{most}" for most in (1, 10, 100) if tag < most]
                copy.write_row((own, document, own, "Title", "0", 1, "completed", tags))
        with cursor.copy(
            "COPY chunks (organization_id, id, document_id, version, chunk_index, start_offset,"
            " end_offset, text, hash) FROM STDIN"
        ) as copy:
            for place, chunk in enumerate(tenant.ids):
                document_number, index = divmod(place, CHUNKS_PER_DOCUMENT)
                of = tenant.documents[document_number]
                copy.write_row((own, chunk, of, 1, index, 0, 1, "Text", "0"))


def copy_vectors(
    connection: psycopg.Connection[Any],
    target: str,
    keys: Sequence[Sequence[UUID]],
    vectors: Vectors,
    numbers: Sequence[NDArray[np.int64]] = (),
) -> None:
    """Fill columns of uuids, then of integers, then the vector; as text it would take minutes."""
    kinds: list[Any] = [("fields", ">i2")]
    kinds += [(f"key{n}", [("length", ">i4"), ("value", "V16")]) for n in range(len(keys))]
    kinds += [(f"n{n}", [("length", ">i4"), ("value", ">i4")]) for n in range(len(numbers))]
    kinds += [("vector", _VECTOR)]
    with connection.cursor().copy(f"COPY {target} FROM STDIN (FORMAT binary)") as copy:
        copy.write(_START)
        for start in range(0, len(vectors), 2_000):
            some = slice(start, start + 2_000)
            rows = np.zeros(len(vectors[some]), np.dtype(kinds))
            rows["fields"] = len(keys) + len(numbers) + 1
            for n, column in enumerate(keys):
                rows[f"key{n}"]["length"] = 16
                rows[f"key{n}"]["value"] = np.frombuffer(
                    b"".join(k.bytes for k in column[some]), "V16"
                )
            for n, values in enumerate(numbers):
                rows[f"n{n}"]["length"] = 4
                rows[f"n{n}"]["value"] = values[some]
            rows["vector"]["length"] = 4 * (STORED_DIMENSIONS + 1)
            rows["vector"]["dimensions"] = STORED_DIMENSIONS
            rows["vector"]["values"] = vectors[some]
            copy.write(rows.tobytes())
        copy.write(_END)
