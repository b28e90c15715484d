"""One connection to a mail server: what is said on it, and when an answer must be there.

The standard library's client does not tell whether a connection broke before or after the dot that
ends a mail, which is what decides whether the mail may have been taken (RFC 5321, 4.2.5, 6.1), and
each of its time limits begins anew with each byte.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

_LINE = re.compile(rb"([2-5][0-9]{2})([ -]?)(.*)", re.DOTALL)
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")
_MOST_LINES = 100
_LONGEST_LINE = 4096
_REASON_CHARACTERS = 200


class Broken(OSError):
    """The server closed the connection, or answered what is no SMTP."""


@dataclass(frozen=True)
class Reply:
    """A server's answer (RFC 5321, 4.2)."""

    number: int
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the command was done (2yz)."""
        return 200 <= self.number < 300

    @property
    def code(self) -> str:
        """The enhanced status (RFC 3463), or where there is none the number."""
        found = _ENHANCED.match(self.lines[0])
        return found[0] if found else str(self.number)

    @property
    def reason(self) -> str:
        """Number and text in one line."""
        text = " ".join(self.lines).replace("\0", "")
        return f"{self.number} {text}"[:_REASON_CHARACTERS].strip()


class Connection:
    """A connection. `deadline`, by `time.monotonic()`, is when whatever is under way must be over.

    All methods raise `OSError` if the connection breaks or the time is up.
    """

    def __init__(self, host: str, port: int, deadline: float) -> None:
        """Connect. The server's greeting is read by `reply`."""
        self.deadline = deadline
        self.extensions: Mapping[str, str] = {}
        self._host = host
        self._read = b""
        self._socket = socket.create_connection((host, port), timeout=self._left())
        # A mail's dot is a packet of its own, which must not wait for an answer to the one before.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reply(self) -> Reply:
        """The next answer of the server."""
        lines: list[str] = []
        while len(lines) < _MOST_LINES:
            match = _LINE.fullmatch(self._line())
            if not match:
                raise Broken("The server answered what is no SMTP.")
            lines.append(match[3].decode("utf-8", "replace").strip())
            if match[2] != b"-":
                return Reply(int(match[1]), tuple(lines))
        raise Broken("The server's answer has no end.")

    def command(self, line: str) -> Reply:
        """Say a line and read the answer."""
        self.write(line.encode() + b"\r\n")
        return self.reply()

    def write(self, content: bytes) -> None:
        """Say these bytes."""
        self._socket.settimeout(self._left())
        self._socket.sendall(content)

    def hello(self, name: str) -> Reply:
        """EHLO; what the server can do is in `extensions` afterwards, by name in upper case."""
        reply = self.command(f"EHLO {name}")
        if reply.ok:
            pairs = (line.replace("=", " ", 1).partition(" ") for line in reply.lines[1:])
            found: dict[str, str] = {}
            for word, _, values in pairs:
                key = word.upper()
                found[key] = f"{found.get(key, '')} {values}".strip()
            self.extensions = found
        return reply

    def secure(self, context: ssl.SSLContext) -> None:
        """Go on encrypted. What the server said in clear before counts no more (RFC 3207, 6)."""
        if self._read:
            raise Broken("The server said more in clear before it was encrypted.")
        self.extensions = {}
        self._socket.settimeout(self._left())
        self._socket = context.wrap_socket(self._socket, server_hostname=self._host)

    def log_in(self, username: str, password: str) -> Reply | None:
        """AUTH PLAIN or LOGIN (RFC 4954, 4616); None if the server offers neither."""
        offered = self.extensions.get("AUTH", "").upper().split()
        if "PLAIN" in offered:
            return self.command("AUTH PLAIN " + _base64(f"\0{username}\0{password}"))
        if "LOGIN" not in offered:
            return None
        reply = self.command("AUTH LOGIN")
        for answer in (username, password):
            if reply.number != 334:
                break
            reply = self.command(_base64(answer))
        return reply

    def close(self) -> None:
        """Say goodbye without waiting for an answer, and hang up."""
        with suppress(OSError):
            self.deadline = time.monotonic() + 1
            self.write(b"QUIT\r\n")
        self._socket.close()

    def _line(self) -> bytes:
        while b"\n" not in self._read:
            if len(self._read) > _LONGEST_LINE:
                raise Broken("The server's answer has a line without end.")
            self._socket.settimeout(self._left())
            received = self._socket.recv(_LONGEST_LINE)
            if not received:
                raise Broken("The server closed the connection.")
            self._read += received
        line, _, self._read = self._read.partition(b"\n")
        return line.rstrip(b"\r")

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("The time is up.")
        return left


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
