"""Somewhere for a provider's events to go."""

from collections.abc import Iterator
from contextlib import contextmanager

from local.http_server import Request, Response, serving


@contextmanager
def webhook() -> Iterator[tuple[str, list[Request]]]:
    """An address that takes everything, and what it got."""
    got: list[Request] = []

    def take(request: Request) -> Response:
        got.append(request)
        return Response(200)

    with serving(take) as url:
        yield url, got
