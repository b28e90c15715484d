"""Explorers, all on one database: what an engine has compiled for it serves them all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from countersign.platform import db
from local import postgres
from tests.conftest import TestDatabase, copied
from tests.crash.acts import Act
from tests.crash.explorer import Explorer


@pytest.fixture(scope="session")
def crash_database(cluster: postgres.Cluster, template: str) -> Iterator[TestDatabase]:
    with copied(cluster, template, "crash") as made:
        yield made
        db.database.cache_clear()


@pytest.fixture
def explore(
    crash_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Act], Explorer]]:
    """Makes the explorer of an act, at most one a test."""
    made: list[Explorer] = []

    def make(act: Act) -> Explorer:
        made.append(Explorer(act, crash_database, monkeypatch))
        made[-1].begin()
        return made[-1]

    # Of what is logged when things go wrong on purpose, nobody reads a line.
    logging.disable()
    yield make
    logging.disable(logging.NOTSET)
    for explorer in made:
        explorer.close()
