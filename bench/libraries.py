"""The peer of a function: a handler that imports what it imports, makes its clients, and answers.

What a function imports is what its own modules and the product's asked Python for, up to the
answer to its first event; what a library imports in turn is left to the library.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools.package import compile_all

OURS = ("app", "countersign", "migrations")
# The same ids in every run: what Postgres said of those of one run is told to the others.
STEADY = """
import itertools, os, time
numbers = itertools.count(1)
os.urandom = lambda size: next(numbers).to_bytes(size, "big")
time.time_ns = lambda: 1_772_600_767_000_000_000
"""
# Writes each import of our modules into the file that the environment names.
RECORDING = (
    """
import builtins, json, os
log = open(os.environ["IMPORTS"], "w")
python = builtins.__import__
def recording(name, globals=None, locals=None, fromlist=(), level=0):
    if globals and str(globals.get("__name__")).split(".")[0] in OURS:
        print(json.dumps([name, list(fromlist or ())]), file=log, flush=True)
    return python(name, globals, locals, fromlist, level)
builtins.__import__ = recording
""".replace("OURS", repr(OURS))
    + STEADY
)

_HANDLER = """
ANSWER = json.loads({answer!r})


def lambda_handler(event, context):
{clients}
    return ANSWER
"""
ENGINE = '    sqlalchemy.create_engine("postgresql+psycopg://", pool_pre_ping=True)'


def imported(log: Path) -> list[str]:
    """The import statements of third-party packages that a recording holds, once each, in order."""
    found = [_statement(*json.loads(line)) for line in log.read_text().splitlines()]
    return list(dict.fromkeys(statement for statement in found if statement))


def _statement(name: str, names: Sequence[str]) -> str | None:
    package = name.split(".")[0]
    if package in sys.stdlib_module_names or package in OURS:
        return None
    return f"from {name} import {', '.join(names)}" if names else f"import {name}"


def write(
    folder: Path, imports: Iterable[str], services: Sequence[str], engine: bool, answer: object
) -> None:
    """Write the peer into `folder`, with bytecode."""
    clients = [f"    boto3.client({service!r})" for service in services]
    clients += [ENGINE] if engine else []
    needed = ["import boto3"] * bool(services) + ["import sqlalchemy"] * engine
    body = _HANDLER.format(answer=json.dumps(answer), clients="\n".join(clients or ["    pass"]))
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("\n".join(["import json", *imports, *needed, body]))
    compile_all(folder, "/var/task")
