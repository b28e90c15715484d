"""What reads a table that grows for years: by an index, and no more of it than it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from countersign.knowledge import languages, passages, reading
from countersign.knowledge.schemas import DocumentsQuery, JobRunsQuery
from countersign.knowledge.tables import Dataset
from countersign.people import directory, suppressions
from countersign.people.schemas import SuppressionsQuery
from countersign.platform import checkpoints, clock, paging, storage
from countersign.platform.db import Database
from countersign.platform.outbox import Outbox
from countersign.retrieval.corpus import NOTHING
from tests import world
from tests.conftest import TestDatabase
from tests.world import QUEUE_URLS, MemoryQueues, Path, memory_queues

__all__ = ["memory_queues"]


@contextmanager
def plans(database: Database, table: str) -> Iterator[list[str]]:
    """The plans of the queries of `table` in the block, under the block's role and tenant."""
    found: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")) and table in statement:
            cursor.execute("EXPLAIN (COSTS OFF) " + statement, parameters)
            found.append("\n".join(line for (line,) in cursor.fetchall()))

    event.listen(database.engine, "before_cursor_execute", explain)
    yield found
    event.remove(database.engine, "before_cursor_execute", explain)


def fill(database: TestDatabase, table: str, rows: str) -> None:
    """Put generated rows into a table, and let the planner know all of them."""
    superuser = database.cluster.conninfo(database.name)
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(f"INSERT INTO {table} {rows}")
        # Commits do not wait for the disk here, and what is not on it is not vacuumed.
        connection.execute("CHECKPOINT")
        connection.execute(f"VACUUM ANALYZE {table}")


@pytest.fixture
def path(database: TestDatabase, memory_queues: MemoryQueues) -> Path:
    return Path(database, world.add_tenant(database), memory_queues)


def test_a_sweep_does_not_read_what_is_far_ahead(path: Path, database: TestDatabase) -> None:
    rows = f"""
        (organization_id, id, queue, body, not_before, created_at)
        SELECT '{path.tenant.organization_id}', gen_random_uuid(), 'outbound', '{{}}',
               now() + interval '1 day', now() - interval '1 hour'
        FROM generate_series(1, 20000)
    """
    fill(database, "outbox", rows)
    with plans(database.app_system, "outbox") as (found):
        assert Outbox(database.app_system, QUEUE_URLS).sweep() is True
    assert "Index Scan using ix_outbox_not_before" in found[0]
    assert "Sort" not in found[0]


def test_checkpoints_look_at_the_newest_of_each_organization(
    path: Path, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "put", lambda *_: None)
    rows = f"""
        (organization_id, day, object_key, streams, sha256)
        SELECT '{path.tenant.organization_id}', current_date - 1 - number, 'key', 0, ''
        FROM generate_series(1, 5000) AS number
    """
    fill(database, "audit_checkpoints", rows)
    with plans(database.app_system, "audit_checkpoints") as found:
        assert checkpoints.take(database.app_system, "audit", clock.now()) == 1
    assert "Limit" in found[0]
    assert "Index Only Scan Backward using audit_checkpoints_pkey" in found[0]


def test_what_a_day_has_cost_is_read_from_an_index_alone(
    path: Path, database: TestDatabase
) -> None:
    rows = f"""
        (organization_id, id, kind, model_key, input_tokens, output_tokens, cost_microusd,
         created_at)
        SELECT '{path.tenant.organization_id}', gen_random_uuid(), 'chat', 'openai/quoter', 1, 1, 1,
               now() - number * interval '1 minute'
        FROM generate_series(1, 20000) AS number
    """
    fill(database, "model_usage", rows)
    path.receive(path.tenant.webhook("Hello?"))
    with plans(database.app_rw, "model_usage") as found:
        path.draft()
    assert "Index Only Scan using ix_model_usage_organization_id_created_at" in found[0]


def fill_suppressions(path: Path, database: TestDatabase) -> None:
    """Half of them the tenant's, half another's."""
    other = world.add_tenant(database, "other")
    rows = f"""
        (organization_id, id, address, reason)
        SELECT organization_id, gen_random_uuid(), number || '@example.com', 'bounced'
        FROM generate_series(1, 10000) AS number,
             unnest(ARRAY['{path.tenant.organization_id}', '{other.organization_id}']::uuid[])
             AS organization_id
    """
    fill(database, "suppressions", rows)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"cursor": paging.encode(paging.LAST)}, "Index Scan Backward using suppressions_pkey"),
        ({"address": "500@example.com"}, "using uq_suppressions_address"),
    ],
)
def test_suppressions_are_read_from_the_cursor_on_or_by_address(
    path: Path, database: TestDatabase, query: dict[str, Any], index: str
) -> None:
    fill_suppressions(path, database)
    asked = SuppressionsQuery(limit=50, **query)
    with plans(database.app_rw, "suppressions") as found, path.tenant_session() as session:
        suppressions.read(session, asked)
    assert index in found[0]
    if "cursor" in query:
        assert "Sort" not in found[0]


def test_whether_addresses_are_suppressed_is_asked_of_an_index(
    path: Path, database: TestDatabase
) -> None:
    fill_suppressions(path, database)
    asked = ["Ada@example.com", "500@Example.com", "+15550100001"]
    with plans(database.app_rw, "suppressions") as found, path.tenant_session() as session:
        assert directory.suppressed(session, asked) == {"500@Example.com"}
    assert "uq_suppressions_address" in found[0]
    (condition,) = (line for line in found[0].splitlines() if "Index Cond" in line)
    assert "address" in condition


def test_what_languages_there_are_is_asked_of_an_index(path: Path, database: TestDatabase) -> None:
    own = path.tenant.organization_id
    with path.tenant_session() as session:
        session.add(Dataset(organization_id=own, id=own, slug="d", name="D"))
    rows = f"""
        (organization_id, id, dataset_id, title, language, processing_status)
        SELECT '{own}', gen_random_uuid(), '{own}', 'T',
               CASE WHEN number % 1000 = 0 THEN 'german' ELSE 'english' END, 'completed'
        FROM generate_series(1, 20000) AS number
    """
    fill(database, "documents", rows)
    with plans(database.app_rw, "documents") as found, path.tenant_session() as session:
        assert languages.of_documents(session) == ["english", "german"]
    assert "Index Only Scan using ix_documents_language" in found[0]
    assert "Seq Scan" not in found[0]
    with plans(database.app_rw, "documents") as found, path.tenant_session() as session:
        assert passages.shown(session) == NOTHING
    assert "ix_documents_processing_status" in found[0]
    asked = DocumentsQuery(limit=50, processing_status="failed")
    with plans(database.app_rw, "documents") as found, path.tenant_session() as session:
        assert reading.documents(session, asked).items == []
    assert "ix_documents_processing_status" in found[0]
    assert "Sort" not in found[0]


def test_job_runs_are_listed_by_status_from_an_index(path: Path, database: TestDatabase) -> None:
    rows = f"""
        (organization_id, id, type, status)
        SELECT '{path.tenant.organization_id}', gen_random_uuid(), 'index', 'succeeded'
        FROM generate_series(1, 20000)
    """
    fill(database, "job_runs", rows)
    asked = JobRunsQuery(limit=50, status="failed")
    with plans(database.app_rw, "job_runs") as found, path.tenant_session() as session:
        assert reading.job_runs(session, asked).items == []
    assert "ix_job_runs_organization_id_status" in found[0]
    assert "Sort" not in found[0]
