"""Cold starts: each built function beside its libraries alone, and beside an empty handler.

Measured is the time from the start of the process to the answer to its first event through
awslambdaric, and, as a part of it, to its first question for an event. All that is outside answers
at once: AWS, models and providers by stubs, Postgres by what a real one said before. The libraries
are those that the function's own modules import up to that answer; their handler makes the same
AWS clients and the same engine, calls nobody, and gives the same answer. The runs of all are
interleaved, so that whatever else the machine does slows them alike: believe the ratios. The ratio
of processor time is what a busy machine disturbs least; waiting for the stubs is not in it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import libraries
from bench.postgres_stub import Recording, Replay, recorded, replayed
from local import postgres
from tests import conftest
from tests.handlers import events_world
from tests.handlers.outside import Outside, outside
from tools import built
from tools.package import compile_all

FIRST_EVENTS = {
    "webhooks": "twilio-sms",
    "ingest": "sms",
    "drafts": "request",
    "approvals": "feed",
    "search": "documents",
    "outbound": "delivery",
    "attachments": "media",
    "index": "page",
    "knowledge": "read",
    "crawl": "refresh",
    "relay": "check",
    "migrations": "post",
}
EMPTY = "def lambda_handler(event, context):\n    return None\n"


@dataclass
class Subject:
    """Something that is started again and again; times in milliseconds."""

    code: built.Code
    event: object
    answer: object
    environment: Mapping[str, str] = field(default_factory=dict)
    replay: Replay | None = None
    ready: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Start it once and note how long it took. Raises `NoAnswer` and `Diverged`."""
        if self.replay:
            self.replay.begin()
        before = _processor_seconds()
        with built.running(self.code, self.environment, libraries.STEADY) as process:
            answer = process.invoke(self.event)
            if answer.value != self.answer:
                raise built.NoAnswer(f"{answer}\n{process.output()}")
        if self.replay:
            self.replay.check()
        self.ready.append((process.ready_at - process.started_at) * 1000)
        self.answered.append((answer.at - process.started_at) * 1000)
        self.processor.append((_processor_seconds() - before) * 1000)


def _processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Pair:
    """A function and its libraries alone."""

    function: Subject
    libraries: Subject

    def medians(self, times: Callable[[Subject], list[float]]) -> tuple[float, float, float]:
        """Of the function, of its libraries, and their ratio."""
        mine, theirs = (statistics.median(times(one)) for one in (self.function, self.libraries))
        return mine, theirs, mine / theirs


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("functions", nargs="*", help="all, where none is named")
    options.add_argument("--rounds", type=int, default=9)
    chosen = options.parse_args()
    if faults := built.faults():
        sys.exit("\n".join(faults))
    names = chosen.functions or sorted(built.functions())
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        empty = _empty(Path(folder) / "empty")
        around = running.enter_context(outside())
        pairs = _pairs(names, Path(folder), around, running)
        _measure(empty, list(pairs.values()), chosen.rounds)
    _print(empty, pairs)


def _empty(folder: Path) -> Subject:
    folder.mkdir()
    (folder / "app.py").write_text(EMPTY)
    compile_all(folder, "/var/task")
    return Subject(built.Code("empty", (folder,)), {}, None)


def _pairs(names: list[str], folder: Path, around: Outside, running: ExitStack) -> dict[str, Pair]:
    with _seeded(folder) as (cluster, template):
        made = {name: _pair(name, folder / name, cluster, template, around) for name in names}
    for name, pair in made.items():
        if pair.function.replay:
            running.enter_context(replayed(folder / name, pair.function.replay))
    return made


@contextmanager
def _seeded(folder: Path) -> Iterator[tuple[postgres.Cluster, str]]:
    """A server with a database that holds what the events name."""
    with postgres.running(folder / "postgres", fsync=False) as cluster:
        upgraded = conftest.make_template(cluster)
        with conftest.copied(cluster, upgraded, "seeded") as database:
            events_world.seed(database)
            for each in (database.app_rw, database.app_system):
                each.engine.dispose()
            yield cluster, database.name


def _pair(
    name: str, folder: Path, cluster: postgres.Cluster, template: str, around: Outside
) -> Pair:
    """Let the function run once, and make of what it did its replay and its peer."""
    folder.mkdir()
    around.services.clear()
    recording, log = Recording(), folder / "imports"
    with (
        conftest.copied(cluster, template, f"first_{name}") as database,
        recorded(folder, cluster.host, recording),
    ):
        environment = events_world.settings(name, around, database)
        environment |= {"DATABASE_HOST": str(folder)} if "DATABASE_HOST" in environment else {}
        function = _first(name, environment, log)
    if recording.connections:
        function.replay = Replay(recording)
    peer = folder / "libraries"
    imports, engine = libraries.imported(log), function.replay is not None
    libraries.write(peer, imports, around.services, engine, function.answer)
    alone = built.Code(f"{name}-libraries", (peer, *function.code.folders[:-1]))
    return Pair(function, Subject(alone, function.event, function.answer, environment))


def _first(name: str, environment: Mapping[str, str], log: Path) -> Subject:
    """The function with the answer to its first event; its imports are written into `log`."""
    code, event = built.functions()[name], events_world.event(name, FIRST_EVENTS[name])
    recording = {**environment, "IMPORTS": str(log)}
    with built.running(code, recording, libraries.RECORDING) as process:
        answer = process.invoke(event)
        if answer.error:
            sys.exit(f"{name} failed: {answer.error}\n{process.output()}")
    return Subject(code, event, answer.value, environment)


def _measure(empty: Subject, pairs: list[Pair], rounds: int) -> None:
    """Run each as often; a function and its libraries one after the other, under the same load."""
    for _ in range(rounds):
        empty.run()
        for pair in random.sample(pairs, len(pairs)):
            for subject in random.sample([pair.function, pair.libraries], 2):
                subject.run()


def _print(empty: Subject, pairs: Mapping[str, Pair]) -> None:
    base, alone = statistics.median(empty.answered), statistics.median(empty.ready)
    print(f"{'':<12}{'first answer, ms':^38}{'start alone, ms':^28}{'processor':>10}")
    columns = f"{'function':>10}{'libraries':>10}{'ratio':>7}"
    print(f"{'':<12}{columns}{'to empty':>10}{columns}{'ratio':>10}")
    print(f"{'empty':<12}{base:>10.0f}{'':>27}{alone:>10.0f}")
    result: dict[str, Any] = {"empty_ms": round(base, 1)}
    result |= {"ratio_to_empty": {}, "ratio_to_libraries": {}}
    for name, pair in pairs.items():
        mine, theirs, ratio = pair.medians(lambda one: one.answered)
        ready, theirs_ready, ready_ratio = pair.medians(lambda one: one.ready)
        _, _, processor_ratio = pair.medians(lambda one: one.processor)
        print(
            f"{name:<12}{mine:>10.0f}{theirs:>10.0f}{ratio:>7.2f}{mine / base:>10.1f}"
            f"{ready:>10.0f}{theirs_ready:>10.0f}{ready_ratio:>7.2f}{processor_ratio:>10.2f}"
        )
        result["ratio_to_empty"][name] = round(mine / base, 2)
        result["ratio_to_libraries"][name] = round(ratio, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
