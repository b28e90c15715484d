"""Who gets in: keys, their scopes, their tenants. Every operation, from the OpenAPI document."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import EndpointConnectionError

from countersign.drafting import api, feed
from countersign.identity.access import Access
from countersign.identity.api_keys import SCOPES, Scope
from countersign.platform import db, openapi, queues
from countersign.platform.db import Database, engine
from countersign.platform.db import database as database_of
from countersign.platform.log import logger
from functions.approvals import app
from tests import world
from tests.conftest import PASSWORDS, TestDatabase
from tests.handlers.api.client import Api, Story, event, issue, send

SCOPE: Scope = "conversations:read"
BODIES: dict[str, Any] = {
    "approve_draft": {"revision_token": "x"},
    "reject_draft": {"reason_code": "other"},
    "compose_message": {"text": "Hi"},
    "snooze_conversation": {
        "until": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    },
    "resolve_delivery": {"outcome": "sent"},
    "begin_upload": {"file_name": "a.pdf", "mime_type": "application/pdf", "size_bytes": 1},
    "add_suppression": {"address": "eve@example.com"},
    "search": {"query": "box"},
    "add_dataset": {"slug": "manuals", "name": "Manuals"},
    "add_document": {"dataset_id": "0199a000-0000-7000-8000-000000000001", "title": "Manual"},
    "change_document_text": {"text": "New."},
    "begin_document_upload": {"content_type": "application/pdf", "size_bytes": 1},
    "start_crawl": {
        "dataset_id": "0199a000-0000-7000-8000-000000000001",
        "url": "https://shop.example/",
    },
}
"""A valid body for each operation that takes one."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every documented operation that asks for a key."""
    document = api.read_openapi().root
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["security"]:
                yield method.upper(), path, operation


ALL = [
    pytest.param(method, path, operation, id=operation["operationId"])
    for method, path, operation in operations()
]


@pytest.fixture
def ids(story: Story) -> dict[str, str]:
    """An id of each kind, of things that exist."""
    return story.ids


def call(api: Api, method: str, path: str, operation: dict[str, Any], ids: dict[str, str]) -> Any:
    """A request that is well formed."""
    assert ("requestBody" in operation) == (operation["operationId"] in BODIES)
    return api.call(
        method, path.removeprefix("/v1").format(**ids), BODIES.get(operation["operationId"])
    )


def everything(database: TestDatabase, besides: UUID | None = None) -> str:
    """All that the database holds, but what a look at a key may leave, and one tenant's own."""
    with database.connect() as owner:
        tables = owner.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        rows = [
            row
            for (name,) in tables
            for (row,) in owner.execute(f'SELECT to_jsonb(t) FROM "{name}" t ORDER BY 1').fetchall()
            if besides is None or row.get("organization_id") != str(besides)
        ]
    return json.dumps(rows, default=str)


@pytest.mark.parametrize(("method", "path", "operation"), ALL)
def test_a_foreign_key_finds_nothing_and_changes_nothing(
    database: TestDatabase,
    story: Story,
    ids: dict[str, str],
    method: str,
    path: str,
    operation: dict[str, Any],
) -> None:
    foreign = world.add_tenant(database, "foreign")
    # What names nothing that is here may make something, of the key's own organization.
    own = foreign.organization_id if method == "POST" and "{" not in path else None
    before = everything(database, own)
    answer = call(Api(foreign.key), method, path, operation, ids)
    if "{" in path:
        assert (answer.status, answer.problem) == (404, "not-found")
        assert not any(id_ in answer.text for id_ in ids.values())
    elif method == "GET":
        assert answer.json == {"items": [], "next_cursor": None}
    assert everything(database, own) == before
    ours = call(story.api, method, path, operation, ids)
    assert ours.status != 404, "the request would have reached it"


