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

VANISHED = ("gone", "moved", "noindex", "robots", "elsewhere")
"""Why a page is not to be had any more: it is away, or is not to be kept."""
PASSING = ("http_408", "http_425", "http_429", "too_large", "lost")
"""Why a page was not had although it is there. Other reasons may pass or last: a server that fails
or refuses, a domain that is dead."""
TIMES_GONE = 3
"""Visits in a row that find it vanished, before a document counts as gone."""
TIMES_FAILED = 30
"""Visits in a row that fail, before it does: a month of them, a day apart."""
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
) -> tuple[UUID, bool] | None:
    """Make a document of a page, or a new version of the one that it is already, which may still
    have the address from which the page redirects (`before`). Returns its id, and whether its
    bytes are new; None where the document that was to be refreshed has been deleted."""
    url = str(fetched.url)
    document = documents.at(session, url) or documents.at(session, before)
    if document is None:
        if crawl.dataset_id is None:
            return None
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
    _there(document, crawl, now)
    return document.id, documents.receive(session, document, stored)


def _there(document: Document, crawl: Crawl, now: datetime) -> None:
    document.times_gone, document.gone_at = 0, None
    if crawl.source != "refresh":
        document.refresh_hours = crawl.refresh_hours
    hours = document.refresh_hours
    document.next_refresh_at = now + timedelta(hours=hours) if hours else None


def seen(session: TenantSession, url: str, crawl: Crawl, now: datetime) -> UUID | None:
    """The page is what it was; returns its document."""
    document = documents.at(session, url)
    if document is None:
        return None
    _there(document, crawl, now)
    if document.indexed_at:
        document.indexed_at = now
    return document.id


def missed(session: TenantSession, url: str, reason: str | None, now: datetime) -> UUID | None:
    """The page was not had: after some such visits its document is flagged, and dropped when it has
    been for long enough; unless the reason is one that passes."""
    document = documents.at(session, url)
    if document is None:
        return None
    if reason not in PASSING:
        _count(session, document, TIMES_GONE if reason in VANISHED else TIMES_FAILED, now)
    if reason not in PASSING and document.gone_at and document.gone_at <= now - DROP_AFTER:
        documents.remove(session, audit.SYSTEM, document, now)
    elif document.next_refresh_at:
        document.next_refresh_at = now + LOOK_AGAIN
    return document.id


def _count(session: TenantSession, document: Document, most: int, now: datetime) -> None:
    document.times_gone += 1
    if document.times_gone >= most and document.gone_at is None:
        document.gone_at = now
        documents.record(session, document, "gone", audit.SYSTEM, now)
