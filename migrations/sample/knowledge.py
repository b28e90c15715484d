"""The sample articles: documents, their chunks and, with an embedding model, the vectors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from countersign.knowledge.tables import (
    Chunk,
    ChunkEmbedding,
    Dataset,
    Document,
    DocumentVersion,
)
from countersign.models import EmbeddingModel, tokens
from countersign.models.spaces import space_of
from countersign.models.tables import ModelUsage
from countersign.models.vectors import padded
from countersign.platform.db import Database, TenantSession
from countersign.platform.ids import new_id
from countersign.platform.tables import JobRun
from migrations.sample.tenants import Tenant

ARTICLES = Path(__file__).parent / "articles"
CHUNK_CHARACTERS = 500
REFRESH = timedelta(days=7)
_TEXTS_PER_CALL = 64
_PARAGRAPH = re.compile(r"\S.*?(?=\s*(?:\n[ \t]*\n|\Z))", re.DOTALL)


def article_url(tenant: Tenant, name: str) -> str:
    """Where an article stands on the tenant's website."""
    return f"{tenant.website}/help/{name}"


def write(rw: Database, organization_id: UUID, tenant: Tenant, now: datetime) -> int:
    """Write the tenant's articles and its web page, new or changed; returns how many articles.

    A changed text makes a new version, whose chunks take the place of the old one's.
    """
    files = sorted((ARTICLES / tenant.articles).glob("*.md"))
    with rw.tenant(organization_id) as session:
        articles = _dataset(session, "help", "Help articles")
        for file in files:
            content = file.read_text("utf-8")
            title = content.splitlines()[0].removeprefix("# ")
            _document(session, articles, article_url(tenant, file.stem), title, content)
        _crawl(session, tenant, now)
    return len(files)


def _crawl(session: TenantSession, tenant: Tenant, now: datetime) -> None:
    """The source document of the tenant's web page, and the run that found it."""
    website = _dataset(session, "website", "Website")
    page = tenant.page
    document = _document(session, website, tenant.website + page.path, page.title, page.content)
    if document is None:
        return
    run = JobRun(
        organization_id=session.organization_id,
        id=new_id(),
        type="crawl",
        status="succeeded",
        started_at=now - timedelta(seconds=4),
        finished_at=now,
        metrics={"pages": 1, "changed": 1},
    )
    session.add(run)
    document.metadata_ = {"job_run_id": str(run.id)}
    document.next_refresh_at = now + REFRESH


def _dataset(session: TenantSession, slug: str, name: str) -> UUID:
    own = Dataset.organization_id == session.organization_id
    new = insert(Dataset).values(
        organization_id=session.organization_id, id=new_id(), slug=slug, name=name
    )
    session.execute(new.on_conflict_do_nothing(constraint="uq_datasets_slug"))
    return session.scalars(select(Dataset.id).where(own, Dataset.slug == slug)).one()


def _document(
    session: TenantSession, dataset_id: UUID, source_url: str, title: str, content: str
) -> Document | None:
    """The document at that address, written; None if it stands there as it is."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    document = session.scalars(
        select(Document)
        .where(Document.organization_id == session.organization_id)
        .where(Document.source_url == source_url)
    ).one_or_none()
    if document and document.hash == digest:
        return None
    if document is None:
        document = Document(
            organization_id=session.organization_id,
            id=new_id(),
            dataset_id=dataset_id,
            source_url=source_url,
            version=0,
        )
        session.add(document)
    document.title, document.hash = title, digest
    document.version += 1
    document.processing_status = "pending"
    session.flush()
    session.add(
        DocumentVersion(
            organization_id=session.organization_id,
            document_id=document.id,
            version=document.version,
            title=title,
            content_type="text/markdown",
            content=content,
            hash=digest,
        )
    )
    _chunk(session, document, content)
    return document


def _chunk(session: TenantSession, document: Document, content: str) -> None:
    session.execute(
        delete(Chunk)
        .where(Chunk.organization_id == session.organization_id)
        .where(Chunk.document_id == document.id)
    )
    for index, (start, end) in enumerate(pieces(content)):
        session.add(
            Chunk(
                organization_id=session.organization_id,
                id=new_id(),
                document_id=document.id,
                chunk_index=index,
                start_offset=start,
                end_offset=end,
                text=content[start:end],
                hash=hashlib.sha256(content[start:end].encode()).hexdigest(),
            )
        )
    session.flush()


def pieces(content: str, most: int = CHUNK_CHARACTERS) -> Iterator[tuple[int, int]]:
    """Where the chunks of a text begin and end, in characters: whole paragraphs, as many as fit.

    A paragraph longer than `most` is a chunk of its own.
    """
    start = end = None
    for paragraph in _PARAGRAPH.finditer(content):
        if start is not None and end is not None and paragraph.end() - start > most:
            yield start, end
            start = None
        start = paragraph.start() if start is None else start
        end = paragraph.end()
    if start is not None and end is not None:
        yield start, end


def embed(
    rw: Database, organization_id: UUID, model: EmbeddingModel, price: float, now: datetime
) -> None:
    """Give each chunk that lacks one its vector in the space of `model`, some at a time.

    `price` is in US dollars per million tokens. The model is called outside any transaction.
    Raises the errors of `models.errors`.
    """
    with rw.tenant(organization_id) as session:
        space = space_of(session, model)
        missing = iter(_without_vector(session, space))
    while some := list(islice(missing, _TEXTS_PER_CALL)):
        embedded = model.embed([text for _, text in some])
        with rw.tenant(organization_id) as session:
            for (chunk_id, _), vector in zip(some, embedded.vectors, strict=True):
                session.add(
                    ChunkEmbedding(
                        organization_id=organization_id,
                        embedding_space_id=space,
                        chunk_id=chunk_id,
                        embedding=padded(vector),
                    )
                )
            session.add(_usage(organization_id, model, embedded.input_tokens, price))
    with rw.tenant(organization_id) as session:
        session.execute(
            update(Document)
            .where(Document.organization_id == organization_id)
            .where(Document.processing_status == "pending")
            .values(processing_status="completed", indexed_at=now)
        )


def _without_vector(session: TenantSession, space: UUID) -> list[tuple[UUID, str]]:
    has_vector = (
        select(ChunkEmbedding.chunk_id)
        .where(ChunkEmbedding.organization_id == session.organization_id)
        .where(ChunkEmbedding.embedding_space_id == space)
        .where(ChunkEmbedding.chunk_id == Chunk.id)
    )
    found = session.execute(
        select(Chunk.id, Chunk.text)
        .where(Chunk.organization_id == session.organization_id, ~has_vector.exists())
        .order_by(Chunk.id)
    )
    return [(row.id, row.text) for row in found]


def _usage(organization_id: UUID, model: EmbeddingModel, count: int, price: float) -> ModelUsage:
    return ModelUsage(
        organization_id=organization_id,
        kind="embedding",
        model_key=f"{model.provider}/{model.model}",
        input_tokens=count,
        output_tokens=0,
        cost_microusd=tokens.cost(count, price),
    )
