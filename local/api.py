"""A client of Countersign's own API, as somebody else would write it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import urllib3

from local.errors import LocalError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Api:
    """The API at `url`, with one key."""

    url: str
    key: str

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of an answer, None where it has no body."""
        headers = {"Authorization": f"Bearer {self.key}"}
        sent = None if body is None else json.dumps(body).encode()
        if sent is not None:
            headers["Content-Type"] = "application/json"
        answer = urllib3.request(
            method, self.url + path, body=sent, headers=headers, retries=False, timeout=35
        )
        return answer.status, json.loads(answer.data) if answer.data else None

    def get(self, path: str) -> Any:
        """The answer's JSON. Raises LocalError unless it is a 200."""
        return self._expect("GET", path)

    def post(self, path: str, body: object) -> Any:
        """The answer's JSON. Raises LocalError unless it is a 2xx."""
        return self._expect("POST", path, body)

    def feed(self) -> list[Any]:
        """All that waits for the key's organization."""
        items: list[Any] = []
        cursor = ""
        while True:
            page = self.get(f"/v1/feed{cursor}")
            items += page["items"]
            if not page["next_cursor"]:
                return items
            cursor = f"?cursor={page['next_cursor']}"

    def _expect(self, method: str, path: str, body: object = None) -> Any:
        status, document = self.request(method, path, body)
        if status >= 300:
            raise LocalError(f"{method} {path} answered {status}: {json.dumps(document)}")
        return document


def until(found: Callable[[], Value | None], what: str, seconds: float = 60.0) -> Value:
    """What `found` returns once it is not None. Raises LocalError, naming `what` was missed."""
    deadline = time.monotonic() + seconds
    while (value := found()) is None:
        if time.monotonic() > deadline:
            raise LocalError(f"{what} did not happen in {seconds:.0f} s")
        time.sleep(0.05)
    return value