@pytest.mark.parametrize(("method", "path", "operation"), ALL)
def test_a_key_needs_the_scope_that_is_documented(
    database: TestDatabase,
    story: Story,
    ids: dict[str, str],
    method: str,
    path: str,
    operation: dict[str, Any],
) -> None:
    (scope,) = operation["security"][0]["key"]
    others = [other for other in SCOPES if other != scope]
    user_id = story.tenant.user_id
    lacking = Api(issue(database, story.tenant, *others, user_id=user_id))
    answer = call(lacking, method, path, operation, ids)
    assert (answer.status, answer.problem) == (403, "forbidden")
    assert scope in answer.json["detail"]
    having = Api(issue(database, story.tenant, scope, user_id=user_id))
    assert call(having, method, path, operation, ids).status not in (401, 403)


@pytest.mark.parametrize(("method", "path", "operation"), ALL)
def test_no_key_no_answer(method: str, path: str, operation: dict[str, Any]) -> None:
    """Before anything else is looked at, so that a stranger learns nothing."""
    nobody = Api(None)
    for raw in (None, b"{", b"\xff"):
        answer = nobody.call(
            method, path.removeprefix("/v1").replace("{", "x"), raw=raw, encoded=True
        )
        assert (answer.status, answer.problem) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="countersign"'


def test_a_key_that_is_wrong_expired_revoked_or_of_one_who_left(
    database: TestDatabase, story: Story
) -> None:
    expired = issue(database, story.tenant, SCOPE, lifetime=timedelta(seconds=-1))
    revoked = issue(database, story.tenant, SCOPE)
    left = issue(database, story.tenant, SCOPE, user_id=story.tenant.user_id)
    good = issue(database, story.tenant, SCOPE)
    assert Api(good).call("GET", "/feed").status == 200
    with database.connect() as owner:
        owner.execute("UPDATE api_keys SET revoked_at = now() WHERE id = %s", [key_id(revoked)])
        owner.execute("UPDATE organization_memberships SET ended_at = now()")
    for key, what in (
        (expired, "expired"),
        (revoked, "revoked"),
        (left, "revoked"),
        (good[:-1] + ("a" if good[-1] != "a" else "b"), "not known"),
        (good.upper(), "Authorization"),
        ("cs_" + "0" * 32 + "_" + good.split("_", 2)[2], "not known"),
        ("", "Authorization"),
        ("Ünïcödé", "Authorization"),
    ):
        answer = Api(None).call("GET", "/feed", headers={"authorization": f"Bearer {key}"})
        assert (answer.status, answer.problem) == (401, "unauthenticated"), key
        assert what in answer.json["detail"]


def key_id(key: str) -> str:
    return key.split("_")[1]


def test_a_scheme_other_than_bearer_is_refused(story: Story) -> None:
    key = story.tenant.key
    for authorization in (
        key,
        f"Basic {key}",
        f"Bearer  {key}",
        f"Bearer {key} ",
        f"Bearer {key}\n",
    ):
        answer = Api(None).call("GET", "/feed", headers={"authorization": authorization})
        assert answer.problem == "unauthenticated"
    assert Api(None).call("GET", "/feed", headers={"Authorization": f"Bearer {key}"}).status == 200


