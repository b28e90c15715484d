"""Indexes of one tenant's vectors: when they are made and dropped, and that search never minds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from countersign.knowledge.passages import CHUNKS
from countersign.platform.db import Database, engine
from countersign.platform.errors import Conflict
from countersign.platform.ids import new_id
from countersign.retrieval import near as near_module
from countersign.retrieval.corpus import NOTHING, Filter
from countersign.retrieval.near import near
from local import postgres
from migrations.vector_indexes import Thresholds, maintain
from tests.conftest import TestDatabase, copied
from tests.crash.edges import Crash, Edges, Kind, Point, Process, Trouble

THRESHOLDS = Thresholds(promote_above=30, demote_below=10)
QUESTION = [1.0, 0.5, -0.5, 0.25] + [0.0] * 1532
# As the chunks are numbered, so that a filter may take any share of them.
BELOW = "t.chunk_index < :most"
_FILL = """
INSERT INTO chunks (organization_id, id, document_id, version, chunk_index, start_offset,
                    end_offset, text, hash)
    SELECT %(owner)s, gen_random_uuid(), %(owner)s, 1, n, 0, 1, 'word', 'h'
    FROM generate_series(%(first)s::int, %(last)s::int) AS n;
INSERT INTO chunk_embeddings (organization_id, embedding_space_id, chunk_id, embedding)
    SELECT organization_id, %(space)s, id,
           (ARRAY(SELECT random() - 0.5 FROM generate_series(1, 16) WHERE id IS NOT NULL)
            || array_fill(0, ARRAY[1520]))::vector
    FROM chunks WHERE organization_id = %(owner)s AND chunk_index >= %(first)s;
