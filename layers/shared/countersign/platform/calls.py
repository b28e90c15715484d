"""HTTP calls to systems of others: over in a given time, read so far and no further."""

from __future__ import annotations

import functools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from countersign.platform import clock

CONNECT_SECONDS = 3.0
LONGEST_WAIT = 6 * 3600.0

Cut: TypeAlias = Literal["late", "long", "broken"]

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `cut` says why `body` is not the whole, and is None where it is."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: Cut | None = None

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300


class Late(HTTPError):
    """The time was over before an answer began; the request may have arrived."""


def call(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    seconds: float,
    most_bytes: int,
    by: urllib3.HTTPConnectionPool | None = None,
) -> Answer:
    """Make one call, without retries or redirects, which would carry credentials elsewhere.

    `by` is a pool of connections to one address, if it is not the URL's host that is to be called;
    `url` is then path and query alone.

    After `seconds` it is left, and after `most_bytes` the rest of the body: what was answered until
    then stands. Raises urllib3's `HTTPError` if no answer began: of these `LocationValueError`,
    `ConnectTimeoutError` and its `NewConnectionError` say that the request surely did not arrive.
    """
    deadline = time.monotonic() + seconds
    try:
        response = (by or _pool()).request(
            method,
            url,
            headers=dict(headers),
            body=body,
            retries=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, total=seconds),
        )
    except ReadTimeoutError:
        raise Late("No answer in time.") from None
    except ProtocolError:
        if time.monotonic() >= deadline:
            raise Late("No whole answer in time.") from None
        raise
    try:
        content, cut = _read(response, deadline, most_bytes)
    finally:
        response.close()
    return Answer(response.status, response.headers, content, cut)


def _read(
    response: urllib3.BaseHTTPResponse, deadline: float, most_bytes: int
) -> tuple[bytes, Cut | None]:
    try:
        with _at(deadline, response.shutdown):
            content = response.read(most_bytes + 1)
    except HTTPError:
        return b"", "late" if time.monotonic() >= deadline else "broken"
    if len(content) > most_bytes:
        return content[:most_bytes], "long"
    # Where the end of the connection is the end of the body, ours looks like theirs.
    return content, "late" if time.monotonic() >= deadline else None


@contextmanager
def _at(deadline: float, shut: Callable[[], object]) -> Iterator[None]:
    """Shut a socket at the deadline, so that whoever reads from it is told of its end.

    A socket's own timeout begins again with each byte: a trickle would go on for ever.
    """

    def end() -> None:
        with suppress(OSError, ValueError, RuntimeError):  # it was closed, or is back in the pool
            shut()

    timer = threading.Timer(deadline - time.monotonic(), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _head(connection: HTTPConnection) -> urllib3.HTTPResponse:
    """Status and headers; `timeout` is by now what the call has left."""
    assert connection.timeout is not None
    deadline = time.monotonic() + connection.timeout
    with _at(deadline, functools.partial(connection.sock.shutdown, socket.SHUT_RDWR)):
        return HTTPConnection.getresponse(connection)


class _Http(HTTPConnection):
    getresponse = _head


class _Https(HTTPSConnection):
    getresponse = _head  # type: ignore[assignment]  # declared by http.client for this one
    _plain: socket.socket | None = None

    def connect(self) -> None:
        """Shake hands in time: a trickle here would go on for ever too."""
        assert self.timeout is not None
        with _at(time.monotonic() + self.timeout, self._hang_up):
            super().connect()

    def _new_conn(self) -> socket.socket:
        self._plain = super()._new_conn()
        return self._plain

    def _hang_up(self) -> None:
        if self._plain:
            self._plain.shutdown(socket.SHUT_RDWR)


class HttpPool(urllib3.HTTPConnectionPool):
    """Connections whose answers end in time."""

    ConnectionCls = _Http


class HttpsPool(urllib3.HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _Https


@functools.cache
def _pool() -> urllib3.PoolManager:
    pool = urllib3.PoolManager()
    pool.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
    return pool


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after` in seconds or as a date (RFC 9110, 10.2.3): at most
    `LONGEST_WAIT`, and None without a readable one. A mapping that knows case has it in lower."""
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(value).timestamp() - clock.now().timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, wait), LONGEST_WAIT)
