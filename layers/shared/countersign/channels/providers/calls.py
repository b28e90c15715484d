"""POSTing a message to a provider, and what a failure says about whether it went out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationValueError

from countersign.channels.messages import Refused, SendResult, Throttled, Unknown, Unreached
from countersign.platform.calls import Answer, call, retry_after

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
