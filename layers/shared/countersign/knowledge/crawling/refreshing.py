"""Fetching again what is due: a crawl of each site, of just those pages."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from countersign.knowledge.crawling import runs, sites
from countersign.knowledge.crawling.tables import Crawl
from countersign.knowledge.tables import Document
from countersign.platform import clock, urls
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict
from countersign.platform.ids import new_id
from countersign.platform.outbox import Outbox
from countersign.platform.urls import Refused, Url

MOST = 2_000
"""Documents that are looked at at once; the others are due the next time too."""


def refresh(outbox: Outbox, organization_id: UUID) -> None:
    """Start crawls of what is due; a site that is being crawled is left for the next time."""
    with outbox.transaction(organization_id) as session:
        # Sorted: two that do this at once wait for each other's sites in one order.
        for site, pages in sorted(_due(session, clock.now()).items()):
            crawl = Crawl(
                id=new_id(), source="refresh", site=site, max_pages=len(pages), max_depth=0
            )
            try:
                runs.begin(session, crawl, pages, "page")
            except Conflict:
                continue


def _due(session: TenantSession, now: datetime) -> dict[str, list[Url]]:
    due = session.scalars(
        select(Document.source_url)
        .where(Document.organization_id == session.organization_id)
        .where(Document.next_refresh_at <= now)
        .where(Document.deleted_at.is_(None))
        .where(Document.source_url.is_not(None))
        .order_by(Document.next_refresh_at)
        .limit(MOST)
    )
    by_site: dict[str, list[Url]] = defaultdict(list)
    for source_url in due:
        assert source_url
        try:
            url = urls.parse(source_url)
        except Refused:
            continue
        by_site[sites.site(url)].append(url)
    return by_site
