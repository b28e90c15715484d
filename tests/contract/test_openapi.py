"""The OpenAPI document keeps its word: schemathesis plays clients of it, honest and not.

In process: a request becomes the event that API Gateway would make of it. No network.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from countersign.drafting import api
from tests.handlers.api.client import Story, event, send
from tests.handlers.api.conftest import access, memory_queues, story
from tools import openapi

__all__ = ["access", "memory_queues", "story"]

CONFIG = """
seed = 1

[auth.openapi.key]
bearer = "{key}"

[generation]
max-examples = 20

[phases.stateful]
enabled = false

# It cannot repeat a request to a WSGI application without its key; test_access does.
[checks.ignored_auth]
enabled = false

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "404", "409"]

# What is too large is refused for that, whatever else is wrong with it.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422"]

{unsaid}

[parameters]
{parameters}
"""
UNSAID = """
[[operations]]
include-name = "{name}"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422"]
"""
UNSAID_OF_ANY = (
    "GET /v1/datasets",
    "GET /v1/documents",
    "GET /v1/feed",
    "GET /v1/job-runs",
    "GET /v1/suppressions",
    "POST /v1/documents",
    "POST /v1/suppressions",
    "PUT /v1/conversations/{conversation_id}/snooze",
    "POST /v1/conversations/{conversation_id}/messages",
    "POST /v1/drafts/{draft_id}/approval",
)
OPERATIONS = {
    f"{operation.method} {operation.path}" for operation in api.everything() if operation.scope
}


def gateway(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """A WSGI application: the API behind its gateway."""
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    query: dict[str, str] = {}
    for name, value in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    answer = send(event(environ["REQUEST_METHOD"], path, headers, body, query, encoded=True))
    start_response(f"{answer.status} -", list(answer.headers.items()))
    return [answer.text.encode()]


def play(config: str) -> tuple[list[str], Counter[str]]:
    """What schemathesis finds fault with, and how many requests it made of each operation."""
    schema = schemathesis.openapi.from_wsgi(
        "/v1/openapi.json", gateway, config=SchemathesisConfig.from_str(config)
    )
    faults: list[str] = []
    made: Counter[str] = Counter()
    for told in from_schema(schema).execute():
        if isinstance(told, events.NonFatalError | events.FatalError):
            faults.append(repr(told))
        if isinstance(told, events.ScenarioFinished):
            made[told.recorder.label] += len(told.recorder.interactions)
            faults += faults_of(told.recorder)
    return faults, made


def faults_of(recorder: ScenarioRecorder) -> list[str]:
    """Each check that failed, with the request that it was made on."""
    return [
        f"{check.name}: {request.method} {request.uri} {request.body!r}: {check.failure_info}"
        for case_id, checks in recorder.checks.items()
        for check in checks
        if check.status is Status.FAILURE
        for request in [recorder.interactions[case_id].request]
    ]


@pytest.mark.parametrize("ids_exist", [False, True])
def test_every_operation_behaves_as_documented(story: Story, ids_exist: bool) -> None:
    parameters = story.ids if ids_exist else {}
    names = sorted(name for name in OPERATIONS if unsaid(name, ids_exist))
    config = CONFIG.format(
        key=story.tenant.key,
        unsaid="".join(UNSAID.format(name=name) for name in names),
        parameters="\n".join(f'"path.{name}" = "{id_}"' for name, id_ in parameters.items()),
    )
    faults, made = play(config)
    assert faults == [], "\n".join(faults)
    assert set(made) == OPERATIONS
    assert min(made.values()) >= 10


def unsaid(name: str, ids_exist: bool) -> bool:
    """Whether no schema can say what an operation takes.

    A cursor or a token must have been given out, a moment must be to come, a recipient must have a
    mail address, and an Idempotency-Key that was taken by another request is refused.
    """
    if name in UNSAID_OF_ANY or name.startswith("POST"):
        return True
    paged = ("GET /v1/conversations/{conversation_id}", "GET /v1/crawls/{crawl_id}/pages")
    return ids_exist and name.startswith(paged)


def test_the_checked_in_document_is_that_of_the_operations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    openapi.main(["--check"])
    monkeypatch.setattr(api, "OPERATIONS", api.OPERATIONS[1:])
    api.read_openapi.cache_clear()
    with pytest.raises(SystemExit, match="make openapi"):
        openapi.main(["--check"])
    api.read_openapi.cache_clear()


def test_the_document_is_written_the_same_each_time() -> None:
    first = openapi.text()
    api.read_openapi.cache_clear()
    assert openapi.text() == first
    assert openapi.text() == openapi.FILE.read_text()


def test_everything_in_the_document_is_explained() -> None:
    document = json.loads(openapi.text())
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert all(operation["summary"] and operation["tags"] for operation in operations)
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids)) == len(api.everything())
    schemas = document["components"]["schemas"]
    assert [name for name, schema in schemas.items() if not schema.get("description")] == []
    parameters = [one for operation in operations for one in operation.get("parameters", [])]
    assert [one for one in parameters if one["in"] != "path" and not one["description"]] == []
