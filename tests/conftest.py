"""A real PostgreSQL for the tests: one cluster a session, one database a test."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import URL, create_engine
from sqlalchemy.pool import NullPool

from countersign.platform.db import Database, engine
from local import postgres
from local.locks import AlreadyRunning, exclusive
from migrations.bootstrap import ROLES, bootstrap
from migrations.upgrade import upgrade

PASSWORDS = {role: f"password-of-{role}" for role in ROLES}
MEMORY, PREFIX = Path("/dev/shm"), "countersign-tests-"
ROOM_BYTES = 4 * 1024**3
_numbers = itertools.count()

# On a busy machine anything may take long now and then. Where `CI` is set, hypothesis plays the
# same examples each time: new ones are looked for where somebody works on the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


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
    """The session's PostgreSQL; nothing of it need survive, so it does not wait for the disk.

    It lies in memory where there is room: each test's database is some three hundred files.
    """
    _remove_leftovers()
    place = MEMORY if _has_room() else tmp_path_factory.getbasetemp()
    with (
        TemporaryDirectory(prefix=PREFIX, dir=place) as folder,
        postgres.running(Path(folder), fsync=False) as running,
    ):
        yield running


def _has_room() -> bool:
    if not MEMORY.is_dir():
        return False
    free = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available)
    return free > ROOM_BYTES


def _remove_leftovers() -> None:
    """End and remove what sessions that were killed left in memory."""
    an_hour_ago = time.time() - 3600
    for folder in MEMORY.glob(f"{PREFIX}*"):
        # Other sessions remove theirs, and what they find, at the same time.
        with suppress(AlreadyRunning, FileNotFoundError):
            if folder.stat().st_mtime < an_hour_ago:
                with exclusive(folder / "lock"):
                    postgres.stop_leftover(folder)
                    shutil.rmtree(folder)


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
        _wait_for_backends(connection, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _wait_for_backends(connection: psycopg.Connection[Any], database: str) -> None:
    """Let closed connections end: DROP DATABASE sleeps ten times as long if it finds one."""
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = %s"
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline and connection.execute(query, [database]).fetchone():
        time.sleep(0.001)


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
