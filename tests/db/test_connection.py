"""Entering the database: with the secret's password of the day, whatever it was before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from countersign.platform import db, secrets
from countersign.platform.ids import new_id
from countersign.platform.settings import DatabaseSettings
from tests.conftest import TestDatabase


class Rotation:
    """A role of its own, the secret that should hold its password, and who enters with it."""

    def __init__(self, database: TestDatabase, patch: pytest.MonkeyPatch) -> None:
        self.cluster, self.reads = database.cluster, list[str]()
        self.held: dict[str, str | None] = {}
        self.tries: list[str] = []
        patch.setattr(secrets, "_read", self._read)
        patch.setattr(db, "REREAD_SECONDS", -1.0)
        self.use(str(database.cluster.host), database)

    def use(self, host: str, database: TestDatabase) -> None:
        secrets._cache.clear()
        settings = DatabaseSettings(
            database_host=host,
            database_port=database.cluster.port,
            database_name=database.name,
            database_secret_id="rotating",
            database_sslmode="disable",
        )
        self.entered = db.database(settings)
        dialect = self.entered.engine.dialect
        connect = dialect.connect

        def noted(*arguments: Any, **options: Any) -> Any:
            self.tries.append(options["password"])
            return connect(*arguments, **options)

        dialect.connect = noted  # type: ignore[method-assign]

    def _read(self, secret_id: str, stage: str) -> str | None:
        self.reads.append(stage)
        password = self.held.get(stage)
        return password and json.dumps({"username": "rotating", "password": password})

    def secret_becomes(self, password: str) -> None:
        self.held = {"AWSCURRENT": password, "AWSPREVIOUS": self.held.get("AWSCURRENT")}

    def role_takes(self, password: str) -> None:
        with psycopg.connect(self.cluster.conninfo(), autocommit=True) as master:
            master.execute(f"ALTER ROLE rotating PASSWORD '{password}'")

    def enters(self) -> list[str]:
        """The passwords that a new connection is tried with until it works, or does not."""
        self.entered.engine.dispose()
        self.tries.clear()
        with self.entered.tenant(new_id()) as session:
            assert session.scalar(text("SELECT current_user")) == "rotating"
        return self.tries


@pytest.fixture
def rotation(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rotation]:
    with psycopg.connect(database.cluster.conninfo(), autocommit=True) as master:
        master.execute("CREATE ROLE rotating LOGIN PASSWORD 'one'")
        made = Rotation(database, monkeypatch)
        made.secret_becomes("one")
        yield made
        made.entered.engine.dispose()
        db.database.cache_clear()
        secrets._cache.clear()
        master.execute("DROP ROLE rotating")


def test_a_password_that_was_rotated_costs_no_error(rotation: Rotation) -> None:
    assert rotation.enters() == ["one"]
    rotation.secret_becomes("two")
    rotation.role_takes("two")
    assert rotation.enters() == ["one", "two"]
    assert rotation.enters() == ["two"]
    assert rotation.reads == ["AWSCURRENT", "AWSCURRENT", "AWSPREVIOUS"]


def test_a_secret_that_is_ahead_of_the_role_costs_no_error(rotation: Rotation) -> None:
    rotation.secret_becomes("two")
    assert rotation.enters() == ["two", "one"]
    rotation.role_takes("two")
    assert rotation.enters() == ["two"]


def test_a_password_that_is_wrong_is_not_tried_again(rotation: Rotation) -> None:
    rotation.role_takes("three")
    rotation.secret_becomes("two")
    with pytest.raises(OperationalError, match="password authentication failed"):
        rotation.enters()
    assert rotation.tries == ["two", "one"]


def test_a_database_that_is_away_is_asked_once(rotation: Rotation, database: TestDatabase) -> None:
    rotation.secret_becomes("two")
    rotation.use("/nowhere", database)
    with pytest.raises(OperationalError, match="nowhere"):
        rotation.enters()
    assert rotation.tries == ["two"]
    assert rotation.reads == ["AWSCURRENT"]
