"""Child processes that end when we say so, and leftovers of a run that was killed."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from local.errors import LocalError
from local.state import State

STOP_SECONDS = 15.0


class ProcessFailed(LocalError):
    """A process ended, or did not answer in time; the message holds the end of its log."""


@contextmanager
def child(
    state: State,
    name: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program in a process group of its own for the length of the block.

    Its output goes to `logs/<name>.log`. A process of this name that an earlier, killed run left
    behind is stopped first. The end is SIGTERM, then SIGKILL for the group.
    """
    stop_leftover(state, name)
    with (state.logs / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            list(arguments),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _remember(state, name, process.pid)
        yield process
    finally:
        _stop(process)
        _forget(state, name)


def wait_for(
    process: "subprocess.Popen[bytes]", url: str, log: Path, *, seconds: float = 180.0
) -> None:
    """Return as soon as `process`, and no other, answers at `url`, be it that it wants a key.

    Raises ProcessFailed when the process ends first, or when the time is up.
    """
    port = urlsplit(url).port
    assert port is not None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ProcessFailed(f"{log.stem} ended with {process.returncode}:\n{tail(log)}")
        if serves(process.pid, port) and _answers(url):
            return
        time.sleep(0.05)
    raise ProcessFailed(f"{log.stem} did not answer at {url} in {seconds:.0f} s:\n{tail(log)}")


def serves(pid: int, port: int) -> bool:
    """Whether it is this process that listens on the port."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return False
    listening = [each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN]
    return port in listening


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return True


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def check(state: State) -> None:
    """Raise ProcessFailed if a process that should run has ended."""
    for name, noted in state.read("processes").items():
        try:
            ended = psutil.Process(noted["pid"]).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            ended = True
        if ended:
            log = state.logs / f"{name}.log"
            raise ProcessFailed(f"{name} has ended, see {log}:\n{tail(log)}")


def stop_leftover(state: State, name: str) -> None:
    """Stop the process that an earlier run noted under `name`, if it is still that process."""
    noted = state.read("processes").get(name)
    if noted is None:
        return
    try:
        leftover = psutil.Process(noted["pid"])
        # Numbers are reused: only the same start time makes it the same process.
        if abs(leftover.create_time() - noted["created"]) < 1:
            leftover.terminate()
            leftover.wait(STOP_SECONDS)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        _signal_group(noted["pid"], signal.SIGKILL)
    _forget(state, name)


def _remember(state: State, name: str, pid: int) -> None:
    noted = {"pid": pid, "created": psutil.Process(pid).create_time()}
    state.write("processes", state.read("processes") | {name: noted})


def _forget(state: State, name: str) -> None:
    noted = state.read("processes")
    noted.pop(name, None)
    state.write("processes", noted)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    # What the program itself started, and did not end, is in its group.
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
