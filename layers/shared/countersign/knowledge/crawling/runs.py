"""A crawl from its start to its end: leased for a turn, settled page by page, and promised again.

A run is worked on by one worker at a time, which keeps to a site's pace without more ado: whoever
holds the lease of its row in `job_runs` visits the next page. A worker that is killed loses one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, func, insert, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from countersign.knowledge.crawling import keeping, sites
from countersign.knowledge.crawling.outcomes import (
    Errand,
    Failed,
    Fetched,
    Gone,
    Listed,
    Outcome,
    Skipped,
    Unchanged,
)
from countersign.knowledge.crawling.tables import Crawl, CrawlPage, PageKind, PageStatus
from countersign.knowledge.documents import Stored
from countersign.platform import outbox, urls
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, NotFound, Unavailable
from countersign.platform.ids import new_id
from countersign.platform.tables import JobRun
from countersign.platform.urls import Url

LEASE = timedelta(seconds=150)
"""Of one page; longer than the function's own timeout."""
MAX_TRIES = 3
"""Of a page that its server does not give, and of one that no worker survives."""
MOST_SITEMAPS = 100
RETRY = timedelta(minutes=1)
LOST = "lost"
"""The reason of a page that no worker survived."""
MOVED = "moved"
"""The reason of a page that redirects to another: that one counts."""
MOST_SECONDS_ASKED = 3600.0
"""How long a server may put a crawl off at a time."""

# A statement of its own: the snapshot of what looks for another crawl must be a newer one.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:site, 0))")


@dataclass(frozen=True)
class Job:
    """A page to be visited, and the fence of the run that it belongs to."""

    crawl_id: UUID
    fence: int
    page: str
    errand: Errand


def begin(session: TenantSession, crawl: Crawl, pages: Iterable[Url], kind: PageKind) -> None:
    """Start a crawl from `pages`. Raises `Conflict` while another of the same site is under way."""
    session.execute(_LOCK, {"site": f"crawl {session.organization_id} {crawl.site}"})
    there = session.scalar(
        select(Crawl.id)
        .where(Crawl.organization_id == session.organization_id)
        .where(Crawl.site == crawl.site)
        .where(Crawl.is_open)
    )
    if there:
        raise Conflict("A crawl of this site is under way.", job_run_id=str(there))
    crawl.organization_id = session.organization_id
    session.add(JobRun(organization_id=session.organization_id, id=crawl.id, type="crawl"))
    session.flush()
    session.add(crawl)
    session.flush()
    session.refresh(crawl)
    _add(session, crawl, pages, kind, 0)
    _promise(session, crawl, None)


def _promise(session: TenantSession, crawl: Crawl, when: datetime | None) -> None:
    body = {
        "organization_id": str(session.organization_id),
        "crawl_id": str(crawl.id),
        "turn": crawl.turn,
    }
    outbox.enqueue(session, "crawl", body, when)


def claim(session: TenantSession, crawl_id: UUID, turn: int, now: datetime) -> Job | None:
    """Lease a crawl for a turn, and tell what to visit first; None where the turn is over.

    Raises `Unavailable` while another worker holds the lease, `NotFound` for no crawl.
    """
    run, crawl = _locked(session, crawl_id)
    if not crawl.is_open or crawl.turn != turn:
        return None
    if run.leased_until and run.leased_until > now:
        raise Unavailable("Another worker is on this crawl.")
    run.status, run.started_at = "running", run.started_at or now
    run.fence += 1
    run.attempts += 1
    page = _next(session, crawl)
    if page and run.attempts > MAX_TRIES:
        run.attempts = 1
        _mark(page, "failed", now, LOST)
        keeping.missed(session, page.url, LOST, now)
        page = _next(session, crawl)
    return _take(session, run, crawl, page, now)


