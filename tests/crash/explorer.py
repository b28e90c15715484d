"""The crash explorer.

It plays an act once to count its points: the statements, COMMITs and outside calls of the product.
Then, from the same beginning each time, it plays the act once for everything that can go wrong at
each of them. Queues bring again what was not settled, people and providers repeat what was not
answered, the relay sweeps; and then the end must be the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import zip_longest

import pytest

from tests.conftest import TestDatabase
from tests.crash.acts import Act, Play
from tests.crash.edges import Edges, Kind, Point, Trouble
from tests.crash.ground import Ground
from tests.crash.outside import Outside
from tests.crash.product import Product
from tests.crash.record import Fault, Record, faults, read
from tests.crash.stage import NeverRests, Order, Stage

KINDS: tuple[Kind, ...] = ("crash before", "crash after", "no answer", "stall", "twin")
LOCK_TIMEOUT = "50ms"
"""What waits for a stalled process gives up, as the timeout of its own function would make it."""
_CLOCKS = ("local.providers.twilio", "local.providers.receiver", "standardwebhooks.webhooks")


@dataclass(frozen=True)
class Finding:
    """What was wrong in the end, after something had gone wrong at a point."""

    kind: Kind
    point: Point
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        wrong = "; ".join(f"{fault.kind} ({fault.what})" for fault in self.faults)
        return f"{self.kind} {self.point}: {wrong}"


class Explorer:
    """Explores one act."""

    def __init__(self, act: Act, database: TestDatabase, patch: pytest.MonkeyPatch) -> None:
        self._act, self._patch = act, patch
        self._edges = Edges()
        self._edges.stall = lambda process: self.stage.stall(process)
        self._edges.twin = lambda: self.stage.twin()
        self._ground = Ground(database, act, LOCK_TIMEOUT if act.is_race else "0")
        self._product = Product(database, self._edges, patch)
        self._before: Outside | None = None
        # Ahead of the database's own clock, which says when a row was made; no midnight is near.
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        self._start = datetime.combine(tomorrow, time(12), UTC)
        self.stage: Stage
        self.end: Record | None = None

    def begin(self) -> None:
        """Play what came before the act, and the act once without trouble, for its end."""
        for before in self._act.before:
            self._perform(before)
            self._before, self._start = self.stage.outside, self.stage.now()
        self._ground.mark()
        wrong = self.play()
        assert not wrong, f"the act goes wrong by itself: {wrong}"
        self.end = None if self._act.is_race else read(self.stage)

    def close(self) -> None:
        """End what was started."""
        self._product.close()
        self._ground.close()

    def explore(self, kinds: Collection[Kind] = KINDS) -> Iterator[Finding]:
        """Make each trouble that makes sense, in a run of its own; yields what was wrong."""
        points = self.points()
        for number, (point, following) in enumerate(zip_longest(points, points[1:])):
            covered = "crash before" in kinds and self._is_next(point, following)
            for kind in kinds:
                if self._makes_sense(kind, point) and not (kind == "crash after" and covered):
                    wrong = self._make(Trouble(kind, number), point)
                    if wrong:
                        yield Finding(kind, point, tuple(wrong))

    def rewind(self) -> None:
        """Put the database back to the act's beginning."""
        self._ground.rewind()

    def points(self) -> list[Point]:
        """The points of the act, counted in a run without trouble."""
        self.play()
        return self._edges.points

    def _is_next(self, point: Point, following: Point | None) -> bool:
        """Whether a crash after a point is explored as the crash before the following one.

        In one call of a handler nothing that would outlive it happens between them.
        """
        return (
            following is not None
            and following.invocation == point.invocation
            and self._makes_sense("crash before", following)
        )

    def _makes_sense(self, kind: Kind, point: Point) -> bool:
        """Whether it can differ, at this point, from what is explored elsewhere."""
        if point.process not in self._act.functions:
            return False
        match kind:
            case "crash before":
                return self._act.statements or point.sort != "statement"
            case "crash after":
                # After any other point it is a crash before the next one: nothing took effect.
                return point.sort in ("commit", "call")
            case "no answer":
                return point.sort != "statement"
            case "twin":
                return point.sort == "call"
            case "stall" if self._act.is_race and point.sort in ("statement", "commit"):
                return True
            case _:
                # A lease can be outlived while a provider, a model or storage is asked.
                slow = ("POST ", "SMTP ", "put into ")
                return point.sort == "call" and point.label.startswith(slow)

    def _make(self, trouble: Trouble, point: Point) -> list[Fault]:
        wrong = self.play(trouble)
        there = self._edges.points[trouble.at : trouble.at + 1]
        assert there == [point], f"the run went another way: {there} instead of {point}"
        return wrong

    def play(self, trouble: Trouble | None = None, order: Order = "as sent") -> list[Fault]:
        """One run from the act's beginning to its end; returns what is wrong with that."""
        self.rewind()
        try:
            self._perform(self._act.play, trouble, order)
        except NeverRests:
            return [Fault("never rests", f"after {trouble}")]
        repeated = order != "as sent" or (trouble is not None and trouble.kind == "twin")
        return faults(self.stage, self.end, effort=repeated)

    def _perform(
        self, play: Play, trouble: Trouble | None = None, order: Order = "as sent"
    ) -> None:
        outside = Outside(self._edges, self._ground.tenant, self._start, self._before)
        for module in _CLOCKS:
            self._patch.setattr(f"{module}.datetime", outside.as_datetime())
        self._product.begin(outside)
        self.stage = Stage(self._ground, self._edges, self._product, outside, order)
        self._edges.begin(trouble)
        with self._edges.watching():
            play(self.stage)
            self.stage.end()
