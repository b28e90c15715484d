"""What the cold starts are measured against: it must say what the real ones said, and no less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench import libraries
from bench.postgres_stub import Diverged, Recording, Replay, recorded, replayed
from tests.conftest import PASSWORDS, TestDatabase


def ask(folder: Path, name: str, *statements: str) -> list[Any]:
    """The answers to statements, on a connection of their own."""
    with psycopg.connect(
        host=str(folder), user="app_rw", password=PASSWORDS["app_rw"], dbname=name
    ) as connection:
        return [connection.execute(statement).fetchall() for statement in statements]


NOW = "SELECT clock_timestamp()", "SELECT g, 'x' FROM generate_series(1, 500) g"


@pytest.fixture
def replay(database: TestDatabase, tmp_path: Path) -> Replay:
    recording = Recording()
    with recorded(tmp_path, database.cluster.host, recording):
        ask(tmp_path, database.name, *NOW)
    return Replay(recording)


def test_what_postgres_said_is_told_again(
    database: TestDatabase, replay: Replay, tmp_path: Path
) -> None:
    told = []
    with replayed(tmp_path, replay):
        for _ in range(2):
            replay.begin()
            told.append(ask(tmp_path, database.name, *NOW))
            replay.check()
    assert told[0] == told[1]
    assert len(told[0][1]) == 500
    assert told[0][0] < ask(database.cluster.host, database.name, NOW[0])[0]


def test_who_asks_for_less_or_more_is_found(
    database: TestDatabase, replay: Replay, tmp_path: Path
) -> None:
    with replayed(tmp_path, replay):
        replay.begin()
        ask(tmp_path, database.name, NOW[0])
        with pytest.raises(Diverged):
            replay.check()
        replay.begin()
        with pytest.raises(psycopg.Error):
            ask(tmp_path, database.name, *NOW, *NOW)


def test_the_peer_imports_what_our_modules_imported_of_others(tmp_path: Path) -> None:
    log = tmp_path / "imports"
    log.write_text(
        '["json", []]\n["boto3", []]\n["countersign.platform", ["db"]]\n'
        '["sqlalchemy.orm", ["Session", "Mapped"]]\n["boto3", []]\n'
    )
    found = libraries.imported(log)
    assert found == ["import boto3", "from sqlalchemy.orm import Session, Mapped"]
    peer = tmp_path / "peer"
    libraries.write(peer, found, ["sqs"], True, {"batchItemFailures": []})
    source = (peer / "app.py").read_text()
    for line in (*found, "    boto3.client('sqs')", libraries.ENGINE):
        assert line in source
    assert list(peer.glob("__pycache__/app.*.pyc"))
