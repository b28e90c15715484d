"""The documents of pages: what is known of one, and what a visit makes of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from countersign.knowledge import documents
from countersign.knowledge.crawling.outcomes import Fetched
from countersign.knowledge.crawling.tables import Crawl
from countersign.knowledge.documents import Stored
from countersign.knowledge.tables import Document
from countersign.platform import audit
from countersign.platform.db import TenantSession

TIMES_GONE = 3
"""Visits that find nothing, before a document counts as gone: a server may be under repair."""
DROP_AFTER = timedelta(days=30)
"""How long a document whose source is gone can still be found."""
LOOK_AGAIN = timedelta(days=1)
"""When to look for a source that was not there, or could not be had."""


def known(session: TenantSession, url: str) -> tuple[str | None, str | None, str | None]:
    """ETag, Last-Modified and SHA-256 of what a page was when its document was made of it."""
    document = session.scalars(
        select(Document)
        .where(Document.organization_id == session.organization_id)
        .where(Document.source_url == url)
        .where(Document.deleted_at.is_(None))
        .where(Document.s3_key.is_not(None))
        .where(Document.processing_status != "failed")
    ).one_or_none()
    if document is None or document.s3_key is None:
        return None, None, None
    return document.etag, document.last_modified, document.s3_key.rpartition("/")[2]


def keep(
    session: TenantSession,
    crawl: Crawl,
    before: str,
    fetched: Fetched,
    stored: Stored,
    now: datetime,
) -> tuple[UUID, bool]:
    """Make a document of a page, or a new version of the one that it is already, which may still
    have the address from which the page redirects (`before`). Returns its id, and whether its
    bytes are new."""
    url = str(fetched.url)
    document = documents.at(session, url) or documents.at(session, before)
    if document is None:
        assert crawl.dataset_id
        document = documents.add(
            session,
            audit.SYSTEM,
            crawl.dataset_id,
            fetched.title or url,
            now,
            source_url=url,
            language=crawl.language,
            tags=crawl.tags,
        )
    document.source_url = url
    document.title = fetched.title or document.title
    document.etag, document.last_modified = fetched.etag, fetched.last_modified
    _there(document, crawl.refresh_hours, now)
    return document.id, documents.receive(session, document, stored)


def _there(document: Document, refresh_hours: int | None, now: datetime) -> None:
    document.times_gone, document.gone_at = 0, None
    document.refresh_hours = refresh_hours or document.refresh_hours
    if document.refresh_hours:
        document.next_refresh_at = now + timedelta(hours=document.refresh_hours)


def seen(session: TenantSession, url: str, refresh_hours: int | None, now: datetime) -> UUID | None:
    """The page is what it was; returns its document."""
    document = documents.at(session, url)
    if document is None:
        return None
    _there(document, refresh_hours, now)
    return document.id


def missed(session: TenantSession, url: str, now: datetime) -> UUID | None:
    """There is no such page any more: after some such visits its document is flagged, and dropped
    when it has been for long enough."""
    document = documents.at(session, url)
    if document is None:
        return None
    document.times_gone += 1
    if document.times_gone >= TIMES_GONE and document.gone_at is None:
        document.gone_at = now
        documents.record(session, document, "gone", audit.SYSTEM, now)
    if document.gone_at and document.gone_at <= now - DROP_AFTER:
        documents.remove(session, audit.SYSTEM, document, now)
    else:
        put_off(session, url, now)
    return document.id


def put_off(session: TenantSession, url: str, now: datetime) -> None:
    """Look at a page's source again later, if at all."""
    document = documents.at(session, url)
    if document and document.next_refresh_at:
        document.next_refresh_at = now + LOOK_AGAIN
