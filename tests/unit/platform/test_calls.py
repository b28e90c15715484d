"""Calls to servers that answer byte by byte as they are told, on 127.0.0.1."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationValueError, ProtocolError

from countersign.platform import clock
from countersign.platform.calls import LONGEST_WAIT, Answer, Late, call, retry_after
from tests.unit.platform.pieces import Server, bytewise, serving

FULL = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.0 200 OK\r\n\r\n"


def get(url: str, *, seconds: float = 60.0, most_bytes: int = 1000) -> Answer:
    return call("GET", url, {}, seconds=seconds, most_bytes=most_bytes)


def test_an_answer() -> None:
    with serving(FULL) as server:
        answer = call("POST", server.url, {}, b"{}", seconds=5, most_bytes=5)
    assert (answer.status, answer.body, answer.cut, answer.ok) == (200, b"hello", None, True)


def test_a_connection_is_kept() -> None:
    with serving(FULL) as server:
        assert [get(server.url).body for _ in range(3)] == [b"hello"] * 3
        assert server.connections == 1


HEAD = [b"HTTP/1.1 200 OK\r\n", *bytewise(b"X-Padding: ...\r\n", 40)]


@pytest.mark.parametrize(
    "pieces",
    [
        bytewise(b"HTTP/1.1 200 " + b"x" * 600),
        HEAD,
        [FULL[:-5], *bytewise(b"hello")[:4], *[b""] * 600],
        [CHUNKED, *[b"1\r\nx\r\n"] * 600],
        [CHUNKED, *bytewise(b"00000000" * 75)],
        [UNTIL_CLOSED, *bytewise(b"x" * 600)],
    ],
    ids=["status", "headers", "length", "chunks", "chunk's length", "until closed"],
)
def test_a_trickle_is_left_in_time(pieces: list[bytes]) -> None:
    with serving(*pieces, apart=0.05) as server:
        began = time.monotonic()
        try:
            # Enough for the first piece, and a thirtieth of what all of them take.
            answer = get(server.url, seconds=1)
        except Late:
            assert not pieces[0].startswith(b"HTTP/1.1 200 OK")
        else:
            assert (answer.status, answer.cut) == (200, "late")
        assert time.monotonic() - began > 0.95
        assert get_afterwards(server) == "late"
        assert not server.has_said_all


def get_afterwards(server: Server) -> str | None:
    """The next call gets a connection of its own, not what is left of the one before."""
    try:
        return get(server.url, seconds=0.1).cut
    except Late:
        return "late"


def test_silence_is_left_in_time() -> None:
    with serving(b"", apart=30) as server:
        with pytest.raises(Late):
            get(server.url, seconds=0.2)
        assert not server.has_said_all


@pytest.mark.parametrize(
    "pieces", [[FULL], [CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"], [UNTIL_CLOSED, b"hello"]]
)
def test_a_body_is_read_so_far_and_no_further(pieces: list[bytes]) -> None:
    for most_bytes, body, cut in ((4, b"hell", "long"), (5, b"hello", None)):
        with serving(*pieces, apart=0.01) as server:
            answer = get(server.url, most_bytes=most_bytes)
        assert (answer.body, answer.cut) == (body, cut)


def test_a_status_stands_where_the_body_breaks_off() -> None:
    with serving(FULL[:-2], apart=0.01) as server:
        answer = get(server.url)
    assert (answer.status, answer.body, answer.cut) == (200, b"", "broken")


def test_a_redirect_is_an_answer() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with serving(moved) as server:
        assert (get(server.url).status, get(server.url).ok) == (302, False)


def test_no_answer_is_told_from_no_arrival() -> None:
    with serving(b"", apart=0.01) as server, pytest.raises(ProtocolError):
        get(server.url)
    with pytest.raises(ConnectTimeoutError):
        get(server.url)
    with pytest.raises(LocationValueError):
        get("http://[bad")


NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7),
        (" 0.25 ", 0.25),
        ("9" * 400, LONGEST_WAIT),
        (format_datetime(NOW + timedelta(seconds=100), usegmt=True), 100),
        (format_datetime(NOW - timedelta(seconds=100), usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
    ],
)
def test_how_long_to_wait(header: str, wait: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    assert retry_after({"retry-after": header}) == wait


@pytest.mark.parametrize("header", ["", "soon", "-1", "nan", "inf", "1e9", "٣", "1.", "Fri, 99"])
def test_a_wait_that_is_none(header: str) -> None:
    assert retry_after({"retry-after": header}) is None
    assert retry_after({}) is None


@given(st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d{4,6} \d+:\d+:\d+ [+-]?\w+"))
def test_no_header_is_too_strange(header: str) -> None:
    wait = retry_after({"retry-after": header})
    assert wait is None or 0 <= wait <= LONGEST_WAIT


def test_late_is_one_of_the_faults_of_a_call() -> None:
    assert issubclass(Late, HTTPError)
