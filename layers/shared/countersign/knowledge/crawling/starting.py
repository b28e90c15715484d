"""Crawls that somebody asks for, and the pages that they found."""

from __future__ import annotations

from datetime import datetime
from typing import NoReturn
from uuid import UUID

from sqlalchemy import select

from countersign.identity.api_keys import Principal
from countersign.knowledge.crawling import runs, schemas, sites
from countersign.knowledge.crawling.tables import Crawl, CrawlPage
from countersign.knowledge.tables import Dataset
from countersign.platform import audit, paging, urls
from countersign.platform.db import TenantSession
from countersign.platform.errors import Invalid, NotFound
from countersign.platform.ids import new_id
from countersign.platform.paging import FIRST, Position
from countersign.platform.urls import Refused, Url


def start(
    session: TenantSession, principal: Principal, asked: schemas.StartCrawl, now: datetime
) -> schemas.Crawl:
    """Start a crawl. Raises `Invalid` for a URL that is none of the web or no dataset, `Conflict`
    while another crawl of the site is under way."""
    if session.get(Dataset, (session.organization_id, asked.dataset_id)) is None:
        _refuse("dataset_id", "No dataset of this organization")
    url = _url(asked.url)
    crawl = Crawl(
        id=new_id(),
        dataset_id=asked.dataset_id,
        source=asked.source,
        url=str(url),
        site=sites.site(url),
        max_pages=1 if asked.source == "page" else asked.max_pages,
        max_depth=asked.max_depth if asked.source == "site" else 0,
        refresh_hours=asked.refresh_hours,
        language=asked.language,
        tags=list(asked.tags),
    )
    runs.begin(session, crawl, [url], "sitemap" if asked.source == "sitemap" else "page")
    data = {
        "job_run_id": str(crawl.id),
        "dataset_id": str(asked.dataset_id),
        "source": asked.source,
        "site": crawl.site,
        "api_key_id": str(principal.api_key_id),
    }
    event = audit.Event("crawl.started", principal.actor, data)
    audit.append(session, session.organization_id, [event], now)
    return schemas.Crawl(
        job_run_id=crawl.id,
        dataset_id=asked.dataset_id,
        source=asked.source,
        url=str(url),
        site=crawl.site,
    )


def _url(text: str) -> Url:
    try:
        return sites.page(urls.parse(text))
    except Refused as error:
        _refuse("url", error.detail)


def _refuse(where: str, what: str) -> NoReturn:
    wrong = [{"where": where, "what": what}]
    raise Invalid("The crawl cannot be started; see errors.", errors=wrong)


def cancel(session: TenantSession, principal: Principal, job_run_id: UUID, now: datetime) -> None:
    """End a crawl; what it fetched stays. Raises `NotFound` for none, `Conflict` for one that is
    over."""
    runs.cancel(session, job_run_id, now)
    data = {"job_run_id": str(job_run_id), "api_key_id": str(principal.api_key_id)}
    event = audit.Event("crawl.cancelled", principal.actor, data)
    audit.append(session, session.organization_id, [event], now)


def pages(
    session: TenantSession, job_run_id: UUID, query: schemas.CrawlPagesQuery
) -> schemas.CrawlPages:
    """A page of what a crawl found. Raises `NotFound` for no crawl, `Invalid` for no cursor."""
    if session.get(Crawl, (session.organization_id, job_run_id)) is None:
        raise NotFound("There is no such crawl here.")
    after = paging.decode(query.cursor) if query.cursor is not None else FIRST
    found = (
        select(CrawlPage)
        .where(CrawlPage.organization_id == session.organization_id)
        .where(CrawlPage.job_run_id == job_run_id)
        .where(CrawlPage.id > after.id)
        .order_by(CrawlPage.id)
        .limit(query.limit + 1)
    )
    if query.status is not None:
        found = found.where(CrawlPage.status == query.status)
    rows = session.scalars(found).all()
    page, cursor = paging.cut(rows, query.limit, lambda row: Position(row.created_at, row.id))
    items = [schemas.CrawlPage.model_validate(row) for row in page]
    return schemas.CrawlPages(items=items, next_cursor=cursor)
