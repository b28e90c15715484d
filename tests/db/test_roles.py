"""What each role may do, and how roles come to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import IntegrityError, errors, sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from countersign.identity import api_keys
from countersign.identity.api_keys import SCOPES
from countersign.platform.ids import new_id
from local import postgres
from migrations.bootstrap import EXTENSIONS, ROLES, bootstrap
from migrations.upgrade import upgrade
from tests import world
from tests.conftest import PASSWORDS, TestDatabase
from tests.db.generated_rows import Connection, Tenant, delete, insert, two_tenants, update


@pytest.fixture
def tenants(database: TestDatabase) -> tuple[Tenant, Tenant]:
    with database.connect() as owner:
        return two_tenants(owner)


def views(connection: Connection) -> list[str]:
    found = connection.execute(
        "SELECT viewname FROM pg_views WHERE schemaname = 'public'"
    ).fetchall()
    return [row[0] for row in found]


def test_analytics_writes_nothing(database: TestDatabase, tenants: tuple[Tenant, Tenant]) -> None:
    mine = tenants[0]
    with database.connect("app_ro") as connection:
        enter(connection, mine)
        for table in mine.catalogue.columns:
            where = mine.key_of(table) or {"id": mine.rows[table]["id"]}
            with pytest.raises(errors.InsufficientPrivilege):
                insert(connection, table, mine.row(table))
            with pytest.raises(errors.InsufficientPrivilege):
                update(connection, table, where, where)
            with pytest.raises(errors.InsufficientPrivilege):
                delete(connection, table, where)


def test_analytics_sees_the_set_tenant_alone_through_views(
    database: TestDatabase, tenants: tuple[Tenant, Tenant]
) -> None:
    with database.connect("app_ro") as connection:
        for view in views(connection):
            query = sql.SQL("SELECT organization_id FROM {}").format(sql.Identifier(view))
            assert connection.execute(query).fetchall() == [], view
            for tenant in tenants:
                enter(connection, tenant)
                assert connection.execute(query).fetchall() == [(tenant.id,)], view
            connection.execute("RESET app.organization_id")


def test_analytics_sees_no_secret(database: TestDatabase, tenants: tuple[Tenant, Tenant]) -> None:
    with database.connect("app_ro") as connection:
        enter(connection, tenants[0])
        for table in ("api_keys", "idempotency_keys", "outbox"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"SELECT FROM {table}")


def test_the_sweepers_do_their_work_on_all_tenants_and_nothing_else(
    database: TestDatabase, tenants: tuple[Tenant, Tenant]
) -> None:
    may = {
        "audit_checkpoints": {"select", "insert"},
        "audit_events": {"select"},
        "idempotency_keys": {"select", "delete"},
        "organizations": {"select"},
        "outbox": {"select", "delete"},
    }
    mine = tenants[0]
    with database.connect("app_system") as connection:
        for table in mine.catalogue.columns:
            where = mine.key_of(table) or {"id": mine.rows[table]["id"]}
            acts: dict[str, Callable[[], Any]] = {
                "select": partial(count, connection, table),
                "insert": partial(insert, connection, table, mine.row(table)),
                "update": partial(update, connection, table, where, where),
                "delete": partial(delete, connection, table, where),
            }
            allowed = {word for word, act in acts.items() if is_allowed(connection, act)}
            assert allowed == may.get(table, set()), table
        for table in may:
            assert count(connection, table) == len(tenants), table


def count(connection: Connection, table: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    row = connection.execute(query).fetchone()
    assert row
    return int(row[0])


def is_allowed(connection: Connection, act: Callable[[], Any]) -> bool:
    """Whether grants and policies let `act` happen, which is then undone."""
    try:
        with connection.transaction(force_rollback=True):
            act()
    except errors.InsufficientPrivilege:
        return False
    except IntegrityError:
        pass
    return True


def enter(connection: Connection, tenant: Tenant) -> None:
    connection.execute("SELECT set_config('app.organization_id', %s, false)", [str(tenant.id)])


def test_an_api_key_is_found_before_its_tenant_is_known(database: TestDatabase) -> None:
    tenant = world.add_tenant(database)
    now = datetime.now(UTC)
    with database.app_rw.system() as session:
        found = api_keys.authenticate(session, f"Bearer {tenant.key}", now)
    assert found == tenant.principal
    with database.connect("app_rw") as connection:
        assert connection.execute("SELECT count(*) FROM api_keys").fetchone() == (0,)


def test_nobody_else_may_look_keys_up(database: TestDatabase) -> None:
    for role in ("app_ro", "app_system"):
        with (
            database.connect(role) as connection,
            pytest.raises(errors.InsufficientPrivilege, match="find_api_key"),
        ):
            connection.execute("SELECT * FROM find_api_key(%s)", [new_id()])


def test_a_key_that_approves_belongs_to_a_person(database: TestDatabase) -> None:
    tenant = world.add_tenant(database)
    with database.connect() as owner, pytest.raises(errors.CheckViolation, match="is_a_person"):
        owner.execute(
            "INSERT INTO api_keys (organization_id, id, name, secret_hash, scopes, expires_at)"
            " VALUES (%s, %s, 'robot', %s, %s, now())",
            [tenant.organization_id, new_id(), bytes(32), list(SCOPES)],
        )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET type = type",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "TRUNCATE organizations CASCADE",
    ],
)
@pytest.mark.parametrize("role", [*ROLES, "master"])
def test_nobody_changes_the_record(
    database: TestDatabase, tenants: tuple[Tenant, Tenant], role: str, statement: str
) -> None:
    if role == "master":
        opened = psycopg.connect(database.cluster.conninfo(database.name), autocommit=True)
    else:
        opened = database.connect(role)
    refused = {"app_owner": errors.RaiseException, "master": errors.RaiseException}
    with opened as connection:
        enter(connection, tenants[0])
        with pytest.raises(refused.get(role, errors.InsufficientPrivilege)):
            connection.execute(statement)


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[postgres.Cluster, Path]]:
    """A cluster whose master user is no superuser, as in a managed service, and its log."""
    folder = tmp_path_factory.mktemp("managed")
    with postgres.running(folder, fsync=False) as cluster:
        with psycopg.connect(cluster.conninfo(), autocommit=True) as superuser:
            superuser.execute("CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD 'master'")
            superuser.execute("CREATE DATABASE countersign OWNER master")
            superuser.execute("ALTER SYSTEM SET log_statement = 'ddl'")
            superuser.execute("SELECT pg_reload_conf()")
        with psycopg.connect(cluster.conninfo("countersign"), autocommit=True) as superuser:
            # What a managed service lets its master user do by a list of its own.
            for extension in EXTENSIONS:
                superuser.execute(f"CREATE EXTENSION {extension}")
        yield cluster, folder / "log"


def make_roles(cluster: postgres.Cluster, passwords: dict[str, str]) -> None:
    entered = cluster.conninfo("countersign", user="master", password="master")
    with psycopg.connect(entered, autocommit=True) as master:
        bootstrap(master, passwords)


def test_a_managed_services_master_user_makes_the_roles(
    managed: tuple[postgres.Cluster, Path],
) -> None:
    cluster, log = managed
    for _ in range(2):
        make_roles(cluster, PASSWORDS)
    entered = cluster.conninfo("countersign", user="app_owner", password=PASSWORDS["app_owner"])
    owner = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(entered), poolclass=NullPool
    )
    with owner.connect() as connection:
        assert upgrade(connection, "post")
    written = log.read_text()
    assert "ALTER ROLE" in written
    assert not [password for password in PASSWORDS.values() if password in written]


def test_roles_made_again_take_new_passwords(managed: tuple[postgres.Cluster, Path]) -> None:
    cluster, _ = managed
    make_roles(cluster, PASSWORDS)
    make_roles(cluster, {**PASSWORDS, "app_rw": "another"})
    psycopg.connect(cluster.conninfo("countersign", user="app_rw", password="another")).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            cluster.conninfo("countersign", user="app_rw", password=PASSWORDS["app_rw"])
        )
