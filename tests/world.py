"""A small world for tests: an organization with people, a channel, knowledge, and queues in memory.

What leaves the process is replaced at its edge: the queues by lists, the chat model by one that
quotes its first source, the encoder by one that hashes words. Everything between is the product.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from countersign.channels.envelope import Envelope, to_message
from countersign.channels.messages import WebhookRequest
from countersign.channels.sending import SendingSettings
from countersign.channels.tables import Channel
from countersign.conversations.delivering import deliver
from countersign.conversations.tables import Conversation
from countersign.drafting import approvals, overtaking, revision
from countersign.drafting.batches import IngestSettings, ingest
from countersign.drafting.tables import Draft
from countersign.drafting.working import work
from countersign.drafting.writing import Writer
from countersign.identity import api_keys
from countersign.identity.api_keys import SCOPES, Principal
from countersign.identity.tables import (
    Organization,
    OrganizationMembership,
    OrganizationSettings,
    User,
)
from countersign.knowledge.tables import Chunk, ChunkEmbedding, Dataset, Document, DocumentVersion
from countersign.models import ChatAnswer, Embeddings, ModelSettings
from countersign.models.schemas import Purpose
from countersign.models.spaces import Encoders, space_of
from countersign.models.vectors import padded
from countersign.platform import clock, queues
from countersign.platform.db import Database, TenantSession, engine, enter
from countersign.platform.ids import new_id
from countersign.platform.outbox import Outbox
from tests.conftest import TestDatabase

QUEUES = ("inbound", "drafts", "outbound", "attachments", "index", "crawl", "relay")
QUEUE_URLS = {name: name for name in QUEUES}
MODEL_SETTINGS = ModelSettings(
    chat_provider="openai",
    chat_model="quoter",
    chat_input_price=1.0,
    chat_output_price=2.0,
    embedding_provider="openai",
    embedding_model="hasher",
    embedding_dimensions=64,
    embedding_price=0.1,
)


@dataclass
class MemoryQueues:
    """Stands in for SQS: what was sent, by queue, with its delay in seconds."""

    sent: dict[str, list[tuple[queues.Body, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def send_delayed(self, queue_url: str, messages: Sequence[tuple[queues.Body, int]]) -> None:
        # Through JSON, as SQS would: what cannot be written must fail here too.
        self.sent[queue_url] += [(json.loads(json.dumps(body)), delay) for body, delay in messages]

    def take(self, queue: str) -> list[queues.Body]:
        """Every message of a queue, delayed or not; the queue is empty afterwards."""
        return [body for body, _ in self.sent.pop(queue, [])]


@pytest.fixture
def memory_queues(monkeypatch: pytest.MonkeyPatch) -> MemoryQueues:
    made = MemoryQueues()
    monkeypatch.setattr(queues, "send_delayed", made.send_delayed)
    return made


class QuotingChat:
    """Answers with the first sentence of the first source."""

    provider, model = "openai", "quoter"

    def answer(
        self,
        system: str,
        user: str,
        *,
        schema: Mapping[str, Any] | None = None,
        max_output_tokens: int = 1024,
    ) -> ChatAnswer:
        quote = json.loads(user)["sources"][0]["text"].split(".")[0]
        said = {
            "abstain": False,
            "reason": None,
            "answer": f"Hello! {quote}.",
            "citations": [{"source": "S1", "quote": quote}],
        }
        return ChatAnswer(json.dumps(said), 100, 20, self.model)


class HashingEncoder:
    """Adds up a direction for each word: alike texts are near."""

    provider, model, dimensions, price = "openai", "hasher", 64, 0.1

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        return Embeddings(tuple(map(self._vector, texts)), 10 * len(texts), self.model)

    def _vector(self, text: str) -> tuple[float, ...]:
        vector = [1e-3] * self.dimensions
        for word in text.lower().split():
            vector[zlib.crc32(word.encode()) % self.dimensions] += 1
        length = math.hypot(*vector)
        return tuple(value / length for value in vector)


@dataclass(frozen=True)
class Tenant:
    """An organization with an agent, their key, and an `api` channel."""

    organization_id: UUID
    user_id: UUID
    channel_id: UUID
    key: str
    principal: Principal

    def webhook(self, text: str, *, conversation: str = "c1", message_id: str = "m1") -> Envelope:
        """A verified webhook of the `api` channel, as it comes out of the inbound queue."""
        body = {
            "type": "message.received",
            "timestamp": "2026-01-02T03:04:05Z",
            "data": {
                "message_id": message_id,
                "conversation_id": conversation,
                "sender": {"address": "ada@example.com", "name": "Ada"},
                "text": text,
            },
        }
        return self.envelope(body, message_id)

    def envelope(self, body: dict[str, Any], webhook_id: str) -> Envelope:
        request = WebhookRequest(
            method="POST",
            url="https://api.example.com/webhooks/key",
            headers={"content-type": "application/json", "webhook-id": webhook_id},
            body=json.dumps(body).encode(),
            received_at=datetime.now(UTC),
        )
        return Envelope(self.organization_id, self.channel_id, "api", "correlation", request)


def add_tenant(
    database: TestDatabase, slug: str = "acme", *, undo_seconds: int = 0, debounce_seconds: int = 0
) -> Tenant:
    """Make an organization, as the schema's owner would."""
    organization_id, user_id, channel_id = new_id(), new_id(), new_id()
    owner = Database(engine(database.url("app_owner")))
    with owner.system() as session:
        session.add(Organization(id=organization_id, slug=slug, name=slug.title()))
        session.add(User(id=user_id, email=f"agent@{slug}.example", display_name="Agent"))
        session.flush()
        session.add(
            OrganizationSettings(
                organization_id=organization_id,
                undo_seconds=undo_seconds,
                debounce_seconds=debounce_seconds,
            )
        )
        session.add(OrganizationMembership(organization_id=organization_id, user_id=user_id))
        session.add(
            Channel(
                organization_id=organization_id,
                id=channel_id,
                type="api",
                provider="api",
                external_id=f"{slug}-support",
                name="API",
            )
        )
        session.flush()
        tenant, now = enter(session, organization_id), datetime.now(UTC)
        expires_at = now + timedelta(days=1)
        key = api_keys.issue(tenant, user_id, "test", SCOPES, expires_at, now)
    owner.engine.dispose()
    principal = Principal(organization_id, UUID(key.split("_")[1]), user_id, frozenset(SCOPES))
    return Tenant(organization_id, user_id, channel_id, key, principal)


