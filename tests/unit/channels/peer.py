"""A real HTTP server on 127.0.0.1 that plays a provider: records what comes, answers as told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler


@dataclass
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """`answers` holds (status, headers, body) of each call to come; the last one repeats.

    A status of 0 closes the connection without an answer, -1 does so on `release`; `outlasted` is
    whether that did not come for half a minute.
    """

    url: str
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    outlasted: bool = False


class Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        peer: Peer = self.server.peer  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        peer.calls.append(Call(self.command, self.path, headers, body))
        status, extra, content = peer.answers.pop(0) if peer.answers[1:] else peer.answers[0]
        if status == -1:
            peer.outlasted = not peer.release.wait(30)
        if status <= 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass
