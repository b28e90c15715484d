"""The revisions: up, down, and what only their owner may see."""

from __future__ import annotations

import psycopg
from countersign.platform.ids import new_id
from migrations.upgrade import downgrade, upgrade
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.conftest import TestDatabase

REVISIONS = ["0008", "0007", "0006", "0005", "0004", "0003", "0002", "0001", "base"]


def tables(database: TestDatabase) -> set[str]:
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
    return {row[0] for row in rows}


def test_every_revision_goes_down_and_up_again(database: TestDatabase) -> None:
    before = tables(database)
    owner = create_engine(database.url("app_owner"), poolclass=NullPool)
    with owner.connect() as connection:
        for revision in REVISIONS:
            downgrade(connection, revision)
        connection.commit()
    assert tables(database) == {"alembic_version"}
    with owner.connect() as connection:
        upgrade(connection, "pre")
        upgrade(connection, "post")
        connection.commit()
    assert tables(database) == before