def add_knowledge(
    database: TestDatabase, tenant: Tenant, texts: Sequence[str], slug: str = "faq"
) -> None:
    """One document of one chunk for each text, embedded by `HashingEncoder`."""
    encoder = HashingEncoder()
    with database.app_rw.tenant(tenant.organization_id) as session:
        own = {"organization_id": tenant.organization_id}
        dataset = Dataset(**own, id=new_id(), slug=slug, name=slug)
        space = space_of(session, encoder)
        session.add(dataset)
        for number, text in enumerate(texts):
            document = Document(
                **own,
                id=new_id(),
                dataset_id=dataset.id,
                title=f"Article {number}",
                hash=f"{number}",
                version=1,
                processing_status="completed",
            )
            version = DocumentVersion(
                **own,
                document_id=document.id,
                version=1,
                title=document.title,
                content_type="text/plain",
                content=text,
                hash=f"{number}",
            )
            chunk = Chunk(
                **own,
                id=new_id(),
                document_id=document.id,
                version=1,
                chunk_index=0,
                start_offset=0,
                end_offset=len(text),
                text=text,
                hash=f"{number}",
            )
            vector = padded(encoder.embed([text]).vectors[0])
            embedding = ChunkEmbedding(
                **own, embedding_space_id=space, chunk_id=chunk.id, embedding=vector
            )
            for row in (document, version, chunk, embedding):
                session.add(row)
                session.flush()


def outbox(database: TestDatabase) -> Outbox:
    """The product's outbox on the test database, with all queues."""
    return Outbox(database.app_rw, QUEUE_URLS)


def writer(database: TestDatabase) -> Writer:
    """The product's writer with the models of this module."""
    return Writer(database.app_rw, QuotingChat(), Encoders(HashingEncoder()), MODEL_SETTINGS)


INGEST_SETTINGS = IngestSettings(
    raw_bucket="raw", messages_bucket="messages", channel_key_secret_id="key"
)
SENDING_SETTINGS = SendingSettings(
    public_url="", channel_key_secret_id="", channel_secrets_prefix="", messages_bucket="messages"
)


class Path:
    """Drives one tenant's messages through the domain, step by step."""

    def __init__(self, database: TestDatabase, tenant: Tenant, sent: MemoryQueues) -> None:
        self.database, self.tenant, self.sent = database, tenant, sent
        self.outbox, self.writer = outbox(database), writer(database)

    def tenant_session(self) -> AbstractContextManager[TenantSession]:
        """One transaction of the tenant."""
        return self.database.app_rw.tenant(self.tenant.organization_id)

    def receive(self, *envelopes: Envelope) -> list[str]:
        """Ingest webhooks as one batch; returns the ids of those that failed."""
        texts = [json.dumps(to_message(envelope, "bucket")) for envelope in envelopes]
        return ingest(
            self.outbox, [(str(n), text) for n, text in enumerate(texts)], INGEST_SETTINGS
        )

    def draft(self) -> None:
        """Work on every draft request that is queued."""
        for body in self.sent.take("drafts"):
            organization_id = UUID(body["organization_id"])
            work(self.outbox, self.writer, organization_id, UUID(body["draft_request_id"]))

    def approve(self, final_text: str | None = None) -> approvals.Approved:
        """Approve the one pending draft, as it stands."""
        with self.outbox.transaction(self.tenant.organization_id) as session:
            draft = session.scalars(select(Draft).where(Draft.status == "pending")).one()
            key = session.organization_id, draft.conversation_id
            seen = revision.token(session, session.get_one(Conversation, key), draft)
            return approvals.approve(
                session, self.tenant.principal, draft.id, seen, final_text, None, clock.now()
            )

    def send(self) -> list[str | None]:
        """Deliver everything that is queued; returns what each became."""
        return [
            deliver(
                self.outbox,
                SENDING_SETTINGS,
                overtaking.stopped,
                UUID(body["organization_id"]),
                UUID(body["delivery_id"]),
                body.get("look_up"),
            )
            for body in self.sent.take("outbound")
        ]

    def count(self, table: Any, **values: Any) -> int:
        """How many rows of a table the tenant sees."""
        with self.tenant_session() as session:
            return session.scalar(select(func.count()).select_from(table).filter_by(**values)) or 0
