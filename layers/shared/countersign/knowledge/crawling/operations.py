"""What the API offers on fetching documents from the web."""

from __future__ import annotations

from uuid import UUID

from countersign.identity.access import Call
from countersign.knowledge.crawling import schemas, starting
from countersign.platform.errors import Conflict, NotFound
from countersign.platform.operations import Operations

operations = Operations("Crawls")


@operations.add("POST", "/v1/crawls", "knowledge:write", Conflict)
def start_crawl(call: Call, body: schemas.StartCrawl) -> schemas.Crawl:
    """Fetch documents from the web

    A page, a site or what a sitemap lists, into a dataset: what robots.txt allows, of one host, and
    no faster than it asks. Pages that are there already are fetched again where they are. The run
    tells how it goes: how many pages it `found`, of these `fetched` (which are `changed` or
    `unchanged`), `gone`, `skipped`, `failed`, and the `limits` that it ran into. 409: a crawl of
    the site is under way; `job_run_id` says which.
    """
    return starting.start(call.session, call.principal, body, call.now)


@operations.add("DELETE", "/v1/crawls/{crawl_id}", "knowledge:write", NotFound, Conflict)
def cancel_crawl(call: Call, crawl_id: UUID) -> None:
    """End a crawl

    Its id is that of its run. No page is fetched any more, but the one that may be under way; the
    documents that it made stay. 409: it is over.
    """
    starting.cancel(call.session, call.principal, crawl_id, call.now)


@operations.add("GET", "/v1/crawls/{crawl_id}/pages", "knowledge:read", NotFound)
def read_crawl_pages(
    call: Call, crawl_id: UUID, query: schemas.CrawlPagesQuery
) -> schemas.CrawlPages:
    """List the pages that a crawl found

    In the order in which they were found, with what came of each, and why. A crawl has the id of
    its run.
    """
    return starting.pages(call.session, crawl_id, query)
