"""A client of the API: real events of an HTTP API into the function's handler, no network."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from sqlalchemy import select

from countersign.channels.tables import Delivery
from countersign.conversations.tables import Attachment
from countersign.identity import api_keys
from countersign.identity.api_keys import Scope
from countersign.identity.tables import OrganizationMembership, User
from countersign.knowledge.working import work
from countersign.models.spaces import Encoders
from countersign.platform.db import Database, engine
from countersign.platform.ids import new_id
from countersign.platform.tables import AuditEvent
from functions.approvals import app as approvals
from functions.knowledge import app as knowledge
from functions.search import app as search
from tests.conftest import TestDatabase
from tests.world import HashingEncoder, Path, Tenant

_OF_KNOWLEDGE = re.compile(r"/v1/(crawls|datasets|documents|job-runs|re-embedding)(/|$)")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problem(self) -> str:
        """The last part of a problem document's type, once its form has been checked."""
        assert self.headers["content-type"] == "application/problem+json"
        document = self.json
        assert document["status"] == self.status
        assert document["title"]
        assert document["detail"]
        base, _, code = document["type"].rpartition("/")
        assert base == "https://countersign.dev/problems"
        return str(code)

    @property
    def wrong(self) -> set[str]:
        """Where a 422 says that something is wrong."""
        assert (self.status, self.problem) == (422, "invalid")
        return {error["where"] for error in self.json["errors"]}


def event(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    query: Mapping[str, str] | None = None,
    encoded: bool = False,
) -> dict[str, Any]:
    """An event of the HTTP API, payload version 2.0."""
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "ANY /v1/{proxy+}",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}),
        "headers": dict(headers),
        "requestContext": {
            "domainName": "abc.execute-api.us-east-1.amazonaws.com",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1"},
            "requestId": "request-1",
            "stage": "$default",
        },
        "pathParameters": {"proxy": path.removeprefix("/v1/")},
        "isBase64Encoded": encoded,
    }
    if query:
        made["queryStringParameters"] = dict(query)
    if body is not None:
        made["body"] = base64.b64encode(body).decode() if encoded else body.decode()
    return made