def test_the_document_needs_no_key() -> None:
    answer = Api(None).call("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["openapi"] == "3.1.0"


def test_the_document_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for no key, so that making it each time would let anybody keep workers busy."""
    made = []

    def document(*_: object) -> dict[str, Any]:
        made.append(1)
        return {}

    api.read_openapi.cache_clear()
    with monkeypatch.context() as replaced:
        replaced.setattr(openapi, "document", document)
        answers = [Api(None).call("GET", "/openapi.json") for _ in range(2)]
    api.read_openapi.cache_clear()
    assert ([answer.json for answer in answers], made) == ([{}, {}], [1])


def test_unknown_addresses_and_methods(story: Story) -> None:
    for path in ("/", "/nothing", "/feed/", "/drafts", "/FEED", "/drafts/x/y", "/%00"):
        answer = story.api.call("GET", path)
        assert (answer.status, answer.problem) == (404, "not-found"), path
    answer = story.api.call("PATCH", "/drafts/x/claim")
    assert (answer.status, answer.problem) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "PUT, DELETE"
    assert story.api.call("POST", "/openapi.json").status == 405


def test_the_function_finds_its_database_by_its_environment(
    database: TestDatabase, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    environment = {
        "DATABASE_HOST": str(database.cluster.host),
        "DATABASE_PORT": str(database.cluster.port),
        "DATABASE_NAME": database.name,
        "DATABASE_SSLMODE": "disable",
        "DATABASE_SECRET_ID": "app-rw",
        "DRAFTS_QUEUE_URL": "drafts",
        "OUTBOUND_QUEUE_URL": "outbound",
        "ATTACHMENTS_QUEUE_URL": "attachments",
        "INDEX_QUEUE_URL": "index",
        "RELAY_QUEUE_URL": "relay",
        "MESSAGES_BUCKET": "messages",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    secret = {"username": "app_rw", "password": PASSWORDS["app_rw"]}
    monkeypatch.setattr(db, "secret_json", lambda secret_id: secret)
    app._access.cache_clear()
    try:
        assert story.api.get("/feed")["items"] == []
    finally:
        app._access().database.engine.dispose()
        app._access.cache_clear()
        database_of.cache_clear()


def test_what_does_not_answer_is_unavailable(
    database: TestDatabase, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://sqs")

    item = story.drafted()
    path = f"/conversations/{item['conversation']['id']}/closure"
    monkeypatch.setattr(queues, "send_delayed", refuse)
    answer = story.api.call("PUT", path)
    assert (answer.status, answer.problem) == (503, "unavailable")
    assert story.api.get("/feed")["items"], "nothing was changed"
    gone = Database(engine(database.url("app_rw").set(query={"host": "/nowhere"})))
    monkeypatch.setattr(app, "_access", lambda: Access(gone, world.outbox(database), "messages"))
    answer = story.api.call("GET", "/feed")
    assert (answer.status, answer.problem) == (503, "unavailable")
    assert "nowhere" not in answer.text


def test_our_own_fault_is_logged_and_tells_nothing(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError(f"canary {story.tenant.key}")

    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    monkeypatch.setattr(feed, "read", fail)
    answer = story.api.call("GET", "/feed")
    assert (answer.status, answer.problem) == (500, "internal")
    assert "canary" not in answer.text
    assert "canary" in log.getvalue()
    assert story.tenant.key.split("_", 2)[2] not in log.getvalue()
    assert json.loads(log.getvalue().splitlines()[-2])["correlation_id"] == "request-1"


def test_nothing_of_a_request_is_logged(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    draft_id = story.drafted("canary-question")["draft"]["id"]
    token = story.api.get(f"/drafts/{draft_id}")["revision_token"]
    body = {"revision_token": token, "final_text": "canary-text", "notes": "canary-notes"}
    story.api.post(f"/drafts/{draft_id}/approval", body, **{"Idempotency-Key": "canary-key"})
    story.api.call("POST", f"/drafts/{draft_id}/approval", {"canary-field": "canary-value"})
    story.api.call("GET", "/feed", headers={"authorization": "Bearer canary-token"})
    assert "canary" not in log.getvalue()
    assert story.tenant.key not in log.getvalue()


def test_requests_and_refusals_are_logged_by_their_names(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    story.api.get("/feed")
    story.api.call("GET", "/drafts/x")
    Api(None).call("GET", "/feed")
    entries = [json.loads(line) for line in log.getvalue().splitlines()]
    assert all(entry["correlation_id"] == "request-1" for entry in entries)
    told = [(entry["message"], entry.get("operation") or entry.get("code")) for entry in entries]
    assert told == [
        ("a request arrived", "read_feed"),
        ("a request arrived", "read_draft"),
        ("a request was refused", "invalid"),
        ("a request was refused", "unauthenticated"),
    ]
    assert entries[0]["api_key_id"] == str(story.tenant.principal.api_key_id)


def test_the_event_of_the_gateway_is_all_that_is_needed(story: Story) -> None:
    made = event("GET", "/v1/feed", {"authorization": f"Bearer {story.tenant.key}"})
    for dispensable in ("routeKey", "rawQueryString", "pathParameters", "isBase64Encoded"):
        del made[dispensable]
    assert send(made).status == 200
