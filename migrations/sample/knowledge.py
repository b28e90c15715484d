"""The sample articles: documents, their chunks and, with an embedding model, the vectors."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from countersign.knowledge import chunking, vectors
from countersign.knowledge.chunking import MARKDOWN
from countersign.knowledge.tables import Chunk, Dataset, Document, DocumentVersion
from countersign.knowledge.vectors import Bare, Source
from countersign.models import EmbeddingModel, spending
from countersign.models.spaces import Encoders
from countersign.platform.db import Database, TenantSession
from countersign.platform.ids import new_id
from countersign.platform.tables import JobRun
from migrations.sample.tenants import Tenant

ARTICLES = Path(__file__).parent / "articles"
BATCH = 64
REFRESH = timedelta(days=7)


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
    for index, piece in enumerate(chunking.pieces(content, MARKDOWN)):
        session.add(
            Chunk(
                organization_id=session.organization_id,
                id=new_id(),
                document_id=document.id,
                version=document.version,
                chunk_index=index,
                start_offset=piece.start,
                end_offset=piece.end,
                heading=piece.heading,
                text=piece.text,
                hash=piece.hash,
            )
        )
    session.flush()


def embed(rw: Database, organization_id: UUID, model: EmbeddingModel, now: datetime) -> None:
    """Give each chunk and message that lacks one its vector, some at a time.

    Raises the errors of `models.errors`.
    """
    encoders = Encoders(model)
    for source in vectors.SOURCES:
        while bare := _bare(rw, organization_id, encoders, source):
            embedded = spending.embed(rw, organization_id, model, [one.text for one in bare])
            with rw.tenant(organization_id) as session:
                encoder = encoders.target(session)
                encoders.hold(session, encoder)
                vectors.keep(session, source, encoder.space, bare, embedded.vectors)
    with rw.tenant(organization_id) as session:
        session.execute(
            update(Document)
            .where(Document.organization_id == organization_id)
            .where(Document.processing_status == "pending")
            .values(processing_status="completed", indexed_at=now)
        )


def _bare(rw: Database, organization_id: UUID, encoders: Encoders, source: Source) -> list[Bare]:
    with rw.tenant(organization_id) as session:
        return vectors.lacking(session, source, encoders.target(session).space, BATCH)
