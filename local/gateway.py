"""The API's public address on a laptop.

The emulator gives an API its id at the deploy, and with it the address. The functions' settings
and the providers' signatures need the address before that, so this front has a fixed one and
passes each request on, byte for byte.
"""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from urllib.parse import urlsplit

from local.http_server import Request, Response, serving

USUAL_PORT = 8400
# Quotas of API Gateway's HTTP APIs: integration timeout and payload size.
TIMEOUT_SECONDS = 30
BODY_BYTES = 10 * 1024 * 1024
# Headers of the connection, not of the message (RFC 9110, section 7.6.1).
_PER_CONNECTION = {
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class Gateway:
    """What stands before the API: `.url` is public, `.open` names the API behind it."""

    def __init__(self, endpoint: str) -> None:
        self.url = ""
        self._upstream = urlsplit(endpoint).netloc
        self._api_id = ""
        self._opened = Event()

    def open(self, api_id: str) -> None:
        """Pass requests on to this API; those that came before have waited."""
        self._api_id = api_id
        self._opened.set()

    def answer(self, request: Request) -> Response:
        """The API's answer, or what API Gateway itself would say."""
        if len(request.body) > BODY_BYTES:
            return _message(413, "Request Entity Too Large")
        if not self._opened.wait(TIMEOUT_SECONDS):
            return _message(503, "Service Unavailable")
        try:
            return self._forward(request)
        except (OSError, http.client.HTTPException):
            return _message(503, "Service Unavailable")

    def _forward(self, request: Request) -> Response:
        connection = http.client.HTTPConnection(self._upstream, timeout=TIMEOUT_SECONDS)
        try:
            target = f"/_aws/execute-api/{self._api_id}/$default{request.target}"
            connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in _of_the_message(request.headers):
                connection.putheader(name, value)
            if request.header("Content-Length"):
                connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            response = connection.getresponse()
            body = response.read()
            return Response(response.status, body, _of_the_message(response.getheaders()))
        finally:
            connection.close()


@contextmanager
def running(endpoint: str, port: int) -> Iterator[Gateway]:
    """Serve a gateway to the emulator at `endpoint` during the block."""
    gateway = Gateway(endpoint)
    with serving(gateway.answer, port) as url:
        gateway.url = url
        yield gateway


def _of_the_message(
    headers: "tuple[tuple[str, str], ...] | list[tuple[str, str]]",
) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers if name.lower() not in _PER_CONNECTION)


def _message(status: int, text: str) -> Response:
    headers = (("Content-Type", "application/json"),)
    return Response(status, f'{{"message":"{text}"}}'.encode(), headers)
