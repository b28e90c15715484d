"""The front of the API: nothing of a request or an answer may change on the way."""

import http.client
import time
from collections.abc import Iterator
from threading import Thread

import pytest
import urllib3

from local import gateway
from local.http_server import Request, Response, serving


class Upstream:
    """Stands for the emulator: keeps what came, answers what it is told."""

    def __init__(self) -> None:
        self.got: list[Request] = []
        self.response: Response | None = Response(200)

    def answer(self, request: Request) -> Response | None:
        self.got.append(request)
        return self.response


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def front(upstream: Upstream) -> Iterator[gateway.Gateway]:
    with serving(upstream.answer) as url, gateway.running(url, 0) as front:
        yield front


def test_the_target_the_headers_and_the_body_pass_unchanged(
    front: gateway.Gateway, upstream: Upstream
) -> None:
    front.open("abc123")
    connection = http.client.HTTPConnection(front.url.removeprefix("http://"))
    target = "/webhooks/twilio.x%2by?attempt=%2B1&b=a+b%20c&empty="
    connection.putrequest("POST", target, skip_accept_encoding=True)
    for name, value in (("X-Twice", "1"), ("x-twice", "2"), ("Content-Length", "5")):
        connection.putheader(name, value)
    connection.endheaders(b"\xff\x00\r\nz")
    assert connection.getresponse().status == 200
    connection.close()
    (request,) = upstream.got
    assert request.target == "/_aws/execute-api/abc123/$default" + target
    assert request.body == b"\xff\x00\r\nz"
    assert [pair for pair in request.headers if pair[0].lower() == "x-twice"] == [
        ("X-Twice", "1"),
        ("x-twice", "2"),
    ]
    assert request.header("Host") == front.url.removeprefix("http://")


def test_the_status_the_headers_and_the_body_come_back_unchanged(
    front: gateway.Gateway, upstream: Upstream
) -> None:
    front.open("abc123")
    headers = (
        ("Content-Type", "application/problem+json"),
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
    )
    upstream.response = Response(409, b'{"x":"\xc3\xa9"}', headers)
    answer = urllib3.request("GET", front.url + "/v1/drafts")
    assert (answer.status, answer.data) == (409, b'{"x":"\xc3\xa9"}')
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.getlist("Set-Cookie") == ["a", "b"]


def test_requests_wait_until_there_is_an_api(front: gateway.Gateway, upstream: Upstream) -> None:
    def open_late() -> None:
        time.sleep(0.2)
        front.open("late")

    opener = Thread(target=open_late)
    opener.start()
    assert urllib3.request("GET", front.url + "/v1/drafts").status == 200
    opener.join()
    assert upstream.got[0].target.startswith("/_aws/execute-api/late/")


def test_an_emulator_that_dies_is_a_503(front: gateway.Gateway, upstream: Upstream) -> None:
    front.open("abc123")
    upstream.response = None
    answer = urllib3.request("POST", front.url + "/v1/x", body=b"x", retries=False)
    assert (answer.status, answer.json()) == (503, {"message": "Service Unavailable"})


def test_more_than_api_gateway_takes_is_a_413(front: gateway.Gateway, upstream: Upstream) -> None:
    front.open("abc123")
    answer = urllib3.request("POST", front.url + "/", body=bytes(gateway.BODY_BYTES + 1))
    assert answer.status == 413
    assert upstream.got == []
