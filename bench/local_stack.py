"""Seconds of `make run`: its starts, and from a saved change of code until it answers.

A comment is added to a file of the shared layer, or of a function, and removed again. A change is
live once the API has answered by a worker that began after it was saved. All else that the machine
does at the time shows in these figures; the load before and after is printed for that.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import urllib3

from local.state import CHECKOUT

SHARED = CHECKOUT / "layers/shared/countersign/platform/errors.py"
FUNCTION = CHECKOUT / "functions/approvals/app.py"
READY = "Ctrl-C stops all"
RELOADS = 5
REST_SECONDS = 4.0


def main() -> None:
    """Print a table, and its figures as JSON in the last line."""
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        seconds = {"first_start": start(folder), "start_again": start(folder)}
        # The second start finds the first change taken back, too: so the smaller one comes first.
        for name, file in (("function", FUNCTION), ("shared", SHARED)):
            with changed(file):
                seconds[f"start_after_change_of_{name}"] = start(folder)
        with running(folder) as (process, url):
            for name, file in (("shared", SHARED), ("function", FUNCTION)):
                made = [reload(process, url, file) for _ in range(RELOADS)]
                seconds[f"reload_of_{name}"] = statistics.median(made)
    for name, value in seconds.items():
        print(f"{name.replace('_', ' '):32}{value:6.1f} s")
    print(f"load {os.getloadavg()[0]:.1f}")
    print(json.dumps({name: round(value, 1) for name, value in seconds.items()}))


def start(folder: str) -> float:
    """From the command to the printed addresses, with the state in `folder`."""
    begun = time.monotonic()
    with running(folder):
        return time.monotonic() - begun


@contextmanager
def running(folder: str) -> Iterator[tuple[psutil.Process, str]]:
    """`make run` without the make; yields its process and the API's address."""
    command = [sys.executable, "-m", "local", "--state", folder, "run"]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while READY not in said:
            line = process.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        found = re.search(r"export API=(\S+)", said)
        assert found
        yield psutil.Process(process.pid), found[1]
        process.send_signal(signal.SIGINT)
        process.communicate()


@contextmanager
def changed(file: Path) -> Iterator[None]:
    """Another comment at the end of a file, during the block."""
    before = file.read_bytes()
    file.write_bytes(before + b"# A change.\n")
    try:
        yield
    finally:
        file.write_bytes(before)


def reload(process: psutil.Process, url: str, file: Path) -> float:
    """From saving a change until the first answer by a worker that was not there before."""
    time.sleep(REST_SECONDS)
    before = workers(process)
    saved = time.monotonic()
    with changed(file):
        while not (workers(process) - before and _answers(url)):
            time.sleep(0.05)
        live = time.monotonic() - saved
        time.sleep(REST_SECONDS)
    return live


def workers(process: psutil.Process) -> set[int]:
    """The processes below `process` that answer for the API."""
    found = set()
    for each in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "ApprovalsFunction" in " ".join(each.cmdline()):
                found.add(each.pid)
    return found


def _answers(url: str) -> bool:
    """Whether the API does, be it that it wants a key."""
    return urllib3.request("GET", f"{url}/v1/feed", retries=False, timeout=35).status == 401


if __name__ == "__main__":
    main()
