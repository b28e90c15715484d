"""Run what `make build` made as Lambda does: awslambdaric, the function's files, its layers alone.

The process sees neither this environment's packages nor the checkout. awslambdaric, which Lambda
brings, comes from a folder of its own; the Runtime API that it talks to is served here:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import functools
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import IO, Any

from local.http_server import Request, Response, serving
from tools import sam, template
from tools.environment import ROOT
from tools.package import cached, compile_all

LAYERS = ("DependenciesLayer/python", "SharedLayer/python")
BROUGHT = ("awslambdaric", "simplejson", "snapshot-restore-py")
ACCOUNT, REGION = "123456789012", "us-east-1"
ANSWER_SECONDS = 300.0
# As Lambda: the function and its layers come before Python's own library, what it brings after.
_PATHS = """
import sys
count = int(sys.argv[1])
sys.path[:0] = sys.argv[2 : 2 + count]
sys.path += sys.argv[2 + count :]
"""
_START = """
from awslambdaric.__main__ import main
main(["bootstrap", "app.lambda_handler"])
"""


class NoAnswer(Exception):
    """The process ended or stayed silent; the message holds the end of its output."""


@dataclass(frozen=True)
class Code:
    """What Lambda would mount: the function's own files first, then its layers."""

    name: str
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Answer:
    """What the handler returned, or else its error as awslambdaric reports it."""

    value: Any
    error: dict[str, Any] | None
    at: float
    """By `time.perf_counter`."""


@functools.cache
def functions() -> dict[str, Code]:
    """Every built function by name."""
    return {
        name: Code(name, tuple(ROOT / folder / part for part in (logical_id, *LAYERS)))
        for path, folder in sam.BUILT.items()
        for logical_id, name in _names(template.load(ROOT / path)).items()
    }


def _names(loaded: template.Template) -> dict[str, str]:
    found = template.of_type(loaded, "AWS::Serverless::Function")
    return {
        logical_id: Path(each["Properties"]["CodeUri"]).name for logical_id, each in found.items()
    }


def variables(name: str, values: Mapping[str, str]) -> dict[str, str]:
    """Of `values` those that the template sets for a function; its literals as they stand.

    Raises `KeyError` for a variable that the template sets and `values` has not.
    """
    for path in sam.BUILT:
        loaded = template.load(ROOT / path)
        if name in template.functions(loaded):
            everywhere = loaded.get("Globals", {}).get("Function", {})
            own = template.functions(loaded)[name]["Properties"]
            given = everywhere.get("Environment", {}).get("Variables", {})
            given = given | own["Environment"]["Variables"]
            return {
                key: value if isinstance(value, str) else values[key]
                for key, value in given.items()
            }
    raise KeyError(name)


def faults() -> list[str]:
    """What of the build is missing or older than its source."""
    pairs = [(ROOT / "layers/shared", functions()["webhooks"].folders[-1])]
    pairs += [(ROOT / "functions" / name, code.folders[0]) for name, code in functions().items()]
    return [
        f"{source.relative_to(ROOT)} is not what was built: run `make build`."
        for folder, built in pairs
        for source in sorted(folder.rglob("*.py"))
        if not _same(source, built / source.relative_to(folder))
    ]


def _same(source: Path, built: Path) -> bool:
    return built.exists() and built.read_bytes() == source.read_bytes()


class Process:
    """One execution environment; `invoke` gives it events, one at a time."""

    def __init__(self, process: subprocess.Popen[bytes], runtime: _Runtime, log: IO[bytes]) -> None:
        self.started_at = runtime.started_at
        self._process, self._runtime, self._log = process, runtime, log

    @property
    def ready_at(self) -> float:
        """When it first asked for an event, by `time.perf_counter`."""
        assert self._runtime.ready_at is not None, "no event was asked for yet"
        return self._runtime.ready_at

    def invoke(self, event: object, seconds: float = ANSWER_SECONDS) -> Answer:
        """Give it an event; returns its answer. Raises `NoAnswer`."""
        self._runtime.events.put(json.dumps(event).encode())
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                return self._runtime.answers.get(timeout=0.1)
            except queue.Empty:
                if self._process.poll() is not None and self._runtime.answers.empty():
                    break
        raise NoAnswer(self.output()[-4000:] or "It said nothing.")

    def output(self) -> str:
        """All that it has printed and logged."""
        self._log.seek(0)
        return self._log.read().decode()


@contextmanager
def running(code: Code, environment: Mapping[str, str], prelude: str = "") -> Iterator[Process]:
    """Start a function; it ends with the block. `prelude` is Python that runs before it."""
    runtime = _Runtime(code.name)
    with serving(runtime.answer) as url, tempfile.TemporaryFile() as log:
        program = _PATHS + prelude + _START
        paths = [str(len(code.folders)), *map(str, code.folders), str(brought())]
        runtime.started_at = time.perf_counter()
        process = subprocess.Popen(
            # No site-packages (-S), nothing of the caller's (-I), nothing written (-B).
            [sys.executable, "-I", "-S", "-B", "-c", program, *paths],
            env={**_lambda_environment(code, url), **environment},
            cwd=code.folders[0],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield Process(process, runtime, log)
        finally:
            process.terminate()
            process.wait()
            runtime.events.put(None)


@functools.cache
def brought() -> Path:
    """A folder with what Lambda brings to Python, copied from this environment, with bytecode."""
    versions = [f"{name} {distribution(name).version}" for name in BROUGHT]

    def fill(folder: Path) -> None:
        for name in BROUGHT:
            for file in distribution(name).files or ():
                if file.suffix in (".py", ".so"):
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(file.locate(), folder / file)
        compile_all(folder, "/var/runtime")

    named = f"runtime-{sys.implementation.cache_tag}"
    return cached(named, "\n".join(versions).encode(), fill)


def _lambda_environment(code: Code, url: str) -> dict[str, str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
    return {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python{}.{}".format(*sys.version_info[:2]),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_FUNCTION_NAME": code.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_RUNTIME_API": url.removeprefix("http://"),
        "LAMBDA_TASK_ROOT": str(code.folders[0]),
        "LANG": "en_US.UTF-8",
        "PATH": os.defpath,
        "TZ": ":UTC",
        "_HANDLER": "app.lambda_handler",
    }


@dataclass
class _Runtime:
    """Lambda's side of the Runtime API, for one process."""

    name: str
    started_at: float = 0.0
    ready_at: float | None = None
    events: queue.SimpleQueue[bytes | None] = field(default_factory=queue.SimpleQueue)
    answers: queue.SimpleQueue[Answer] = field(default_factory=queue.SimpleQueue)
    given: int = 0

    def answer(self, request: Request) -> Response | None:
        """Serve one call of awslambdaric."""
        now = time.perf_counter()
        if request.path.endswith("/invocation/next"):
            self.ready_at = self.ready_at or now
            return self._next()
        if request.path.endswith("/response"):
            self.answers.put(Answer(json.loads(request.body), None, now))
        else:
            self.answers.put(Answer(None, json.loads(request.body), now))
        return Response(202, b'{"status":"OK"}', (("Content-Type", "application/json"),))

    def _next(self) -> Response | None:
        event = self.events.get()
        if event is None:
            return None
        self.given += 1
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"
        headers = (
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", f"00000000-0000-4000-8000-{self.given:012}"),
            ("Lambda-Runtime-Deadline-Ms", str(int((time.time() + ANSWER_SECONDS) * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", arn),
            ("Lambda-Runtime-Trace-Id", "Root=1-65e55a5f-0123456789abcdef01234567;Sampled=0"),
        )
        return Response(200, event, headers)
