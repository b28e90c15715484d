"""A transaction beside another: what the second does until the first has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from countersign.platform.db import Database, engine
from tests.conftest import TestDatabase


@contextmanager
def another_connection(database: TestDatabase) -> Iterator[Database]:
    connected = Database(engine(database.url("app_rw")))
    yield connected
    connected.engine.dispose()


def wait_until_locked_out(database: TestDatabase) -> int:
    """The process id of the one that waits."""
    with database.connect() as connection:
        for _ in range(1500):
            waits = connection.execute("SELECT pid FROM pg_locks WHERE NOT granted").fetchone()
            if waits:
                return int(waits[0])
            time.sleep(0.02)
    pytest.fail("nothing waits for a lock")
