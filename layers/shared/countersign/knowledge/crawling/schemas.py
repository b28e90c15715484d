"""Crawls, as the API takes and shows them."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from countersign.knowledge.crawling.tables import PageKind, PageStatus
from countersign.knowledge.languages import Language
from countersign.platform import urls
from countersign.platform.paging import NextCursor, PageQuery
from countersign.platform.schemas import Answer, Body, Instant

MOST_PAGES = 2_000
LONGEST_REFRESH_HOURS = 365 * 24

Source = Annotated[
    Literal["page", "site", "sitemap"],
    Field(
        description="`page`: what is at `url`, and no more. `site`: the pages that links lead to "
        "from there, of the same site. `sitemap`: the pages of the site that the sitemap at `url` "
        "lists, or those of an index."
    ),
]
JobRunId = Annotated[UUID, Field(description="The run of `/v1/job-runs` that tells how it goes.")]
Tag = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class StartCrawl(Body):
    """What to fetch from the web into a dataset, and how far to go."""

    dataset_id: UUID
    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=urls.LONGEST,
            description="Of the public web, http or https, without a user in it.",
        ),
    ]
    source: Source = "site"
    max_pages: Annotated[
        int, Field(ge=1, le=MOST_PAGES, description="How many pages at most, fetched or not.")
    ] = 200
    max_depth: Annotated[
        int, Field(ge=0, le=20, description="How many links away from `url`; of a `site` alone.")
    ] = 5
    refresh_hours: Annotated[
        int | None,
        Field(
            ge=1,
            le=LONGEST_REFRESH_HOURS,
            description="After how many hours each page is fetched again; null: never, also of "
            "pages that were until now.",
        ),
    ] = None
    language: Annotated[Language, Field(description="Of the pages.")] = "english"
    tags: Annotated[
        tuple[Tag, ...], Field(max_length=20, description="Of the documents made.")
    ] = ()


class Crawl(Answer):
    """A crawl that is under way."""

    job_run_id: JobRunId
    dataset_id: UUID
    source: Source
    url: Annotated[str, Field(description="As it is spelt here: without what only tracks.")]
    site: Annotated[str, Field(description="The host, without `www.`, that it keeps to.")]


class CrawlPagesQuery(PageQuery):
    """Which page of the list, or what of it."""

    status: Annotated[PageStatus | None, Field(description="Those that this came of.")] = None


class CrawlPage(Answer):
    """A page that a crawl found."""

    url: str
    kind: PageKind
    depth: Annotated[int, Field(description="In links, from where the crawl began.")]
    status: Annotated[
        PageStatus,
        Field(
            description="`changed`: fetched, and new or not what it was. `unchanged`: what it was. "
            "`gone`: 404 or 410. `skipped` and `failed`: see `reason`."
        ),
    ]
    reason: Annotated[
        str | None,
        Field(
            description="`robots`: robots.txt forbids it. `noindex`: it asks not to be kept. "
            "`content_type`: no document. `elsewhere`: it redirects to another site. `moved`: to "
            "another page. `deleted`: its document was, meanwhile. "
            "`too_large`, `late`, `broken`, `http_` and a status, `lost`: no worker "
            "survived it. Else a sentence."
        ),
    ]
    document_id: UUID | None
    fetched_at: Instant | None


class CrawlPages(Answer):
    """Pages of a crawl, in the order in which they were found."""

    items: list[CrawlPage]
    next_cursor: NextCursor
