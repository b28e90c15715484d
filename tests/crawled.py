"""A site on 127.0.0.1 that is crawled by the product, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from countersign.knowledge.crawling import runs, sites, working
from countersign.knowledge.crawling.tables import Crawl, CrawlPage, Source
from countersign.knowledge.crawling.working import CrawlSettings, work
from countersign.knowledge.tables import Dataset, Document
from countersign.platform import clock, storage, urls
from countersign.platform.ids import new_id
from countersign.platform.tables import JobRun
from local.http_server import Request, Response, serving
from tests.conftest import TestDatabase
from tests.world import MemoryQueues, Path, add_tenant

SETTINGS = CrawlSettings(documents_bucket="documents", crawl_allowed_networks="127.0.0.0/8")
HTML = (("Content-Type", "text/html; charset=utf-8"),)


def page(*links: str, title: str = "", text: str = "") -> Response:
    """A page that leads where `links` say."""
    anchors = "".join(f'<a href="{link}">on</a>' for link in links)
    return Response(200, f"<title>{title}</title><p>{text}</p>{anchors}".encode(), HTML)


class Site:
    """A site and the product that crawls it: what is there by target, and what was asked for."""

    def __init__(self, url: str, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.url, self.path, self.patch = url, path, patch
        self.pages: dict[str, Response] = {}
        self.asked: list[Request] = []
        self.stored: dict[str, bytes] = {}
        self.pauses: list[float] = []
        self.now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
        self.dataset_id = new_id()
        patch.setattr(clock, "now", lambda: self.now)
        patch.setattr(storage, "put", self._put)
        patch.setattr(working, "pause", self.pauses.append)
        with path.tenant_session() as session:
            own = {"organization_id": path.tenant.organization_id, "id": self.dataset_id}
            session.add(Dataset(**own, slug="site", name="Site"))

    def answer(self, request: Request) -> Response:
        self.asked.append(request)
        return self.pages.get(request.target, Response(404))

    def _put(self, bucket: str, key: str, content: bytes) -> None:
        assert bucket == "documents"
        self.stored[key] = content

    @property
    def visited(self) -> list[str]:
        """The targets that were asked for since the last time, but for `robots.txt`."""
        targets = [one.target for one in self.asked if one.target != "/robots.txt"]
        self.asked.clear()
        return targets

    def begin(self, target: str = "/", source: Source = "site", **limits: Any) -> UUID:
        """Start a crawl; its run's id."""
        url = urls.parse(self.url + target)
        limits = {"max_pages": 100, "max_depth": 5, **limits}
        crawl = Crawl(
            id=new_id(),
            dataset_id=self.dataset_id,
            source=source,
            url=str(url),
            site=sites.site(url),
            **limits,
        )
        with self.path.outbox.transaction(self.path.tenant.organization_id) as session:
            runs.begin(session, crawl, [url], "sitemap" if source == "sitemap" else "page")
        return crawl.id

    def turn(self) -> list[float]:
        """Work on every turn that is queued; the seconds that each was to wait for."""
        waits = []
        for body, delay in self.path.sent.sent.pop("crawl", []):
            waits.append(float(delay))
            self.now += timedelta(seconds=delay)
            self.work(body)
        return waits

    def work(self, body: dict[str, Any]) -> None:
        organization_id = UUID(body["organization_id"])
        work(self.path.outbox, SETTINGS, organization_id, UUID(body["crawl_id"]), body["turn"])

    def crawl(self, target: str = "/", source: Source = "site", **limits: Any) -> JobRun:
        """Crawl to the end."""
        crawl_id = self.begin(target, source, **limits)
        self.finish()
        return self.run(crawl_id)

    def finish(self) -> None:
        while self.path.sent.sent.get("crawl"):
            self.turn()

    def run(self, crawl_id: UUID) -> JobRun:
        with self.path.tenant_session() as session:
            return session.get_one(JobRun, (session.organization_id, crawl_id))

    def found(self, crawl_id: UUID) -> dict[str, tuple[str, str | None]]:
        """Status and reason of a crawl's pages, by what follows the host."""
        with self.path.tenant_session() as session:
            pages = session.scalars(select(CrawlPage).where(CrawlPage.job_run_id == crawl_id))
            return {one.url.removeprefix(self.url): (one.status, one.reason) for one in pages}

    def documents(self) -> dict[str, Document]:
        """The documents that are there, by what follows the host."""
        with self.path.tenant_session() as session:
            live = session.scalars(select(Document).where(Document.deleted_at.is_(None)))
            return {str(one.source_url).removeprefix(self.url): one for one in live}


@pytest.fixture
def site(
    database: TestDatabase, memory_queues: MemoryQueues, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    path = Path(database, add_tenant(database), memory_queues)
    made: list[Site] = []
    with serving(lambda request: made[0].answer(request)) as url:
        made.append(Site(url, path, monkeypatch))
        yield made[0]
