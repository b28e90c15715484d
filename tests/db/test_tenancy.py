"""Two tenants with a row in every table: neither reads, writes or points to the other's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from countersign.platform.db import Database, engine
from tests.conftest import TestDatabase
from tests.db.generated_rows import (
    Connection,
    Tenant,
    delete,
    insert,
    insert_unseen,
    two_tenants,
    update,
)
from tools.tenancy import NOT_FOR_ANALYTICS, OF_MEMBERS

SECURED = "row-level security policy"


@dataclass
class World:
    """Two tenants; `owner` sees all, `theirs` enters as a role in the other one's transaction."""

    database: TestDatabase
    owner: Connection
    one: Tenant
    other: Tenant

    @property
    def tables(self) -> list[str]:
        return self.one.catalogue.tenant_tables

    @contextmanager
    def as_other(self, role: str = "app_rw") -> Iterator[Connection]:
        """A transaction of `other`, rolled back unless it is committed."""
        with self.database.connect(role, autocommit=False) as connection:
            connection.execute(
                "SELECT set_config('app.organization_id', %s, true)", [str(self.other.id)]
            )
            yield connection
            connection.rollback()

    def content(self, tenant: Tenant) -> dict[str, list[Any]]:
        """All rows of a tenant, as they stand."""
        return {table: self._rows(table, tenant) for table in self.tables}

    def _rows(self, table: str, tenant: Tenant) -> list[Any]:
        query = sql.SQL("SELECT t::text FROM {} t WHERE {} = %s ORDER BY 1").format(
            sql.Identifier(table), sql.Identifier(tenant.catalogue.tenant_key(table))
        )
        return self.owner.execute(query, [tenant.id]).fetchall()


@pytest.fixture
def world(database: TestDatabase) -> Iterator[World]:
    with database.connect() as owner:
        yield World(database, owner, *two_tenants(owner))


@pytest.fixture
def widened(world: World) -> World:
    """Every grant given: whatever still holds, the policies alone hold."""
    world.owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO app_rw, app_ro")
    return world


def refusal(act: Callable[..., Any], connection: Connection, *arguments: Any) -> str:
    """What the database says against `act`, or nothing."""
    try:
        with connection.transaction():
            act(connection, *arguments)
    except psycopg.Error as error:
        return error.diag.message_primary or str(error)
    return ""


def test_the_world_has_a_row_of_each_tenant_in_every_table(world: World) -> None:
    assert len(world.tables) >= 30
    for tenant in (world.one, world.other):
        assert {len(rows) for rows in world.content(tenant).values()} == {1}


@pytest.mark.parametrize("role", ["app_rw", "app_ro"])
def test_a_tenant_reads_its_own_rows_alone(widened: World, role: str) -> None:
    seen = {}
    with widened.as_other(role) as connection:
        for table in widened.tables:
            key = sql.Identifier(widened.one.catalogue.tenant_key(table))
            query = sql.SQL("SELECT {} FROM {}").format(key, sql.Identifier(table))
            seen[table] = connection.execute(query).fetchall()
    # Their policies are for app_rw alone.
    hidden = NOT_FOR_ANALYTICS if role == "app_ro" else set()
    for table, rows in seen.items():
        assert rows == ([] if table in hidden else [(widened.other.id,)]), table


def test_a_tenant_changes_nothing_of_another(widened: World) -> None:
    before = widened.content(widened.one)
    with widened.as_other() as connection:
        for table in widened.tables:
            theirs = widened.one.key_of(table)
            if table == "audit_events":
                assert "append-only" in refusal(update, connection, table, theirs, theirs)
                assert "append-only" in refusal(delete, connection, table, theirs)
            else:
                assert update(connection, table, theirs, theirs) == 0, table
                assert delete(connection, table, theirs) == 0, table
        connection.commit()
    assert widened.content(widened.one) == before


def test_a_tenant_adds_nothing_to_another(widened: World) -> None:
    with widened.as_other() as connection:
        for table in widened.tables:
            row = widened.one.row(table)
            for act in (insert, insert_unseen):
                assert SECURED in refusal(act, connection, table, row), table


