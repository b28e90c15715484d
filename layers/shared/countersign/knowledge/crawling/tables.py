"""Tables of crawling: a run's row in `job_runs` holds its lease, and what it has come to."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from countersign.platform.columns import Tenant, created, timestamp, word, words
from countersign.platform.db import Table
from countersign.platform.ids import new_id

Source = Literal["page", "site", "sitemap", "refresh"]
PageKind = Literal["page", "sitemap"]
PageStatus = Literal["pending", "changed", "unchanged", "gone", "skipped", "failed"]


class Crawl(Tenant, Table):
    """What the run of the same id fetches, and how far it goes. Of a site, one is open at a time.

    `turn` counts the queue messages that worked on it: one of a turn that is over does nothing.
    `limits` are those that it ran into.
    """

    __tablename__ = "crawls"

    dataset_id: Mapped[UUID | None]
    source: Mapped[Source] = word()
    url: Mapped[str | None]
    site: Mapped[str]
    max_pages: Mapped[int]
    max_depth: Mapped[int]
    refresh_hours: Mapped[int | None]
    language: Mapped[str] = mapped_column(server_default="english")
    tags: Mapped[list[str]] = words(server_default="{}")
    turn: Mapped[int] = mapped_column(server_default="0")
    limits: Mapped[list[str]] = words(server_default="{}")
    is_open: Mapped[bool] = mapped_column(server_default="true")
    created_at: Mapped[datetime] = created()


class CrawlPage(Table):
    """A page that a crawl found, or a sitemap, and what came of it; `depth` is in links."""

    __tablename__ = "crawl_pages"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(default=new_id)
    kind: Mapped[PageKind] = word(server_default="page")
    depth: Mapped[int] = mapped_column(server_default="0")
    status: Mapped[PageStatus] = word(server_default="pending")
    reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    document_id: Mapped[UUID | None]
    fetched_at: Mapped[datetime | None] = timestamp()
    created_at: Mapped[datetime] = created()