@dataclass(frozen=True)
class Api:
    """The API as one key sees it."""

    key: str | None

    def call(
        self,
        method: str,
        path: str,
        json_body: Any = None,
        *,
        raw: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        encoded: bool = False,
    ) -> Answer:
        """One request under /v1, its body given as JSON values or as bytes."""
        sent = {"content-type": "application/json", **(headers or {})}
        if self.key:
            sent = {"authorization": f"Bearer {self.key}", **sent}
        body = json.dumps(json_body).encode() if json_body is not None else raw
        path, _, asked = path.partition("?")
        query = query or dict(parse_qsl(asked))
        return send(event(method, f"/v1{path}", sent, body, query, encoded))

    def get(self, path: str, **query: str) -> Any:
        """What a GET that works answers."""
        return self._works("GET", path, query=query)

    def put(self, path: str, body: Any = None) -> Any:
        return self._works("PUT", path, body)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._works("POST", path, body, headers=headers)

    def delete(self, path: str) -> Any:
        return self._works("DELETE", path)

    def _works(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = self.call(method, path, body, **options)
        assert answer.status in (200, 201, 204), answer.text
        return answer.json if answer.text else None


def send(made: dict[str, Any]) -> Answer:
    """Hand an event to the function whose route it is, through JSON as Lambda would."""
    path = made["rawPath"]
    of_knowledge = knowledge if _OF_KNOWLEDGE.match(path) else approvals
    app = search if path == "/v1/search" else of_knowledge
    answer = json.loads(json.dumps(app.lambda_handler(json.loads(json.dumps(made)), None)))
    return Answer(answer["statusCode"], answer.get("headers", {}), answer.get("body", ""))


def issue(
    database: TestDatabase,
    tenant: Tenant,
    *scopes: Scope,
    user_id: UUID | None = None,
    lifetime: timedelta = timedelta(days=1),
) -> str:
    """A further key of a tenant, bound to nobody unless to `user_id`."""
    owner = Database(engine(database.url("app_owner")))
    with owner.tenant(tenant.organization_id) as session:
        now = datetime.now(UTC)
        key = api_keys.issue(session, user_id, "further", scopes, now + lifetime, now)
    owner.engine.dispose()
    return key


def add_member(database: TestDatabase, tenant: Tenant, name: str) -> UUID:
    """Another person of a tenant."""
    user_id = new_id()
    owner = Database(engine(database.url("app_owner")))
    with owner.system() as session:
        email = f"{name.lower()}@{tenant.organization_id}.example"
        session.add(User(id=user_id, email=email, display_name=name))
        session.flush()
        session.add(OrganizationMembership(organization_id=tenant.organization_id, user_id=user_id))
    owner.engine.dispose()
    return user_id


def by_sms(database: TestDatabase) -> None:
    """Let every channel be one of SMS."""
    with database.connect() as owner:
        owner.execute("UPDATE channels SET type = 'sms', provider = 'twilio'")


class Story:
    """A tenant's conversation with Ada, driven to where a test begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tenant = path.tenant
        self.api = Api(path.tenant.key)
        self._messages = 0

    def ada_writes(self, text: str = "Can I return my order?", conversation: str = "c1") -> None:
        """A message of the customer's arrives."""
        self._messages += 1
        message_id = f"m{self._messages}"
        envelope = self.tenant.webhook(text, conversation=conversation, message_id=message_id)
        assert self.path.receive(envelope) == []

    def drafted(self, text: str = "Can I return my order?", conversation: str = "c1") -> Any:
        """The feed's item of a message with its pending draft."""
        self.ada_writes(text, conversation)
        self.path.draft()
        items = self.api.get("/feed")["items"]
        return next(
            item
            for item in items
            if text.startswith(item["latest_inbound_message"]["excerpt"]["text"])
        )

    def approved(self, **body: Any) -> tuple[str, Any]:
        """A draft's id, and the answer to its approval."""
        draft_id = self.drafted()["draft"]["id"]
        token = self.api.get(f"/drafts/{draft_id}")["revision_token"]
        made = self.api.post(f"/drafts/{draft_id}/approval", {"revision_token": token, **body})
        return draft_id, made

    def messages(self, conversation_id: str) -> list[Any]:
        """The messages of a conversation's timeline, without what was decided about drafts."""
        items = self.api.get(f"/conversations/{conversation_id}")["items"]
        return [item["message"] for item in items if item["type"] == "message"]

    @functools.cached_property
    def ids(self) -> dict[str, str]:
        """An id of each kind, of things that exist: two conversations, one with a reply queued."""
        _, made = self.approved()
        item = self.drafted("Another question", conversation="c2")
        suppressed = self.api.post("/suppressions", {"address": "gone@example.com"})
        dataset = self.api.post("/datasets", {"slug": "guides", "name": "Guides"})
        document = self.api.post(
            "/documents", {"dataset_id": dataset["id"], "title": "Hoses", "text": "AN-6."}
        )
        crawl = self.api.post(
            "/crawls", {"dataset_id": dataset["id"], "url": "https://shop.example/"}
        )
        self.index()
        return {
            "attachment_id": self.attached(None),
            "conversation_id": item["conversation"]["id"],
            "draft_id": item["draft"]["id"],
            "message_id": made["message_id"],
            "delivery_id": made["delivery_id"],
            "suppression_id": suppressed["id"],
            "document_id": document["id"],
            "job_run_id": document["job_run_id"],
            "crawl_id": crawl["job_run_id"],
        }

    def index(self) -> None:
        """Do all that the index queue asks for."""
        for body in self.path.sent.take("index"):
            work(self.path.outbox, Encoders(HashingEncoder()), "documents", body)

    def attached(self, message_id: str | None, **values: Any) -> str:
        """A file of a message that has been fetched, with other values if given, or an upload that
        has been taken in; its id."""
        usual = {
            "file_name": "photo.jpg",
            "status": "completed",
            "sha256": "0" * 64,
            "size_bytes": 3,
        }
        file = Attachment(
            organization_id=self.tenant.organization_id,
            id=new_id(),
            message_id=UUID(message_id) if message_id else None,
            uploaded_by=None if message_id else self.tenant.user_id,
            mime_type="image/jpeg",
            **(usual | values),
        )
        with self.path.tenant_session() as session:
            session.add(file)
        return str(file.id)

    def becomes(self, delivery_id: str, status: str, **values: Any) -> None:
        """Let a delivery have become what a provider made of it."""
        with self.path.tenant_session() as session:
            delivery = session.get_one(Delivery, (self.tenant.organization_id, UUID(delivery_id)))
            delivery.status = status  # type: ignore[assignment]
            for name, value in values.items():
                setattr(delivery, name, value)

    def events(self) -> list[Any]:
        """The data of all audit events of conversations, each with its type and actor."""
        with self.path.tenant_session() as session:
            texts = session.scalars(
                select(AuditEvent.canonical_text)
                .where(AuditEvent.stream_id != session.organization_id)
                .order_by(AuditEvent.stream_id, AuditEvent.seq)
            ).all()
        return [json.loads(text) for text in texts]

    def types(self) -> list[str]:
        """The types of all audit events of conversations, in order."""
        return [event["type"] for event in self.events()]
