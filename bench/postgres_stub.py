"""A Postgres that answers at once: what a real one said, told again.

`recorded` stands between a function and a real server and keeps what that answers; `replayed`
gives the same answers to the same function later. Postgres answers up to `ReadyForQuery` for each
`Sync` or simple query, so those alone need to be understood:
https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

PORT = 5432
_AUTHENTICATED = b"R" + struct.pack("!II", 8, 0)
_ASKS = {b"Q", b"S"}

Serve = Callable[[socket.socket], None]


class Diverged(Exception):
    """The function asked for more, or less, than when it was recorded."""


@dataclass
class Recording:
    """The answers of each connection, in the order in which they were opened."""

    connections: list[list[bytes]] = field(default_factory=list)


@dataclass
class Replay:
    """How far a recording has been told; `begin` starts from its beginning."""

    recording: Recording
    _left: list[list[bytes]] = field(default_factory=list)
    _open: list[list[bytes]] = field(default_factory=list)

    def begin(self) -> None:
        """Expect a new process."""
        self._left = [list(answers) for answers in self.recording.connections]
        self._open = []

    def check(self) -> None:
        """Raise `Diverged` unless the whole recording has been told."""
        if self._left or any(self._open):
            raise Diverged("The function did not ask for all that was recorded.")

    def take(self) -> list[bytes]:
        """The answers of the next connection, which its server takes from the front."""
        answers = self._left.pop(0)
        self._open.append(answers)
        return answers


@contextmanager
def recorded(folder: Path, server: Path, into: Recording) -> Iterator[None]:
    """Pass connections at a socket in `folder` on to the real server's, and keep its answers."""

    def serve(client: socket.socket) -> None:
        answers: list[bytes] = []
        into.connections.append(answers)
        with socket.socket(socket.AF_UNIX) as real:
            real.connect(str(server / f".s.PGSQL.{PORT}"))
            _in_background(lambda: _copy(client, real))
            _keep(real, client, answers)

    with _listening(folder, serve):
        yield


def _copy(source: socket.socket, target: socket.socket) -> None:
    # `_keep` closes both as soon as the server has hung up, whatever this waits for.
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _keep(real: socket.socket, client: socket.socket, answers: list[bytes]) -> None:
    """Pass on each message; keep them up to each `ReadyForQuery`, how one signs in left out."""
    answer = b""
    for message in _messages(real):
        answer = _AUTHENTICATED if message == _AUTHENTICATED else answer + message
        # Kept before it is passed on: whoever has been told may look at what was recorded.
        if message[:1] == b"Z":
            answers.append(answer)
            answer = b""
        client.sendall(message)


def _messages(source: socket.socket) -> Iterator[bytes]:
    buffer = b""
    while data := source.recv(65536):
        buffer += data
        while len(buffer) >= 5:
            size = 1 + struct.unpack("!I", buffer[1:5])[0]
            if len(buffer) < size:
                break
            yield buffer[:size]
            buffer = buffer[size:]


@contextmanager
def replayed(folder: Path, replay: Replay) -> Iterator[None]:
    """Tell the recording to whoever connects to a socket in `folder`."""

    def serve(client: socket.socket) -> None:
        answers = replay.take()
        client.recv(65536)  # who it is, and which database it wants
        client.sendall(answers.pop(0))
        for message in _messages(client):
            if message[:1] in _ASKS:
                client.sendall(answers.pop(0))

    with _listening(folder, serve):
        yield


@contextmanager
def _listening(folder: Path, serve: Serve) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / f".s.PGSQL.{PORT}"))
        listener.listen()
        _in_background(lambda: _accept(listener, serve))
        try:
            yield
        finally:
            # Closing alone would leave the thread in `accept`.
            listener.shutdown(socket.SHUT_RDWR)
            (folder / f".s.PGSQL.{PORT}").unlink()


def _accept(listener: socket.socket, serve: Serve) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        _in_background(lambda client=client: _serve(client, serve))  # type: ignore[misc]


def _serve(client: socket.socket, serve: Serve) -> None:
    with client, suppress(OSError, IndexError):
        serve(client)


def _in_background(run: Callable[[], None]) -> None:
    Thread(target=run, daemon=True).start()
