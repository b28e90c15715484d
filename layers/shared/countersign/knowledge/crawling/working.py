"""A turn of a crawl: visit pages, one after the other and not too fast, until its time is over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from countersign.knowledge import documents
from countersign.knowledge.crawling import runs
from countersign.knowledge.crawling.outcomes import Fetched, Outcome
from countersign.knowledge.crawling.runs import Job
from countersign.knowledge.crawling.visiting import Visitor
from countersign.knowledge.documents import Stored
from countersign.platform import addresses, clock
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox

SECONDS = 45.0
"""Of a turn, before its last page; a page takes another minute at most."""
PACE = 1.0
"""Seconds between two pages of a site that asks for no more."""
pause = time.sleep


@dataclass(frozen=True, kw_only=True)
class CrawlSettings:
    """What a function that crawls must know."""

    documents_bucket: str
    crawl_allowed_networks: str = ""
    """Networks to crawl although they are not public: CIDR notation, commas between."""


def work(
    outbox: Outbox, settings: CrawlSettings, organization_id: UUID, crawl_id: UUID, turn: int
) -> None:
    """Work on a crawl for a turn.

    Raises `Unavailable` while another worker does, or where storage takes nothing, and `NotFound`
    if there is no such crawl.
    """
    ends = time.monotonic() + SECONDS
    visitor = Visitor(addresses.networks(settings.crawl_allowed_networks))
    with outbox.transaction(organization_id) as session:
        job = runs.claim(session, crawl_id, turn, clock.now())
    while job:
        outcome = visitor.visit(job.errand)
        stored = _stored(settings, organization_id, outcome)
        pace = max(PACE, visitor.seconds(job.errand.url))
        is_over = time.monotonic() + pace >= ends
        done = job
        with outbox.transaction(organization_id) as session:
            job = runs.settle(
                session,
                done,
                outcome,
                stored,
                clock.now(),
                pace=timedelta(seconds=pace),
                is_over=is_over,
            )
        _log(organization_id, done, outcome)
        if job:
            pause(pace)


def _stored(settings: CrawlSettings, organization_id: UUID, outcome: Outcome) -> Stored | None:
    if not isinstance(outcome, Fetched):
        return None
    return documents.keep(
        settings.documents_bucket, organization_id, outcome.content, outcome.content_type
    )


def _log(organization_id: UUID, job: Job, outcome: Outcome) -> None:
    logger.info(
        "a page was visited",
        organization_id=str(organization_id),
        job_run_id=str(job.crawl_id),
        outcome=type(outcome).__name__.lower(),
        reason=getattr(outcome, "reason", None),
    )