def test_a_tenant_gives_nothing_to_another(widened: World) -> None:
    with widened.as_other() as connection:
        for table in set(widened.tables) - {"audit_events"}:
            mine, theirs = widened.other.key_of(table), widened.one.key_of(table)
            for where in (mine, {}):
                said = refusal(update, connection, table, where, theirs)
                assert SECURED in said, table


def test_no_row_points_to_another_tenants(world: World) -> None:
    """The check of a foreign key ignores policies, so the key itself must name the tenant."""
    tried = 0
    for key in world.one.catalogue.keys:
        if key.target not in world.tables or key.target == "organizations":
            continue
        target = world.one.rows[key.target]
        pairs = zip(key.columns, key.referenced, strict=True)
        foreign = {c: target[r] for c, r in pairs if c != "organization_id"}
        mine = world.other.key_of(key.table)
        said = refusal(update, world.owner, key.table, mine, foreign)
        assert key.name in said, f"{key.table}: {key.name} let a row point to another tenant's"
        tried += 1
    assert tried >= 35


@pytest.mark.parametrize("role", ["app_rw", "app_ro"])
def test_without_a_tenant_nothing_is_seen(widened: World, role: str) -> None:
    """Whether it was never set, or is empty, as it is after another's transaction."""
    for value in (None, ""):
        with widened.database.connect(role) as connection:
            if value is not None:
                connection.execute("SELECT set_config('app.organization_id', %s, false)", [value])
            for table in [*widened.tables, *OF_MEMBERS]:
                query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
                assert connection.execute(query).fetchone() == (0,), table


def test_a_pooled_connection_keeps_nothing_of_a_tenant(world: World) -> None:
    pooled = Database(engine(world.database.url("app_rw")))
    whose = text(
        "SELECT pg_backend_pid(), current_setting('app.organization_id', true),"
        " (SELECT array_agg(organization_id) FROM conversations)"
    )
    with pooled.tenant(world.one.id) as session:
        first = session.execute(whose).one()
    with pooled.system() as session:
        between = session.execute(whose).one()
    with pytest.raises(ZeroDivisionError), pooled.tenant(world.one.id) as session:
        raise ZeroDivisionError
    with pooled.system() as session:
        after_failure = session.execute(whose).one()
    with pooled.tenant(world.other.id) as session:
        second = session.execute(whose).one()
    pooled.engine.dispose()
    assert first == (first[0], str(world.one.id), [world.one.id])
    assert between == (first[0], "", None)
    assert after_failure == between
    assert second == (first[0], str(world.other.id), [world.other.id])


@pytest.mark.parametrize("table", sorted(OF_MEMBERS))
def test_people_are_seen_through_their_membership(world: World, table: str) -> None:
    query = sql.SQL("SELECT id FROM {}").format(sql.Identifier(table))
    with world.as_other() as connection:
        seen = connection.execute(query).fetchall()
    assert seen == [(world.other.rows[table]["id"],)]
    both = {"organization_id": world.other.id, "user_id": world.one.rows["users"]["id"]}
    insert(world.owner, "organization_memberships", {**both, "ended_at": "2026-01-02T03:04:05Z"})
    with world.as_other() as connection:
        seen = connection.execute(query).fetchall()
    assert len(seen) == 2


def test_a_subject_of_a_provider_is_one_user(world: World) -> None:
    taken = world.one.rows["identities"]
    again = {**taken, "id": uuid4(), "user_id": world.other.rows["users"]["id"]}
    said = refusal(insert, world.owner, "identities", again)
    assert "uq_identities_provider_subject" in said


def test_json_of_more_than_64_kb_is_refused(world: World) -> None:
    columns = [
        (table, column.name)
        for table, columns in world.one.catalogue.columns.items()
        for column in columns
        if column.type == "jsonb"
    ]
    assert len(columns) >= 12
    for table, column in columns:
        where = world.one.key_of(table)
        most = '"' + "a" * (64 * 1024 - 2) + '"'
        fits, exceeds = {column: most}, {column: most[:-1] + 'a"'}
        assert update(world.owner, table, where, fits) == 1
        said = refusal(update, world.owner, table, where, exceeds)
        assert "violates check constraint" in said, f"{table}.{column}"
