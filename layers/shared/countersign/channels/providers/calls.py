"""POSTing a message to a provider, and what a failure says about whether it went out; getting a
file from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationValueError

from countersign.channels.messages import Refused, SendResult, Throttled, Unknown, Unreached
from countersign.platform.calls import Answer, call, retry_after
from countersign.platform.errors import NotFound, TooLarge, Unauthenticated, Unavailable

SECONDS = 15.0
"""For one call: a try may need two, and a look-up before them, within its function's timeout."""
_MOST_BYTES = 64 * 1024


def post(
    url: str, headers: Mapping[str, str], body: bytes, settle: Callable[[Answer], SendResult]
) -> SendResult:
    """POST a message; no answer, 429 and 5xx mean the same everywhere, `settle` reads the rest.

    Of the answer's body `settle` gets what came within 64 KB and 15 seconds. Reasons name the kind
    of error alone: its text may hold the URL, and that a secret.
    """
    try:
        answer = call("POST", url, headers, body, seconds=SECONDS, most_bytes=_MOST_BYTES)
    except LocationValueError:
        return Refused("invalid_url", "The receiver's URL is not a valid one; correct it.")
    except ConnectTimeoutError as error:
        return Unreached(f"No connection: {type(error).__name__}.")
    except HTTPError as error:
        return Unknown(f"The connection broke before an answer: {type(error).__name__}.")
    if answer.status == 429 or answer.status >= 500:
        wait = retry_after(answer.headers)
        return Throttled(wait, f"HTTP {answer.status}", answer.status >= 500)
    return settle(answer)


def get(url: str, headers: Mapping[str, str], *, most_bytes: int, seconds: float) -> Answer:
    """GET a file, whole or not at all; a redirect is answered as it is.

    Raises `NotFound`, `TooLarge`, `Unauthenticated` and `Unavailable`, whose details hold no URL.
    """
    try:
        answer = call("GET", url, headers, seconds=seconds, most_bytes=most_bytes)
    except LocationValueError:
        raise NotFound("The file's URL is not a valid one.") from None
    except HTTPError as error:
        raise Unavailable(f"The file was not answered: {type(error).__name__}.") from None
    if answer.status >= 400:
        _refuse(answer)
    if answer.cut == "long":
        raise TooLarge(f"The file is larger than {most_bytes} bytes.")
    if answer.cut:
        raise Unavailable("The file was not read whole in time.")
    return answer


def _refuse(answer: Answer) -> NoReturn:
    reason = f"The file was answered with HTTP {answer.status}."
    if answer.status == 401:
        raise Unauthenticated(reason)
    if answer.status == 429 or answer.status >= 500:
        raise Unavailable(reason, retry_after=retry_after(answer.headers))
    raise NotFound(reason)
