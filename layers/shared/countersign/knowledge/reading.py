"""Datasets, documents and job runs as the API shows them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from countersign.knowledge import schemas
from countersign.knowledge.tables import Dataset, Document, DocumentVersion
from countersign.platform import paging
from countersign.platform.db import TenantSession
from countersign.platform.errors import NotFound
from countersign.platform.paging import LAST, PageQuery, Position
from countersign.platform.tables import JobRun


def datasets(session: TenantSession, query: schemas.DatasetsQuery) -> schemas.Datasets:
    """A page, the newest first; `Invalid` for no cursor."""
    rows, cursor = _page(session, Dataset, (), query)
    items = [schemas.Dataset.model_validate(row) for row in rows]
    return schemas.Datasets(items=items, next_cursor=cursor)


def document(session: TenantSession, document_id: UUID) -> schemas.Document:
    """The document as it is now. Raises `NotFound`, also for a deleted one."""
    found = session.get(Document, (session.organization_id, document_id), populate_existing=True)
    if found is None or found.deleted_at is not None:
        raise NotFound("There is no such document here.")
    return schemas.Document.model_validate(found)


def documents(session: TenantSession, query: schemas.DocumentsQuery) -> schemas.Documents:
    """A page, the newest first; `Invalid` for no cursor."""
    wanted: list[Any] = [Document.deleted_at.is_(None)]
    if query.dataset_id is not None:
        wanted.append(Document.dataset_id == query.dataset_id)
    if query.processing_status is not None:
        wanted.append(Document.processing_status == query.processing_status)
    rows, cursor = _page(session, Document, wanted, query)
    items = [schemas.Document.model_validate(row) for row in rows]
    return schemas.Documents(items=items, next_cursor=cursor)


def job_run(session: TenantSession, job_run_id: UUID) -> schemas.JobRun:
    """A run as it is now. Raises `NotFound`."""
    found = session.get(JobRun, (session.organization_id, job_run_id))
    if found is None:
        raise NotFound("There is no such job run here.")
    return schemas.JobRun.model_validate(found)


def job_runs(session: TenantSession, query: schemas.JobRunsQuery) -> schemas.JobRuns:
    """A page, the newest first; `Invalid` for no cursor."""
    wanted: list[Any] = []
    if query.type is not None:
        wanted.append(JobRun.type == query.type)
    if query.status is not None:
        wanted.append(JobRun.status == query.status)
    rows, cursor = _page(session, JobRun, wanted, query)
    items = [schemas.JobRun.model_validate(row) for row in rows]
    return schemas.JobRuns(items=items, next_cursor=cursor)


def _page(session: TenantSession, table: Any, wanted: Any, query: PageQuery) -> Any:
    """Ids tell the order, so that the primary key is the index."""
    after = paging.decode(query.cursor) if query.cursor is not None else LAST
    rows = session.scalars(
        select(table)
        .where(table.organization_id == session.organization_id, table.id < after.id, *wanted)
        .order_by(table.id.desc())
        .limit(query.limit + 1)
    ).all()
    return paging.cut(rows, query.limit, lambda row: Position(row.created_at, row.id))


def text(
    session: TenantSession, document_id: UUID, query: schemas.TextQuery
) -> schemas.VersionText:
    """A part of a version, also of a deleted document: drafts may cite it. Raises `NotFound`.

    What is under work is no version yet.
    """
    found = session.execute(
        select(
            DocumentVersion.document_id,
            DocumentVersion.version,
            DocumentVersion.title,
            DocumentVersion.content_type,
            DocumentVersion.created_at,
            func.char_length(DocumentVersion.content).label("characters"),
            func.substr(DocumentVersion.content, query.start + 1, query.characters).label("text"),
        )
        .join(
            Document,
            (Document.organization_id == DocumentVersion.organization_id)
            & (Document.id == DocumentVersion.document_id),
        )
        .where(DocumentVersion.organization_id == session.organization_id)
        .where(DocumentVersion.document_id == document_id)
        .where(DocumentVersion.version == func.coalesce(query.version, Document.version))
        .where(DocumentVersion.version <= Document.version)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such version here.")
    return schemas.VersionText(**found._mapping, start=query.start)
