"""Documents in tests: an organization's dataset, its bucket in memory, and the worker on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import aliased

from countersign.knowledge import documents, passages
from countersign.knowledge.documents import Stored
from countersign.knowledge.indexing import Indexer
from countersign.knowledge.tables import Chunk, ChunkEmbedding, Dataset, Document
from countersign.knowledge.working import work
from countersign.models import EmbeddingModel, Embeddings
from countersign.models.schemas import Purpose
from countersign.models.spaces import Encoders, space_of
from countersign.platform import clock, storage
from countersign.platform.audit import SYSTEM
from countersign.platform.errors import NotFound, TooLarge
from countersign.platform.ids import new_id
from countersign.platform.tables import JobRun
from tests.conftest import TestDatabase
from tests.world import HashingEncoder, MemoryQueues, Tenant, outbox

BUCKET = "documents"


class Encoder(HashingEncoder):
    """Counts what it is asked for, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.failures: list[Exception] = []

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        if self.failures:
            raise self.failures.pop(0)
        self.asked.append(list(texts))
        return super().embed(texts, purpose=purpose)


class Library:
    """One tenant's documents, and what works on them."""

    def __init__(
        self,
        database: TestDatabase,
        tenant: Tenant,
        sent: MemoryQueues,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.database, self.tenant, self.sent = database, tenant, sent
        self.stored: dict[str, bytes] = {}
        self.encoder = Encoder()
        self.outbox = outbox(database)
        monkeypatch.setattr(storage, "get", self._get)
        monkeypatch.setattr(storage, "put", self._put)
        with self.session() as session:
            dataset = Dataset(organization_id=tenant.organization_id, slug="d", name="D")
            session.add(dataset)
        self.dataset_id = dataset.id

    @property
    def encoders(self) -> Encoders:
        """What the worker embeds with."""
        return Encoders(self.encoder)

    def _put(self, bucket: str, key: str, content: bytes) -> None:
        assert bucket == BUCKET
        self.stored[key] = content

    def _get(self, bucket: str, key: str, most_bytes: int) -> bytes:
        assert bucket == BUCKET
        if key not in self.stored:
            raise NotFound
        if len(self.stored[key]) > most_bytes:
            raise TooLarge
        return self.stored[key]

    def session(self) -> Any:
        """One transaction of the tenant, whose promises are published."""
        return self.outbox.transaction(self.tenant.organization_id)

    def add(self, **options: Any) -> UUID:
        """A document without content."""
        with self.session() as session:
            document = documents.add(
                session, SYSTEM, self.dataset_id, "Manual", clock.now(), **options
            )
        return document.id

    def write(self, document_id: UUID, text: str, content_type: str = "text/markdown") -> bool:
        """Give a document a text."""
        with self.session() as session:
            document = documents.locked(session, document_id)
            return documents.receive_text(session, document, text, content_type)

    def bring(self, document_id: UUID, content: bytes, content_type: str) -> bool:
        """Give a document a file."""
        stored = documents.keep(BUCKET, self.tenant.organization_id, content, content_type)
        return self.receive(document_id, stored)

    def receive(self, document_id: UUID, stored: Stored) -> bool:
        """Give a document a file that is there, or is not."""
        with self.session() as session:
            return documents.receive(session, documents.locked(session, document_id), stored)

    def indexer(self, model: EmbeddingModel | None = None) -> Indexer:
        """The product's worker, with this module's encoder."""
        return Indexer(self.outbox, Encoders(model or self.encoder), BUCKET)

    def work(self) -> int:
        """Work on all that is queued, until nothing more is; how many messages that took."""
        count = 0
        while bodies := self.sent.take("index"):
            for body in bodies:
                count += 1
                work(self.outbox, self.encoders, BUCKET, body)
        return count

    def read(self, document_id: UUID) -> Document:
        """The document as it is now."""
        with self.session() as session:
            found = session.get_one(Document, (session.organization_id, document_id))
            assert isinstance(found, Document)
            return found

    def run(self, document_id: UUID) -> JobRun:
        """The newest run of a document."""
        run_id = self.read(document_id).job_run_id
        with self.session() as session:
            found = session.get_one(JobRun, (session.organization_id, run_id))
            assert isinstance(found, JobRun)
            return found

    def shown(self, document_id: UUID) -> list[str]:
        """The passages of a document that a search can find, in order."""
        chunk = aliased(Chunk, name="t")
        with self.session() as session:
            where = passages.shown(session)
            may_be_found = text(where.condition).bindparams(
                **where.parameters,
                **({"organization_id": session.organization_id} if where.parameters else {}),
            )
            return list(
                session.scalars(
                    select(chunk.text)
                    .join(ChunkEmbedding, ChunkEmbedding.chunk_id == chunk.id)
                    .where(chunk.document_id == document_id)
                    .where(ChunkEmbedding.embedding_space_id == space_of(session, self.encoder))
                    .where(may_be_found)
                    .order_by(chunk.chunk_index)
                )
            )

    def under_work(self) -> list[Chunk]:
        """The passages that are kept of versions that are not whole yet."""
        with self.session() as session:
            of_it = (Document.organization_id == Chunk.organization_id) & (
                Document.id == Chunk.document_id
            )
            query = select(Chunk).join(Document, of_it).where(Chunk.version > Document.version)
            return list(session.scalars(query))

    def rows(self, table: Any) -> Sequence[Any]:
        """All rows of a table that the tenant sees."""
        with self.session() as session:
            found = session.scalars(
                select(table).where(table.organization_id == self.tenant.organization_id)
            ).all()
            assert isinstance(found, list)
            return found


def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be noon, so that the next day is farther away than a queue's longest delay."""
    noon = clock.now().replace(hour=12, minute=0, second=0, microsecond=0)
    monkeypatch.setattr(clock, "now", lambda: noon)


def stored(library: Library) -> Stored:
    """A file that was never uploaded."""
    return Stored(f"documents/{library.tenant.organization_id}/{new_id()}", 10, "text/plain")
