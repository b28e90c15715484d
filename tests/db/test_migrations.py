"""The revisions: up and down, in two phases, one at a time, and what their owner sees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from countersign.platform.errors import Conflict
from migrations.upgrade import check_current, config, downgrade, upgrade
from tests.conftest import PASSWORDS, TestDatabase
from tests.db.generated_rows import two_tenants
from tools.schema import dump

REVISION = """
from alembic import op

revision, down_revision, phase = "{name}", "{before}", "{phase}"
branch_labels = depends_on = None


def upgrade() -> None:
    op.execute("{up}")


def downgrade() -> None:
    pass
"""


@pytest.fixture
def owner(database: TestDatabase) -> Iterator[Connection]:
    entered = create_engine(database.url("app_owner"), poolclass=NullPool)
    with entered.connect() as connection:
        yield connection


def script() -> ScriptDirectory:
    return ScriptDirectory.from_config(config())


def current(connection: Connection) -> str:
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    connection.commit()
    return str(found)


def schema(database: TestDatabase) -> str:
    cluster, password = database.cluster, PASSWORDS["app_owner"]
    return dump(cluster.conninfo(database.name, user="app_owner", password=password))


def test_each_revision_goes_down_to_what_was_before(
    database: TestDatabase, owner: Connection
) -> None:
    up = [made.revision for made in script().walk_revisions()][::-1]
    at_head = schema(database)
    downgrade(owner, "base")
    before = {}
    for revision in up:
        before[revision] = schema(database)
        command.upgrade(config(owner), revision)
    assert schema(database) == at_head
    for revision in reversed(up):
        downgrade(owner, "-1")
        assert schema(database) == before[revision], revision


def test_each_revision_says_its_phase_and_there_is_one_line_of_them() -> None:
    assert len(script().get_heads()) == 1
    assert {made.module.phase for made in script().walk_revisions()} <= {"pre", "post"}


def later(connection: Connection, folder: Path, *phases: str, up: str = "SELECT 1") -> Config:
    """The configuration with more revisions after the newest: "later1", "later2", …"""
    (before,) = script().get_heads()
    for number, phase in enumerate(phases, 1):
        name = f"later{number}"
        content = REVISION.format(name=name, before=before, phase=phase, up=up)
        (folder / f"{name}.py").write_text(content)
        before = name
    made = config(connection)
    made.set_main_option("path_separator", "os")
    made.set_main_option("version_locations", os.pathsep.join([script().versions, str(folder)]))
    return made


def test_pre_stops_before_what_the_running_code_may_not_bear(
    owner: Connection, tmp_path: Path
) -> None:
    using = later(owner, tmp_path, "pre", "post", "post")
    assert upgrade(owner, "pre", using) == "later1" == current(owner)
    assert upgrade(owner, "pre", using) == "later1" == current(owner)
    assert upgrade(owner, "post", using) == "later3" == current(owner)
    assert upgrade(owner, "post", using) == "later3" == current(owner)


def test_pre_after_post_leaves_the_schema_where_it_is(owner: Connection, tmp_path: Path) -> None:
    using = later(owner, tmp_path, "pre", "post")
    upgrade(owner, "post", using)
    assert upgrade(owner, "pre", using) == "later2" == current(owner)


def test_a_skipped_release_is_refused_before_anything_is_done(
    owner: Connection, tmp_path: Path
) -> None:
    using = later(owner, tmp_path, "pre", "post", "pre")
    head = current(owner)
    with pytest.raises(Conflict, match="later3"):
        upgrade(owner, "pre", using)
    assert current(owner) == head
    upgrade(owner, "post", using)
    assert current(owner) == "later3"


def test_an_empty_database_takes_every_revision(owner: Connection, tmp_path: Path) -> None:
    downgrade(owner, "base")
    using = later(owner, tmp_path, "pre", "post", "pre")
    assert upgrade(owner, "pre", using) == "later3"


def test_a_revision_that_fails_leaves_the_ones_before_it(owner: Connection, tmp_path: Path) -> None:
    using = later(owner, tmp_path, "pre", "pre", up="CREATE TABLE once ()")
    with pytest.raises(Exception, match="already exists"):
        upgrade(owner, "pre", using)
    assert current(owner) == "later1"
    owner.execute(text("DROP TABLE once"))
    owner.commit()
    assert upgrade(owner, "pre", using) == "later2"


def test_two_upgrades_do_not_run_at_once(database: TestDatabase, owner: Connection) -> None:
    upgrade(owner, "pre")
    other = create_engine(database.url("app_owner"), poolclass=NullPool)
    with other.connect() as connection:
        connection.execute(
            text("SELECT pg_advisory_lock(hashtextextended('countersign migrations', 0))")
        )
        with pytest.raises(Conflict, match="Another upgrade"):
            upgrade(owner, "pre")
        # The server lets go of what a closed connection held only when it has noticed.
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
    upgrade(owner, "pre")


def test_code_that_is_older_or_newer_than_the_schema_is_told_so(
    owner: Connection, tmp_path: Path
) -> None:
    check_current(owner)
    downgrade(owner, "-1")
    with pytest.raises(Conflict, match="lacks the revision"):
        check_current(owner)
    upgrade(owner, "post", later(owner, tmp_path, "post"))
    with pytest.raises(Conflict, match="older than the schema"):
        check_current(owner)
    with pytest.raises(Conflict, match="older than the schema"):
        upgrade(owner, "pre")


def test_a_backfill_reaches_the_rows_of_every_tenant(
    database: TestDatabase, owner: Connection, tmp_path: Path
) -> None:
    with database.connect() as connection:
        tenants = two_tenants(connection)
    update = "UPDATE {table} SET {key} = {key}"
    tables = {t: tenants[0].catalogue.tenant_key(t) for t in tenants[0].catalogue.tenant_tables}
    for table, key in tables.items():
        if table != "audit_events":
            done = owner.execute(text(update.format(table=table, key=key)))
            assert done.rowcount == len(tenants), table
    owner.commit()
    backfill = "UPDATE organization_settings SET undo_seconds = 7"
    upgrade(owner, "pre", later(owner, tmp_path, "pre", up=backfill))
    found = owner.execute(text("SELECT undo_seconds FROM organization_settings")).scalars().all()
    assert found == [7, 7]
