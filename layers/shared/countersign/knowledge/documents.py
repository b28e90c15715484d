"""Documents: made, given a content, read, put out of search. All of it in the caller's transaction.

A content is bytes that lie in storage, to be parsed by the function that indexes, or a text. It
becomes the document's next version; until that is whole, search finds the one before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from countersign.knowledge import staging
from countersign.knowledge.tables import Chunk, Dataset, Document, DocumentVersion
from countersign.platform import audit, outbox, storage
from countersign.platform.audit import Actor
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, Invalid, NotFound
from countersign.platform.ids import new_id
from countersign.platform.tables import JobRun

MOST_BYTES = 64 * 1024 * 1024
"""Of a file, and of the text that is read out of it."""


@dataclass(frozen=True)
class Stored:
    """Bytes that lie in the documents' bucket under `s3_key`; `content_type` as they came with it,
    parameters and all."""

    s3_key: str
    file_size: int
    content_type: str


def keep(bucket: str, organization_id: UUID, content: bytes, content_type: str) -> Stored:
    """Put bytes where their equals lie: the same bytes are no new content. Raises `Unavailable`.

    To be called outside any transaction.
    """
    key = f"documents/{organization_id}/{hashlib.sha256(content).hexdigest()}"
    storage.put(bucket, key, content)
    return Stored(key, len(content), content_type)


def add(
    session: TenantSession,
    actor: Actor,
    dataset_id: UUID,
    title: str,
    now: datetime,
    *,
    source_url: str | None = None,
    language: str = "english",
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Document:
    """A new document without content. Raises `Invalid` where there is no such dataset, `Conflict`
    with `document_id` where there is a document of that address already."""
    if session.get(Dataset, (session.organization_id, dataset_id)) is None:
        wrong = {"where": "dataset_id", "what": "No dataset of this organization"}
        raise Invalid("There is no such dataset here.", errors=[wrong])
    new = insert(Document).values(
        organization_id=session.organization_id,
        id=new_id(),
        dataset_id=dataset_id,
        title=title,
        source_url=source_url,
        language=language,
        tags=list(tags),
        metadata_=dict(metadata or {}),
    )
    document = session.scalars(new.on_conflict_do_nothing().returning(Document)).one_or_none()
    if document is None:
        there = at(session, source_url or "")
        # None, if it was deleted just now.
        which = {"document_id": str(there.id)} if there else {}
        raise Conflict("A document with this source_url is there.", **which)
    record(session, document, "created", actor, now)
    return document


def at(session: TenantSession, source_url: str) -> Document | None:
    """The document of an address, its row locked."""
    return session.scalars(
        _own(session).where(Document.source_url == source_url).with_for_update()
    ).one_or_none()


def locked(session: TenantSession, document_id: UUID) -> Document:
    """The document, its row locked, as it is now. Raises `NotFound`, also for a deleted one."""
    found = session.scalars(
        _own(session)
        .where(Document.id == document_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such document here.")
    return found


def _own(session: TenantSession) -> Select[Document]:
    return (
        select(Document)
        .where(Document.organization_id == session.organization_id)
        .where(Document.deleted_at.is_(None))
    )


def receive(session: TenantSession, document: Document, stored: Stored) -> bool:
    """Let a document, whose row is locked, have these bytes as its content, and no others.

    Returns whether there is anything to do: not where they are what it has, or is about to have.
    """
    if document.s3_key == stored.s3_key and document.processing_status != "failed":
        return False
    document.s3_key, document.file_size = stored.s3_key, stored.file_size
    document.content_type = stored.content_type
    _begin(session, document)
    promise(session, document)
    return True


def receive_text(
    session: TenantSession, document: Document, content: str, content_type: str
) -> bool:
    """Like `receive`, for a text that needs no parsing: `text/markdown` or `text/plain`."""
    digest = content_hash(content)
    if document.hash == digest and document.processing_status == "completed":
        return False
    document.s3_key, document.file_size = None, len(content.encode())
    document.content_type = content_type
    _begin(session, document)
    session.add(next_version(document, content, content_type))
    promise(session, document)
    return True


def content_hash(content: str) -> str:
    """Tells whether a text is the same."""
    return hashlib.sha256(content.encode()).hexdigest()


def next_version(document: Document, content: str, content_type: str) -> DocumentVersion:
    """The text under work. Its content type says how it is to be cut."""
    return DocumentVersion(
        organization_id=document.organization_id,
        document_id=document.id,
        version=document.version + 1,
        title=document.title,
        content_type=content_type,
        content=content,
        hash=content_hash(content),
    )


def index_again(session: TenantSession, document: Document) -> None:
    """Make a new version of the content that a document was given last, also if that failed.

    Raises `Conflict` where it has had none yet.
    """
    newest = session.scalars(
        select(DocumentVersion)
        .where(DocumentVersion.organization_id == session.organization_id)
        .where(DocumentVersion.document_id == document.id)
        .order_by(DocumentVersion.version.desc())
        .limit(1)
    ).one_or_none()
    if document.s3_key is None and newest is None:
        raise Conflict("This document has had no content yet; give it one.")
    _begin(session, document)
    if document.s3_key is None and newest:
        session.add(next_version(document, newest.content, newest.content_type))
    # Else what is read out of the same bytes would count as unchanged.
    document.hash = None
    promise(session, document)


def _begin(session: TenantSession, document: Document) -> None:
    _supersede(session, document)
    run = JobRun(
        organization_id=session.organization_id,
        id=new_id(),
        type="index",
        metrics={"document_id": str(document.id)},
    )
    session.add(run)
    session.flush()
    document.job_run_id = run.id
    document.processing_status, document.reason = "pending", None
    document.attempts, document.leased_until = 0, None


def _supersede(session: TenantSession, document: Document) -> None:
    """Whoever works on the document loses it, and what they have made."""
    staging.let_go(session, document)
    session.execute(
        delete(DocumentVersion)
        .where(DocumentVersion.organization_id == session.organization_id)
        .where(DocumentVersion.document_id == document.id)
        .where(DocumentVersion.version > document.version)
    )
    document.fence += 1
    session.execute(
        update(JobRun)
        .where(JobRun.organization_id == session.organization_id)
        .where(JobRun.id == document.job_run_id)
        .where(JobRun.status.in_(("queued", "running")))
        .values(status="failed", error="superseded", finished_at=func.now())
    )


def promise(session: TenantSession, document: Document, when: datetime | None = None) -> None:
    """Let the next version be worked on."""
    body = {"organization_id": str(session.organization_id), "document_id": str(document.id)}
    outbox.enqueue(session, "index", body, when)


def remove(session: TenantSession, actor: Actor, document: Document, now: datetime) -> None:
    """Put a document out of search and of lists. Its versions stay: drafts may cite them."""
    _supersede(session, document)
    session.execute(
        delete(Chunk)
        .where(Chunk.organization_id == session.organization_id)
        .where(Chunk.document_id == document.id)
    )
    document.deleted_at, document.next_refresh_at = now, None
    record(session, document, "deleted", actor, now)


def record(
    session: TenantSession, document: Document, what: str, actor: Actor, now: datetime
) -> None:
    """Note in the document's own stream what was done with it."""
    data = {
        "dataset_id": str(document.dataset_id),
        "version": document.version,
        "hash": document.hash,
        "reason": document.reason,
    }
    event = audit.Event(f"document.{what}", actor, data)
    audit.append(session, document.id, [event], now)
