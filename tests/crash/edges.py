"""The edges of a process: every statement, COMMIT and outside call of the product passes here.

Each passing is a point, numbered from 0 in a run, at which one thing can go wrong. A crash is a
`BaseException`, so that no `except Exception` of the product hides it, and from then on the process
is dead: its connections are closed, so that the server rolls back, and whatever the product still
tries on its way down (a `finally`, a rollback, a second try) does not get out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import psycopg
from botocore.exceptions import ConnectionClosedError
from psycopg.pq import TransactionStatus

T = TypeVar("T")
PING = "SELECT 1"

Kind = Literal[
    "crash before",  # the process dies; the statement or call never happened
    "crash after",  # it took effect, and the process dies
    "no answer",  # it took effect, but the process, alive, sees the connection break
    "stall",  # the process freezes before a statement, or after a call, while the others go on
    "twin",  # what is being done is done once more meanwhile, by another process
]
Sort = Literal["statement", "commit", "read", "call"]


class Point(NamedTuple):
    """What passes an edge, in which process, and in the how-manieth call of a handler."""

    process: str
    label: str
    sort: Sort
    invocation: int

    def __str__(self) -> str:
        return f"{self.process}: {self.label}"


class Trouble(NamedTuple):
    """What goes wrong in a run, and at which of its points."""

    kind: Kind
    at: int


class Crash(BaseException):
    """The process is dead."""


@dataclass(eq=False)
class Process:
    """A running function: what it holds open dies with it."""

    name: str
    connections: list[Connection] = field(default_factory=list)
    alive: bool = True

    @property
    def in_transaction(self) -> bool:
        """Whether it has a transaction open, and so perhaps locks."""
        return any(connection.in_transaction for connection in self.connections)

    @property
    def is_cut_off(self) -> bool:
        """Whether what it was connected by has broken."""
        return bool(self.connections) and all(each.closed for each in self.connections)

    def die(self) -> None:
        """As by SIGKILL: the server sees the connections end, and rolls back."""
        self.alive = False
        for connection in self.connections:
            connection.close()


class Edges:
    """Counts the points of a run, and makes the trouble."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.trouble: Trouble | None = None
        self.stall: Callable[[Process], None]
        self.twin: Callable[[], None]
        self._process: Process | None = None
        self._watching = False
        self._invocations = self._invocation = 0

    def begin(self, trouble: Trouble | None) -> None:
        """Begin a run."""
        self.points, self.trouble = [], trouble
        self._invocations = 0

    @contextmanager
    def inside(self, process: Process) -> Iterator[None]:
        """What happens in this block is done by `process`, in one call of its handler."""
        outer = self._process, self._invocation
        self._invocations += 1
        self._process, self._invocation = process, self._invocations
        try:
            yield
        finally:
            self._process, self._invocation = outer

    @contextmanager
    def watching(self, watching: bool = True) -> Iterator[None]:
        """In this block count the points and make the trouble, or neither."""
        before, self._watching = self._watching, watching
        try:
            yield
        finally:
            self._watching = before

    def cross(
        self, label: str, sort: Sort, act: Callable[[], T], broken: Callable[[], Exception]
    ) -> T:
        """Let the running process do `act`; `broken` is how the loss of its answer looks."""
        process = self._process
        if process is None or not self._watching:
            return act()
        if not process.alive:
            raise Crash
        trouble, number = self.trouble, len(self.points)
        self.points.append(Point(process.name, label, sort, self._invocation))
        kind = trouble.kind if trouble and trouble.at == number else None
        if kind == "crash before":
            self._crash(process)
        if kind == "stall" and sort != "call":
            self.stall(process)
        if kind == "twin":
            self.twin()
        result = act()
        if kind == "crash after":
            self._crash(process)
        if kind == "stall" and sort == "call":
            self.stall(process)
        if kind == "no answer":
            raise broken()
        return result

    def _crash(self, process: Process) -> None:
        process.die()
        raise Crash

    def connect(self, *args: Any, **options: Any) -> psycopg.Connection[Any]:
        """Stands in for `psycopg.connect`."""
        if self._process is None:
            return psycopg.Connection.connect(*args, **options)
        connection = Connection.connect(*args, **options)
        connection.edges, connection.process = self, self._process
        self._process.connections.append(connection)
        return connection


def closed() -> Exception:
    """How the loss of an answer looks to who calls AWS."""
    return ConnectionClosedError(endpoint_url="https://aws.example")


class Connection(psycopg.Connection[Any]):
    """A connection whose statements and COMMIT are points."""

    edges: Edges
    process: Process

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cursor_factory = Cursor

    def commit(self) -> None:
        if self.in_transaction:
            self.cross("COMMIT", "commit", super().commit)

    def rollback(self) -> None:
        # No point: whether a process asks for it or dies before, the server rolls back.
        if self.process.alive:
            super().rollback()

    @property
    def in_transaction(self) -> bool:
        open_ones = TransactionStatus.INTRANS, TransactionStatus.INERROR
        return self.info.transaction_status in open_ones

    def cross(self, label: str, sort: Sort, act: Callable[[], T]) -> T:
        return self.edges.cross(label, sort, act, self._broken)

    def _broken(self) -> Exception:
        self.close()
        return psycopg.OperationalError("server closed the connection unexpectedly")


class Cursor(psycopg.Cursor[Any]):
    """A cursor of such a connection."""

    def execute(self, query: Any, *args: Any, **options: Any) -> Cursor:
        return self._cross(query, super().execute, *args, **options)

    def executemany(self, query: Any, *args: Any, **options: Any) -> None:
        self._cross(query, super().executemany, *args, **options)

    def _cross(self, query: Any, run: Callable[..., T], *args: Any, **options: Any) -> T:
        connection = self.connection
        # The pool's ping changes nothing; psycopg's own questions are no `str`.
        if not isinstance(connection, Connection) or type(query) is not str or query == PING:
            return run(query, *args, **options)
        sql = as_sent(query)
        # In autocommit a statement takes effect by itself.
        sort: Sort = "commit" if connection.autocommit else "statement"
        return connection.cross(_label(sql), sort, lambda: run(sql, *args, **options))


def as_sent(sql: str) -> str:
    """A statement as it goes out: as it is, unless a test replaces this function."""
    return sql


_TABLE = re.compile(r"\b(?:INTO|UPDATE|FROM)\s+(\w+)|(\w+)\(")


def _label(sql: str) -> str:
    """`UPDATE deliveries`, `SELECT set_config`: enough to find the statement in the code."""
    table = _TABLE.search(sql)
    words = sql.split()[:4]
    return f"{words[0]} {table[1] or table[2]}" if table else " ".join(words)
