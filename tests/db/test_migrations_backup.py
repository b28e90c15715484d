"""A dump by the schema's owner holds every tenant's rows, and makes the same database again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from local import postgres
from migrations.bootstrap import bootstrap
from tests.conftest import PASSWORDS, TestDatabase, create_database
from tests.db.generated_rows import two_tenants
from tools.schema import dump

BACKUP = ("--enable-row-security", "--no-comments")


def run(database: TestDatabase, program: str, *arguments: str, name: str = "") -> None:
    """Run one of PostgreSQL's programs as `app_owner`."""
    cluster = database.cluster
    entered = {"PGHOST": str(cluster.host), "PGPORT": str(cluster.port), "PGUSER": "app_owner"}
    entered |= {"PGPASSWORD": PASSWORDS["app_owner"], "PGDATABASE": name or database.name}
    subprocess.run(
        [postgres.binary(program), *arguments],
        env={**os.environ, **entered},
        check=True,
        capture_output=True,
        text=True,
    )


def rows(database: TestDatabase, name: str) -> dict[str, list[tuple[str]]]:
    """Every row of every table, as the superuser sees them."""
    found = {}
    with psycopg.connect(database.cluster.conninfo(name)) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        for (table,) in tables:
            found[table] = connection.execute(
                f"SELECT t::text FROM {table} t ORDER BY 1"
            ).fetchall()
    return found


def test_a_backup_restores_every_row_policy_and_grant(
    database: TestDatabase, tmp_path: Path
) -> None:
    with database.connect() as owner:
        two_tenants(owner)
    backup, restored = str(tmp_path / "backup.sql"), f"{database.name}_restored"
    run(database, "pg_dump", *BACKUP, "--file", backup)
    create_database(database.cluster, restored)
    with psycopg.connect(database.cluster.conninfo(restored), autocommit=True) as master:
        bootstrap(master, PASSWORDS)
    run(database, "psql", "--quiet", "-v", "ON_ERROR_STOP=1", "--file", backup, name=restored)
    before = rows(database, database.name)
    assert {len(there) for table, there in before.items() if table != "alembic_version"} <= {1, 2}
    assert rows(database, restored) == before
    owned = {"user": "app_owner", "password": PASSWORDS["app_owner"]}
    made = [dump(database.cluster.conninfo(n, **owned)) for n in (database.name, restored)]
    assert made[0] == made[1]
    with psycopg.connect(database.cluster.conninfo(), autocommit=True) as master:
        master.execute(f"DROP DATABASE {restored}")


def test_without_row_security_the_owner_is_refused_a_dump(database: TestDatabase) -> None:
    """Why the runbook's command has that option: FORCE binds the owner, whatever its policy."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run(database, "pg_dump", "--file", os.devnull)
    assert "row-level security" in failed.value.stderr
