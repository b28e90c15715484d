"""A mail server on 127.0.0.1 that keeps to a script: it answers, hangs up, or falls silent."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

HANG_UP = b""
SILENCE = b"..."
"""No answer."""
TRICKLE = b"2...."
"""An answer of which a byte comes now and then, and never the last."""

PATIENCE_SECONDS = 30.0
"""How long it waits, in either way, for a client to leave."""

EHLO = b"250-mx.example\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN"


@dataclass
class ScriptedServer:
    """`script` holds answers by the command's first word; `CONNECT` is the greeting, `BODY` the
    first kilobyte of a mail, `.` its end. A list is used up, its last one stays."""

    script: dict[str, bytes | list[bytes]] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    said: list[bytes] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    connections: int = 0
    outlasted: bool = False
    """Whether a client was there at the end of its patience."""

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._talks: list[threading.Thread] = []
        self._peers: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for peer in self._peers:
            with suppress(OSError):
                # Not the TLS socket's own, which would have its thread read on as if in clear.
                socket.socket.shutdown(peer, socket.SHUT_RDWR)
        for talk in self._talks:
            talk.join(5)

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            talk = threading.Thread(target=self._talk, args=(peer,), daemon=True)
            self._talks.append(talk)
            talk.start()

    def _talk(self, peer: socket.socket) -> None:
        with ExitStack() as open_, suppress(OSError):
            open_.callback(lambda: peer.close())
            self._peers.append(peer)
            if self.implicit_tls and self.tls:
                peer = self._encrypted(peer)
            reader = open_.enter_context(peer.makefile("rb"))
            self._answer(peer, "CONNECT", b"220 mx.example ESMTP")
            while line := reader.readline():
                self.said.append(line.rstrip(b"\r\n"))
                word = line.split()[0].decode().upper()
                usual = {"EHLO": EHLO, "DATA": b"354 go on", "QUIT": b"221 bye"}
                self._answer(peer, word, usual.get(word, b"250 2.0.0 ok"))
                if word == "STARTTLS":
                    peer = self._encrypted(peer)
                    reader = open_.enter_context(peer.makefile("rb"))
                if word == "DATA":
                    self._take(peer, reader)

    def _encrypted(self, peer: socket.socket) -> socket.socket:
        assert self.tls
        self._peers.append(self.tls.wrap_socket(peer, server_side=True))
        return self._peers[-1]

    def _take(self, peer: socket.socket, reader: BinaryIO) -> None:
        if "BODY" in self.script:
            reader.read(1024)
            self._answer(peer, "BODY", b"")
        mail = b""
        while (line := reader.readline()) not in (b".\r\n", b""):
            mail += line
        if line:
            self.mails.append(mail)
            self._answer(peer, ".", b"250 2.0.0 queued as 1")

    def _answer(self, peer: socket.socket, word: str, usual: bytes) -> None:
        answer = self.script.get(word, usual)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer[1:] else answer[0]
        if answer == SILENCE:
            self.outlasted = not self._ended.wait(PATIENCE_SECONDS)
        if answer == TRICKLE:
            self._trickle(peer)
        if answer in (HANG_UP, SILENCE, TRICKLE):
            raise ConnectionAbortedError
        peer.sendall(answer + b"\r\n")

    def _trickle(self, peer: socket.socket) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._ended.wait(0.05):
            if time.monotonic() > until:
                self.outlasted = True
                return
            peer.sendall(b"2")
