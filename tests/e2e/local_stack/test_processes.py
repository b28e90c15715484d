"""Child processes and remembered state of the local stack."""

import os
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from local import locks, processes, run
from local.aws import Aws, Unreachable
from local.errors import LocalError
from local.http_server import Response, serving
from local.state import State

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def start(
    state: State, code: str, name: str = "sleeper"
) -> "AbstractContextManager[subprocess.Popen[bytes]]":
    return processes.child(
        state,
        name,
        [sys.executable, "-c", code],
        environment=os.environ,
        folder=state.folder.parent,
    )


def test_a_child_ends_with_the_block_and_so_does_what_it_started(state: State) -> None:
    with start(state, PARENT, "parent") as child:
        log = state.logs / "parent.log"
        deadline = time.monotonic() + 60
        while not log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        grandchild = psutil.Process(int(log.read_text()))
        assert grandchild.is_running()
    assert child.poll() is not None
    psutil.wait_procs([grandchild], timeout=30)
    assert not psutil.pid_exists(grandchild.pid)


def test_a_child_of_a_killed_run_is_stopped_before_the_next(state: State) -> None:
    child = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL)
    orphan = psutil.Process(child.pid)
    noted = {"pid": orphan.pid, "created": orphan.create_time()}
    state.write("processes", {"sleeper": noted})
    with start(state, SLEEPER):
        assert not orphan.is_running()
    child.wait()
    assert state.read("processes") == {}


def test_a_stranger_with_the_same_number_is_left_alone(state: State) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL)
    try:
        state.write("processes", {"sleeper": {"pid": stranger.pid, "created": 1.0}})
        with start(state, SLEEPER):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_child_that_ends_early_shows_its_last_words(state: State) -> None:
    failed = pytest.raises(processes.ProcessFailed, match="no port left")
    with start(state, "raise SystemExit('no port left')") as child, failed:
        processes.wait_for(child, "http://127.0.0.1:9/", state.logs / "sleeper.log")


def test_a_port_stays_the_same_unless_it_is_taken(state: State) -> None:
    port = port_of(state, "api")
    assert port_of(state, "api") == port
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        moved = port_of(state, "api")
    assert moved != port
    assert port_of(state, "api") == moved
    assert port_of(state, "models") != moved


def port_of(state: State, name: str) -> int:
    with state.port(name, 18400) as port:
        return port


def test_a_port_on_which_nobody_listens_yet_is_taken_all_the_same(
    state: State, tmp_path: Path
) -> None:
    other = State(tmp_path / "other")
    with state.port("api", 18400) as ours, other.port("api", 18400) as theirs:
        assert theirs != ours
    state.write("ports", {"api": theirs})
    with other.port("api", 18400), state.port("api", 18400) as ours:
        assert ours != theirs


def test_a_stranger_at_the_address_is_not_taken_for_the_child(state: State) -> None:
    silent = pytest.raises(processes.ProcessFailed, match="did not answer")
    with serving(lambda _: Response(200)) as url, start(state, SLEEPER) as child, silent:
        processes.wait_for(child, url, state.logs / "sleeper.log", seconds=0.5)


@pytest.mark.parametrize("last", [None, Response(500)])
def test_an_emulator_that_ends_while_it_is_asked_is_told_apart(last: Response | None) -> None:
    with serving(lambda _: last) as url, pytest.raises(Unreachable, match="does not answer"):
        Aws(url).warm()
    with pytest.raises(Unreachable, match="does not answer"):
        Aws(url).warm()


def test_a_command_beside_a_run_that_is_starting_talks_to_no_other(state: State) -> None:
    with serving(lambda _: Response(200)) as url, locks.exclusive(state.folder / "lock"):
        state.write("ports", {"aws": int(url.rpartition(":")[2])})
        with pytest.raises(LocalError, match="still starting"):
            run.redrive_queue(state, "inbound")


def test_secrets_are_kept_and_only_ours_to_read(state: State) -> None:
    secret = state.secret("app_rw")
    assert State(state.folder).secret("app_rw") == secret
    assert state.secret("app_system") != secret
    assert (state.folder / "secrets.json").stat().st_mode & 0o077 == 0


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.exclusive(path):
        with pytest.raises(locks.AlreadyRunning) as refused, locks.exclusive(path):
            pass
        assert refused.value.pid == os.getpid()
    with locks.exclusive(path):
        pass
