"""The embedded PostgreSQL: private, quick to come back, and harmless to its surroundings."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from local import postgres
from local.locks import AlreadyRunning
from local.state import State

HOLD = """
import sys, time
from pathlib import Path
from local import postgres
with postgres.running(Path(sys.argv[1]), fsync=False) as cluster:
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def held(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another process that runs a cluster in `folder`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()
    # A process that is killed leaves its server behind.
    postgres.stop_leftover(folder)


def value(cluster: postgres.Cluster, statement: str) -> object:
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def test_data_and_password_come_back(folder: Path) -> None:
    with postgres.running(folder) as first:
        value(first, "create table kept as select 42 as number")
        assert value(first, "show fsync") == "on"
    with postgres.running(folder, fsync=False) as second:
        assert value(second, "select number from kept") == 42
        assert value(second, "show fsync") == "off"
        assert second == first


def test_it_has_what_the_product_needs(folder: Path) -> None:
    with postgres.running(folder, fsync=False) as cluster:
        for extension in ("vector", "citext", "btree_gin"):
            value(cluster, f"create extension {extension}")
        vector = str(value(cluster, "select extversion from pg_extension where extname = 'vector'"))
        assert tuple(map(int, vector.split("."))) >= (0, 8, 4)
        assert value(cluster, "select 'ÄRGER'::citext = 'ärger'::citext") is True


def test_a_wrong_password_is_refused(folder: Path) -> None:
    with postgres.running(folder, fsync=False) as cluster:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(cluster.conninfo(password="guessed"))
        assert (folder / "password").stat().st_mode & 0o077 == 0


def test_it_listens_on_tcp_only_where_asked(folder: Path) -> None:
    with postgres.running(folder, fsync=False) as cluster:
        assert value(cluster, "show listen_addresses") == ""
    with (
        State(folder.parent).port("postgres", 54399) as port,
        postgres.running(folder, fsync=False, tcp_port=port) as cluster,
    ):
        over_tcp = cluster.conninfo().replace(f"host={cluster.host}", "host=127.0.0.1")
        psycopg.connect(over_tcp).close()


def test_nothing_above_its_folder_changes(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    above = [private, *private.parents]
    before = [stat.filemode(folder.stat().st_mode) for folder in above]
    with postgres.running(private / "postgres", fsync=False) as cluster:
        assert value(cluster, "select 1") == 1
    assert [stat.filemode(folder.stat().st_mode) for folder in above] == before


def test_a_long_path_gets_a_short_and_private_socket_folder(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    with postgres.running(long, fsync=False) as first:
        assert value(first, "select 1") == 1
        assert first.host.stat().st_mode & 0o777 == 0o700
    assert not first.host.exists()
    with postgres.running(long, fsync=False) as second:
        assert second.host == first.host


def test_two_at_once_in_one_folder_are_refused(folder: Path, held: "subprocess.Popen[str]") -> None:
    with pytest.raises(AlreadyRunning) as refused, postgres.running(folder):
        pass
    assert refused.value.pid == held.pid
    assert psutil.pid_exists(postmaster(folder))


def test_a_server_that_outlived_its_parent_is_replaced(
    folder: Path, held: "subprocess.Popen[str]"
) -> None:
    orphan = psutil.Process(postmaster(folder))
    held.kill()
    held.wait()
    assert orphan.is_running()
    with postgres.running(folder, fsync=False) as cluster:
        assert value(cluster, "select 1") == 1
        assert not orphan.is_running()


def test_a_pid_file_left_by_a_crash_that_names_a_stranger_is_dropped(
    folder: Path, held: "subprocess.Popen[str]"
) -> None:
    server = psutil.Process(postmaster(folder))
    every = [server, *server.children()]
    held.kill()
    held.wait()
    server.kill()
    assert not psutil.wait_procs(every, timeout=60)[1]
    pid_file = folder / "data" / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(server.pid), str(os.getpid()), 1))
    with postgres.running(folder, fsync=False) as cluster:
        assert value(cluster, "select 1") == 1


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    with postgres.running(folder, fsync=False):
        pass
    with (folder / "data" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(postgres.PostgresFailed, match="no_such_setting"), postgres.running(folder):
        pass