def _locked(session: TenantSession, crawl_id: UUID) -> tuple[JobRun, Crawl]:
    run = session.scalars(
        select(JobRun)
        .where(JobRun.organization_id == session.organization_id)
        .where(JobRun.id == crawl_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    crawl = session.get(Crawl, (session.organization_id, crawl_id), populate_existing=True)
    if run is None or crawl is None:
        raise NotFound("There is no such crawl here.")
    return run, crawl


def cancel(session: TenantSession, crawl_id: UUID, now: datetime) -> None:
    """End a crawl, whoever works on it. Raises `NotFound` for none, `Conflict` for one that is
    over."""
    run, crawl = _locked(session, crawl_id)
    if not crawl.is_open:
        raise Conflict("The crawl is over.")
    crawl.is_open, run.leased_until, run.finished_at = False, None, now
    run.status, run.error = "failed", "cancelled"


def settle(
    session: TenantSession,
    job: Job,
    outcome: Outcome,
    stored: Stored | None,
    now: datetime,
    *,
    pace: timedelta,
    is_over: bool,
) -> Job | None:
    """Store what came of a page, as far as the lease still holds, and tell what to visit next.

    `stored` is where the bytes of a `Fetched` page lie, `pace` what has to pass before the next.
    None where there is nothing more to visit for now, the turn `is_over`, or another worker has
    taken over.
    """
    run, crawl = _locked(session, job.crawl_id)
    if run.fence != job.fence or not crawl.is_open:
        return None
    run.attempts = 1
    page = session.get_one(CrawlPage, (session.organization_id, crawl.id, job.page))
    wait = _note(session, crawl, page, outcome, stored, now)
    following = _next(session, crawl)
    if following and following.attempts:
        wait = max(wait, RETRY * following.attempts)
    if following and (is_over or wait):
        _release(session, run, crawl, now + max(wait, pace))
        return None
    return _take(session, run, crawl, following, now)


def _next(session: TenantSession, crawl: Crawl) -> CrawlPage | None:
    """The page whose turn it is: what failed before comes last."""
    return session.scalars(
        _pages(session, crawl)
        .where(CrawlPage.status == "pending")
        .order_by(CrawlPage.attempts, CrawlPage.depth, CrawlPage.id)
        .limit(1)
    ).one_or_none()


def _pages(session: TenantSession, crawl: Crawl) -> Select[CrawlPage]:
    return (
        select(CrawlPage)
        .where(CrawlPage.organization_id == session.organization_id)
        .where(CrawlPage.job_run_id == crawl.id)
    )


def _take(
    session: TenantSession, run: JobRun, crawl: Crawl, page: CrawlPage | None, now: datetime
) -> Job | None:
    run.metrics = _progress(session, crawl)
    if page is None:
        _finish(session, run, crawl, now)
        return None
    run.leased_until = now + LEASE
    errand = Errand(
        urls.parse(page.url),
        crawl.site,
        page.kind,
        crawl.source == "site",
        *keeping.known(session, page.url),
    )
    return Job(crawl.id, run.fence, page.url, errand)


def _release(session: TenantSession, run: JobRun, crawl: Crawl, when: datetime) -> None:
    run.metrics = _progress(session, crawl)
    run.leased_until, run.attempts = None, 0
    crawl.turn += 1
    _promise(session, crawl, when)


def _finish(session: TenantSession, run: JobRun, crawl: Crawl, now: datetime) -> None:
    """A crawl that has nothing to show for it has failed, for the reason of its first page."""
    run.leased_until, run.finished_at, crawl.is_open = None, now, False
    first = session.scalars(_pages(session, crawl).order_by(CrawlPage.id).limit(1)).one_or_none()
    assert run.metrics is not None
    if run.metrics["fetched"] or crawl.source == "refresh":
        run.status = "succeeded"
    else:
        run.status, run.error = "failed", (first and first.reason) or "no_pages"


def _progress(session: TenantSession, crawl: Crawl) -> dict[str, Any]:
    """What the run's metrics say, counted: so they cannot differ from the pages."""
    counted = session.execute(
        select(CrawlPage.status, func.count().label("pages"))
        .where(CrawlPage.organization_id == session.organization_id)
        .where(CrawlPage.job_run_id == crawl.id)
        .where(CrawlPage.kind == "page")
        .group_by(CrawlPage.status)
    )
    pages: dict[str, int] = {row.status: row.pages for row in counted}
    outcomes = ("changed", "unchanged", "gone", "skipped", "failed")
    return {
        "site": crawl.site,
        "found": sum(pages.values()),
        "fetched": pages.get("changed", 0) + pages.get("unchanged", 0),
        **{status: pages.get(status, 0) for status in outcomes},
        "limits": crawl.limits,
    }


def _mark(page: CrawlPage, status: PageStatus, now: datetime, reason: str | None = None) -> None:
    page.status, page.reason, page.fetched_at = status, reason, now


def _note(
    session: TenantSession,
    crawl: Crawl,
    page: CrawlPage,
    outcome: Outcome,
    stored: Stored | None,
    now: datetime,
) -> timedelta:
    """What came of a page; returns how long its server asks to be left alone."""
    if isinstance(outcome, Failed):
        page.attempts += 1
        page.reason = outcome.reason
        if outcome.is_final or page.attempts >= MAX_TRIES:
            _mark(page, "failed", now, outcome.reason)
            page.document_id = keeping.missed(session, page.url, outcome.reason, now)
        return timedelta(seconds=min(outcome.seconds, MOST_SECONDS_ASKED))
    if isinstance(outcome, Listed):
        _list(session, crawl, page, outcome, now)
    elif isinstance(outcome, Fetched):
        assert stored
        _keep(session, crawl, page, outcome, stored, now)
    elif isinstance(outcome, Unchanged):
        _mark(page, "unchanged", now)
        page.document_id = keeping.seen(session, page.url, crawl, now)
    elif isinstance(outcome, Gone):
        _mark(page, "gone", now, "gone")
        page.document_id = keeping.missed(session, page.url, "gone", now)
    else:
        _mark(page, "skipped", now, outcome.reason)
        page.document_id = keeping.missed(session, page.url, outcome.reason, now)
    if isinstance(outcome, Fetched | Unchanged | Skipped):
        _follow(session, crawl, page, outcome.links)
    return timedelta(0)


def _list(
    session: TenantSession, crawl: Crawl, page: CrawlPage, listed: Listed, now: datetime
) -> None:
    _mark(page, "unchanged", now)
    if listed.is_cut:
        _ran_into(crawl, "sitemap_size")
    _add(session, crawl, listed.pages, "page", page.depth)
    _add(session, crawl, listed.sitemaps, "sitemap", page.depth + 1)


def _keep(
    session: TenantSession,
    crawl: Crawl,
    page: CrawlPage,
    fetched: Fetched,
    stored: Stored,
    now: datetime,
) -> None:
    """A page that redirects is the one that it leads to, which need not be fetched once more."""
    before, url = page.url, str(fetched.url)
    if url != before:
        _mark(page, "skipped", now, MOVED)
        there = session.get(CrawlPage, (session.organization_id, crawl.id, url))
        page = there or CrawlPage(
            organization_id=session.organization_id, job_run_id=crawl.id, url=url, depth=page.depth
        )
        session.add(page)
    if page.status in (None, "pending"):
        kept = keeping.keep(session, crawl, before, fetched, stored, now)
        if kept is None:
            _mark(page, "skipped", now, "deleted")
        else:
            page.document_id, is_new = kept
            _mark(page, "changed" if is_new else "unchanged", now)
    if url != before:
        keeping.missed(session, before, MOVED, now)


def _follow(session: TenantSession, crawl: Crawl, page: CrawlPage, links: Sequence[Url]) -> None:
    if page.depth < crawl.max_depth:
        _add(session, crawl, links, "page", page.depth + 1)
    elif _unseen(session, crawl, links):
        _ran_into(crawl, "max_depth")


def _add(
    session: TenantSession, crawl: Crawl, found: Iterable[Url], kind: PageKind, depth: int
) -> None:
    """Let pages of the site that were not seen yet be visited, as many as there is room for."""
    unseen = _unseen(session, crawl, found)
    counted = (
        select(func.count())
        .select_from(CrawlPage)
        .where(CrawlPage.organization_id == session.organization_id)
        .where(CrawlPage.job_run_id == crawl.id)
        .where(CrawlPage.kind == kind)
        .where(CrawlPage.reason.is_distinct_from(MOVED))
    )
    most = crawl.max_pages if kind == "page" else MOST_SITEMAPS
    room = max(0, most - (session.scalar(counted) or 0)) if unseen else 0
    if len(unseen) > room:
        _ran_into(crawl, "max_pages" if kind == "page" else "max_sitemaps")
    own = {"organization_id": session.organization_id, "job_run_id": crawl.id}
    rows = [
        {**own, "url": url, "id": new_id(), "kind": kind, "depth": depth} for url in unseen[:room]
    ]
    if rows:
        session.execute(insert(CrawlPage), rows)


def _unseen(session: TenantSession, crawl: Crawl, found: Iterable[Url]) -> list[str]:
    """Of these the pages of the site that the crawl has not found before, in their order."""
    session.flush()
    here = list(dict.fromkeys(str(url) for url in found if sites.site(url) == crawl.site))
    if not here:
        return []
    seen = session.scalars(
        select(CrawlPage.url)
        .where(CrawlPage.organization_id == session.organization_id)
        .where(CrawlPage.job_run_id == crawl.id)
        .where(CrawlPage.url == func.any(literal(here, ARRAY(Text))))
    )
    known = set(seen)
    return [url for url in here if url not in known]


def _ran_into(crawl: Crawl, limit: str) -> None:
    if limit not in crawl.limits:
        crawl.limits = [*crawl.limits, limit]
