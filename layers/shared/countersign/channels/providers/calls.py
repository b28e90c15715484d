"""One HTTP call to a provider, and what its failure says about whether a message went out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    LocationValueError,
)

from countersign.channels.messages import Refused, SendResult, Throttled, Unknown, Unreached

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
_MOST_READ_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `body` ends at 16 MiB, and where the connection broke."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300


def call(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    """Make one call, with timeouts, without retries or redirects; raises urllib3's `HTTPError`."""
    response = _pool().request(
        method,
        url,
        headers=dict(headers),
        body=body,
        retries=False,
        preload_content=False,
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
    )
    try:
        content = response.read(_MOST_READ_BYTES)
    except HTTPError:
        # The status is what the call was made for; it stands, whatever became of the rest.
        content = b""
    finally:
        response.close()
    return Answer(response.status, response.headers, content)


def send(
    url: str, headers: Mapping[str, str], body: bytes, settle: Callable[[Answer], SendResult]
) -> SendResult:
    """POST a message; no answer, 429 and 5xx mean the same everywhere, `settle` reads the rest.

    Reasons name the kind of error alone: its text may hold the URL, and that a secret.
    """
    try:
        answer = call("POST", url, headers, body)
    except LocationValueError:
        return Refused("invalid_url", "The receiver's URL is not a valid one; correct it.")
    except ConnectTimeoutError as error:
        return Unreached(f"No connection: {type(error).__name__}.")
    except HTTPError as error:
        return Unknown(f"The connection broke before an answer: {type(error).__name__}.")
    if answer.status == 429 or answer.status >= 500:
        return Throttled(retry_after(answer), f"HTTP {answer.status}", answer.status >= 500)
    return settle(answer)


def retry_after(answer: Answer) -> float | None:
    """Seconds to wait as `Retry-After` says, in seconds or as a date (RFC 9110, 10.2.3)."""
    header = answer.headers.get("Retry-After")
    if header is None:
        return None
    try:
        return float(urllib3.Retry().parse_retry_after(header))
    except InvalidHeader:
        return None


@functools.cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager()
