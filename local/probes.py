"""What a foreign tenant's key is answered at every address of the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from local.api import Api
from local.errors import LocalError

# A body that would be accepted of whoever owns the object, by the end of the address.
BODIES: Mapping[str, Any] = {
    "messages": {"text": "hello"},
    "draft-requests": None,
    "approval": {"revision_token": "guessed"},
    "rejection": {"reason_code": "other"},
    "snooze": {"until": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
    "resolution": {"outcome": "sent"},
}


@dataclass(frozen=True)
class Probe:
    """One request with a foreign key, its status, and how many rows of the owner it showed."""

    method: str
    path: str
    status: int
    rows: int


def probe(foreign: Api, ids: Mapping[str, str]) -> list[Probe]:
    """Try every address whose parameters are all in `ids` (by their name), with a foreign key.

    Without parameters those that list: the others make something of one's own.
    Raises LocalError where the answer is neither 404 nor a list of one's own: a probe that fails
    for another reason shows nothing.
    """
    document = foreign.get("/v1/openapi.json")
    made = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            named = bool(_names(path)) or method == "get"
            if named and operation.get("security") != [] and _names(path) <= set(ids):
                made.append(_try(foreign, method.upper(), path, ids))
    return made


def _names(path: str) -> set[str]:
    return {part[1:-1] for part in path.split("/") if part.startswith("{")}


def _try(foreign: Api, method: str, path: str, ids: Mapping[str, str]) -> Probe:
    body = None if method in ("GET", "DELETE") else BODIES.get(path.rpartition("/")[2])
    status, answer = foreign.request(method, path.format(**ids), body)
    text = str(answer)
    # A problem document may name the address that was asked for.
    rows = sum(each in text for each in ids.values()) if status < 300 else 0
    if status != 404 and (status != 200 or _names(path)):
        raise LocalError(f"a foreign {method} {path} was answered {status}: {text}")
    return Probe(method, path, status, rows)