"""


@dataclass(frozen=True)
class World:
    """Organizations with so many chunks each, in one space."""

    database: TestDatabase
    space: UUID

    def run(self) -> dict[str, list[str]]:
        """What the migrations function does with thresholds that tests can reach."""
        with self.owner() as owner:
            return maintain(owner, THRESHOLDS)

    @contextmanager
    def owner(self) -> Iterator[Database]:
        made = Database(engine(self.database.url("app_owner")))
        try:
            yield made
        finally:
            made.engine.dispose()

    def add(self, chunks: int) -> UUID:
        added = new_id()
        with self.database.connect() as owner:
            owner.execute(
                "INSERT INTO organizations (id, slug, name) VALUES (%s, %s, 'x')",
                [added, f"o{added.hex}"],
            )
            owner.execute(
                "INSERT INTO datasets (organization_id, id, slug, name) VALUES (%s, %s, 'd', 'd')",
                [added, added],
            )
            owner.execute(
                "INSERT INTO documents (organization_id, id, dataset_id, title)"
                " VALUES (%s, %s, %s, 't')",
                [added, added, added],
            )
        self.resize(added, chunks)
        return added

    def resize(self, organization_id: UUID, chunks: int) -> None:
        """Let the organization have so many chunks."""
        with self.database.connect(autocommit=False, cursor_factory=psycopg.ClientCursor) as owner:
            (have,) = owner.execute(
                "SELECT count(*) FROM chunks WHERE organization_id = %s", [organization_id]
            ).fetchone() or (0,)
            sizes = {"owner": organization_id, "first": have, "last": chunks - 1}
            owner.execute(_FILL, {**sizes, "space": self.space})
            owner.execute(
                "DELETE FROM chunks WHERE organization_id = %s AND chunk_index >= %s",
                [organization_id, chunks],
            )

    def found(self, organization_id: UUID, limit: int = 5, where: Filter = NOTHING) -> list[UUID]:
        with self.database.app_rw.tenant(organization_id) as session:
            hits = near(session, CHUNKS, QUESTION, self.space, limit, where)
        assert [hit.similarity for hit in hits] == sorted(h.similarity for h in hits)[::-1]
        return [hit.id for hit in hits]

    def nearest(self, organization_id: UUID, limit: int = 5, most: int = 10**6) -> list[UUID]:
        """The same in plain SQL, which uses no index."""
        with self.database.connect() as owner:
            return [
                chunk
                for (chunk,) in owner.execute(
                    "SELECT id FROM chunks c JOIN chunk_embeddings v ON v.chunk_id = c.id"
                    " WHERE c.organization_id = %s AND chunk_index < %s"
                    " ORDER BY embedding <=> %s::text::vector LIMIT %s",
                    [organization_id, most, str(QUESTION), limit],
                )
            ]

    def indexed(self) -> set[UUID]:
        """Who has an index; fails where one of them is not there, or not valid."""
        with self.database.connect() as owner:
            rows = owner.execute(
                "SELECT organization_id, (SELECT indisvalid FROM pg_index"
                " WHERE indexrelid = to_regclass(index_name)) FROM vector_indexes"
            ).fetchall()
        assert all(is_valid for _, is_valid in rows)
        return {organization_id for organization_id, _ in rows}

    def indexes(self) -> list[str]:
        """The names of all that are there, valid or not."""
        with self.database.connect() as owner:
            named = owner.execute(
                "SELECT relname FROM pg_class WHERE relname LIKE 'near\\_%' ORDER BY 1"
            )
            return [name for (name,) in named]


def make_world(database: TestDatabase) -> World:
    space = new_id()
    with database.connect() as owner:
        owner.execute(
            "INSERT INTO embedding_spaces (id, provider, model, dimensions)"
            " VALUES (%s, 'p', 'm', 9)",
            [space],
        )
    return World(database, space)


@pytest.fixture
def world(database: TestDatabase) -> World:
    return make_world(database)


def test_who_has_outgrown_a_scan_gets_an_index_and_keeps_it_for_a_while(world: World) -> None:
    large, middle, small = (world.add(chunks) for chunks in (31, 30, 9))
    made = world.run()["made"]
    assert (len(made), world.indexed()) == (1, {large})
    assert world.run() == {"made": [], "dropped": []}
    world.resize(middle, 31)
    world.resize(large, 10)
    assert len(world.run()["made"]) == 1
    assert world.indexed() == {large, middle}
    world.resize(large, 9)
    assert world.run() == {"made": [], "dropped": made}
    assert world.indexed() == {middle}
    assert len(world.indexes()) == 1
    for each in (large, middle, small):
        assert world.found(each) == world.nearest(each)


def test_an_index_of_rows_that_are_all_gone_is_dropped(world: World) -> None:
    gone = world.add(31)
    made = world.run()["made"]
    world.resize(gone, 0)
    assert world.run() == {"made": [], "dropped": made}
    assert world.indexed() == set()
    assert world.found(gone) == []


def test_what_a_build_that_failed_left_is_found_and_made_anew(world: World) -> None:
    large = world.add(31)
    with (
        world.database.connect(autocommit=False) as writer,
        world.owner() as owner,
        owner.engine.connect() as connection,
    ):
        connection.exec_driver_sql("SET SESSION lock_timeout = '10ms'")
        connection.commit()
        connection.close()
        # The build waits for this writer, after the index has been entered as invalid.
        writer.execute("UPDATE chunk_embeddings SET embedding = embedding")
        with pytest.raises(DBAPIError, match="lock timeout"):
            maintain(owner, THRESHOLDS)
    (left,) = world.indexes()
    assert world.indexed() == set()
    assert world.run() == {"made": [left], "dropped": [left]}
    assert world.indexed() == {large}


def test_a_row_without_its_index_is_taken_away_first(world: World) -> None:
    large = world.add(31)
    (name,) = world.run()["made"]
    with world.database.connect() as owner:
        owner.execute(f"DROP INDEX {name}")
    assert world.found(large) == world.nearest(large)
    assert world.run() == {"made": [name], "dropped": []}
    assert world.indexed() == {large}


def test_two_runs_do_not_meet(world: World) -> None:
    world.add(31)
    with world.owner() as first, first.engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_advisory_lock(hashtextextended('countersign migrations', 0))"
        )
        with pytest.raises(Conflict, match="is running; wait for its end"):
            world.run()
    assert world.indexes() == []


Hook = Callable[[str], None]


@contextmanager
def at_each_statement(database: Database, hook: Hook) -> Iterator[None]:
    """Call `hook` before and after each statement, in this order."""

    def before(*arguments: Any) -> None:
        hook("before " + " ".join(arguments[2].split()[:3]))

    def after(*arguments: Any) -> None:
        hook("after " + " ".join(arguments[2].split()[:3]))

    event.listen(database.engine, "before_cursor_execute", before)
    event.listen(database.engine, "after_cursor_execute", after)
    yield


def run_with(world: World, trouble: Trouble | None) -> list[Point]:
    """Run with a trouble, which ends it; returns the points that were passed."""
    edges, process = Edges(), Process("migrations")
    edges.begin(trouble)
    with (
        pytest.MonkeyPatch.context() as patch,
        world.owner() as owner,
        edges.inside(process),
        edges.watching(),
        suppress(Crash, DBAPIError),
    ):
        patch.setattr("psycopg.connect", edges.connect)
        maintain(owner, THRESHOLDS)
    process.die()
    return edges.points


def troubles(points: Sequence[Point]) -> Iterator[Trouble]:
    """A death before and after each statement, and an answer that is lost. Another run is refused
    meanwhile, so that none stalls beside one."""
    kinds: tuple[Kind, ...] = ("crash before", "crash after", "no answer")
    return (Trouble(kind, number) for number in range(len(points)) for kind in kinds)


@pytest.fixture
def due(world: World) -> tuple[World, UUID, UUID]:
    """One that has outgrown a scan, and one that has shrunk below its index."""
    large, shrunk = world.add(31), world.add(31)
    world.run()
    with world.database.connect() as owner:
        owner.execute("DELETE FROM vector_indexes WHERE organization_id = %s", [large])
    world.resize(large, 5)
    world.run()
    world.resize(large, 31)
    world.resize(shrunk, 5)
    assert world.indexed() == {shrunk}
    return world, large, shrunk


def test_a_run_that_dies_anywhere_is_completed_by_the_next(
    due: tuple[World, UUID, UUID], cluster: postgres.Cluster
) -> None:
    there, large, shrunk = due
    expected = {each: there.nearest(each) for each in (large, shrunk)}
    there.database.app_rw.engine.dispose()
    numbers = itertools.count()

    @contextmanager
    def copy() -> Iterator[World]:
        with copied(cluster, there.database.name, f"crash_{next(numbers)}") as database:
            yield World(database, there.space)

    with copy() as world:
        points = run_with(world, None)
    for trouble in troubles(points):
        where = f"{trouble.kind} {points[trouble.at]}"
        with copy() as world:
            run_with(world, trouble)
            assert world.indexed() <= {large, shrunk}
            assert {each: world.found(each) for each in expected} == expected, where
            wait_for_the_dead(world)
            world.run()
            assert world.indexed() == {large}, where
            assert len(world.indexes()) == 1, where
    changing = ("DELETE", "DROP", "CREATE", "INSERT")
    labels = [point.label for point in points if point.label.startswith(changing)]
    deleted, dropped, created, listed = labels
    assert (deleted, listed) == ("DELETE vector_indexes", "INSERT vector_indexes")
    assert dropped.startswith("DROP INDEX CONCURRENTLY near_chunk_embeddings_")
    assert created == "CREATE halfvec"
    assert {point.sort for point in points if point.label in labels} == {"commit"}


def wait_for_the_dead(world: World) -> None:
    """The server ends a connection that broke a moment later, and its lock with it."""
    with world.database.connect() as owner:
        owner.execute("SELECT pg_advisory_lock(hashtextextended('countersign migrations', 0))")


def test_search_finds_the_same_at_every_moment(due: tuple[World, UUID, UUID]) -> None:
    world, large, shrunk = due
    expected = {each: world.nearest(each) for each in (large, shrunk)}
    moments = []

    def look(point: str) -> None:
        assert world.indexed() <= {large, shrunk}
        assert {each: world.found(each) for each in expected} == expected, point
        moments.append(point)

    with world.owner() as owner, at_each_statement(owner, look):
        maintain(owner, THRESHOLDS)
    assert len(moments) > 16


@pytest.fixture
def many(world: World) -> tuple[World, UUID]:
    """An organization of so many chunks that the planner takes their index."""
    large = world.add(4_000)
    world.run()
    with world.database.connect() as owner:
        owner.execute("ANALYZE chunks, chunk_embeddings")
    return world, large


@pytest.mark.parametrize("few", [0, 5_000], ids=["by the index", "compared"])
def test_of_what_matches_none_is_missing(
    many: tuple[World, UUID], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, large = many
    monkeypatch.setattr(near_module, "FEW", few)
    for most, limit in itertools.product([40, 400, 4_000], [10, 50]):
        found = world.found(large, limit, Filter(BELOW, {"most": most}))
        nearest = world.nearest(large, limit, most)
        assert len(found) == len(nearest) == min(limit, most)
        assert len(set(found) & set(nearest)) >= 0.95 * len(nearest)


def test_where_a_scan_of_the_index_ends_too_soon_all_are_compared(
    many: tuple[World, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, large = many
    monkeypatch.setattr(near_module, "FEW", 0)
    where = Filter(BELOW, {"most": 12})
    with world.database.app_rw.tenant(large) as session:
        session.execute(text("SET LOCAL hnsw.max_scan_tuples = 1"))
        found = [hit.id for hit in near(session, CHUNKS, QUESTION, world.space, 10, where)]
    assert found == world.nearest(large, 10, 12)


def test_only_a_search_by_index_sets_up_its_transaction(world: World) -> None:
    """On a connection that has not loaded pgvector yet, too."""
    large, small = world.add(31), world.add(5)
    world.run()
    shown = text("SELECT current_setting('hnsw.iterative_scan', true)")
    for tenant, expected in ((large, "relaxed_order"), (small, "off"), (large, "relaxed_order")):
        with world.database.app_rw.tenant(tenant) as session:
            near(session, CHUNKS, QUESTION, world.space, 5)
            assert session.scalar(shown) == expected


@pytest.mark.parametrize("where", [NOTHING, Filter(BELOW, {"most": 2_000})], ids=["all", "half"])
def test_the_index_is_used_whatever_the_parameters_are(
    many: tuple[World, UUID], where: Filter, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, large = many
    monkeypatch.setattr(near_module, "FEW", 100)
    plans = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "halfvec" in statement:
            for name in parameters:
                statement = statement.replace(f"%({name})s", f"${list(parameters).index(name) + 1}")
            cursor.execute("EXPLAIN (GENERIC_PLAN, COSTS OFF) " + statement)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))

    event.listen(world.database.app_rw.engine, "before_cursor_execute", explain)
    world.found(large, 10, where)
    (plan,) = plans
    assert "Index Scan using near_chunk_embeddings_" in plan
