"""A real PostgreSQL for the tests: one cluster a session, one database a test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.pool import NullPool

from countersign.platform.db import Database, engine
from local import postgres
from migrations.bootstrap import ROLES, bootstrap
from migrations.upgrade import upgrade

PASSWORDS = {role: f"password-of-{role}" for role in ROLES}
_numbers = itertools.count()


@dataclass(frozen=True)
class TestDatabase:
    """One database of the test cluster, entered as each of the product's roles."""

    __test__ = False

    cluster: postgres.Cluster
    name: str
    app_rw: Database
    app_system: Database

    def url(self, role: str) -> URL:
        return _url(self.cluster, self.name, role)

    def connect(self, role: str = "app_owner", **options: Any) -> psycopg.Connection[Any]:
        """A connection of its own, in autocommit mode unless told otherwise."""
        return psycopg.connect(
            self.cluster.conninfo(self.name, user=role, password=PASSWORDS[role]),
            **{"autocommit": True, **options},
        )


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Cluster]:
    """The session's PostgreSQL; nothing of it need survive, so it does not wait for the disk."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    with postgres.running(folder, fsync=False) as running:
        yield running


@pytest.fixture(scope="session")
def template(cluster: postgres.Cluster) -> str:
    """The name of an upgraded, empty database that others are copied from."""
    return make_template(cluster)


@pytest.fixture
def database(cluster: postgres.Cluster, template: str) -> Iterator[TestDatabase]:
    """A database of this test's own, upgraded and empty."""
    with copied(cluster, template, f"test_{next(_numbers)}") as made:
        yield made


def make_template(cluster: postgres.Cluster, name: str = "template_countersign") -> str:
    """Make a database with roles, extensions and every revision; returns its name."""
    create_database(cluster, name)
    with psycopg.connect(cluster.conninfo(name), autocommit=True) as connection:
        bootstrap(connection, PASSWORDS)
    owner = create_engine(_url(cluster, name, "app_owner"), poolclass=NullPool)
    with owner.connect() as connection:
        upgrade(connection, "post")
        connection.commit()
    return name


@contextmanager
def copied(cluster: postgres.Cluster, template: str, name: str) -> Iterator[TestDatabase]:
    """A copy of `template` for the length of the block."""
    create_database(cluster, name, template)
    made = TestDatabase(
        cluster,
        name,
        Database(engine(_url(cluster, name, "app_rw"))),
        Database(engine(_url(cluster, name, "app_system"))),
    )
    yield made
    made.app_rw.engine.dispose()
    made.app_system.engine.dispose()
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def create_database(cluster: postgres.Cluster, name: str, template: str = "template0") -> None:
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


def _url(cluster: postgres.Cluster, name: str, role: str) -> URL:
    return URL.create(
        "postgresql+psycopg",
        username=role,
        password=PASSWORDS[role],
        database=name,
        query={"host": str(cluster.host), "port": str(cluster.port)},
    )
