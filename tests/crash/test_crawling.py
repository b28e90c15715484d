"""Whatever goes wrong while a site is crawled, and wherever, the crawl has the same end.

Each run has an organization of its own, whose crawl is worked on by processes that die; the queue
brings again what was not settled, and the relay publishes what was promised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from urllib3 import HTTPHeaderDict

from countersign.knowledge.crawling import runs, sites, working
from countersign.knowledge.crawling.tables import Crawl, CrawlPage
from countersign.knowledge.crawling.working import CrawlSettings, work
from countersign.knowledge.tables import Dataset, Document
from countersign.platform import clock, queues, storage, urls, web
from countersign.platform.calls import Answer
from countersign.platform.db import Database, engine
from countersign.platform.errors import Unavailable
from countersign.platform.ids import new_id
from countersign.platform.outbox import Outbox
from countersign.platform.tables import JobRun, OutboxRow
from countersign.platform.urls import Url
from countersign.platform.web import Found, Unreachable
from tests.conftest import TestDatabase
from tests.crash.edges import Crash, Edges, Kind, Point, Process, Trouble, closed
from tests.crash.outside import APPLICATION
from tests.world import QUEUE_URLS, Tenant, add_tenant

HOST = "https://shop.example"
HTML = {"content-type": "text/html"}
PAGES = {
    "/": (200, HTML, b'<a href="/a">a</a><a href="/gone">b</a><a href="/moved">c</a>'),
    "/a": (200, HTML, b"A 3/8 inch fuel line takes AN-6."),
    "/moved": (301, {"location": "/b"}, b""),
    "/b": (200, HTML, b"Torque it by hand first."),
}
QUEUE = APPLICATION["Resources"]["CrawlQueue"]["Properties"]
VISIBILITY = timedelta(seconds=QUEUE["VisibilityTimeout"])
MOST_TRIES: int = APPLICATION["Parameters"]["MaxReceiveCount"]["Default"]
SETTINGS = CrawlSettings(documents_bucket="documents")


@dataclass
class Message:
    queue: str
    body: dict[str, Any]
    due: datetime
    tries: int = 0


@dataclass(frozen=True)
class End:
    """What a crawl has come to, without ids and times."""

    run: tuple[str, Any]
    pages: dict[str, tuple[str, str | None]]
    documents: dict[str, str | None]
    indexed: frozenset[str]


class Run:
    """One organization's crawl, from its start to its end, with one trouble."""

    def __init__(self, database: TestDatabase, edges: Edges, patch: pytest.MonkeyPatch) -> None:
        self.edges, self.database = edges, database
        self.now = datetime(2027, 3, 4, 12, tzinfo=UTC)
        self.waiting: list[Message] = []
        self.dead: list[Message] = []
        self.indexed: set[str] = set()
        self.fetched: Counter[str] = Counter()
        self.tenant: Tenant = add_tenant(database, f"shop-{new_id().hex}")
        self._process = Process("crawl")
        self._engine = engine(database.url("app_rw"))
        self.outbox = Outbox(Database(self._engine), QUEUE_URLS)
        edges.twin = self._twin
        edges.stall = lambda _: None
        self._handled: Message
        for target, name, stand_in in (
            (clock, "now", lambda: self.now),
            (queues, "send_delayed", self._send),
            (storage, "put", self._put),
            (web, "get", self._get),
            (working, "pause", self._pause),
            # One page, then the next turn.
            (working, "SECONDS", 0.0),
        ):
            patch.setattr(target, name, stand_in)

    def _pause(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def _send(self, queue: str, messages: list[tuple[queues.Body, int]]) -> None:
        def accept() -> None:
            for body, delay in messages:
                self.waiting.append(Message(queue, body, self.now + timedelta(seconds=delay)))

        self.edges.cross(f"send to {queue}", "call", accept, closed)

    def _put(self, bucket: str, key: str, content: bytes) -> None:
        self.edges.cross(f"put into {bucket}", "call", lambda: None, closed)

    def _get(self, url: Url, *_: Any, follow: Any = None, **__: Any) -> Found:
        def answer() -> Found:
            status, headers, body = PAGES.get(url.target, (404, {}, b""))
            return Found(url, Answer(status, HTTPHeaderDict(headers), body))

        self.fetched[url.target] += 1
        found = self.edges.cross(
            f"GET {url.target}", "read", answer, lambda: Unreachable("Connection aborted.")
        )
        if location := found.answer.headers.get("location"):
            there = urls.join(url, location)
            follow(there)
            return self._get(there, follow=follow)
        return found

    def begin(self, trouble: Trouble | None) -> UUID:
        url = urls.parse(HOST)
        own = {"organization_id": self.tenant.organization_id}
        dataset_id, crawl_id = new_id(), new_id()
        with self.outbox.transaction(self.tenant.organization_id) as session:
            session.add(Dataset(**own, id=dataset_id, slug="site", name="Site"))
            session.flush()
            crawl = Crawl(
                id=crawl_id,
                dataset_id=dataset_id,
                source="site",
                url=str(url),
                site=sites.site(url),
                max_pages=10,
                max_depth=3,
            )
            runs.begin(session, crawl, [url], "page")
        # The worker's connection is its own.
        self._engine.dispose()
        self.edges.begin(trouble)
        return crawl_id

    def finish(self) -> None:
        """Let all that is under way come to its end."""
        for _ in range(200):
            following = min(self.waiting, key=lambda message: message.due, default=None)
            if following is None:
                return
            self.now = max(self.now, following.due)
            if following.queue == "crawl":
                self._deliver(following)
            else:
                self.waiting.remove(following)
                self._else(following)
        raise AssertionError("It never rests.")

    def _else(self, message: Message) -> None:
        if message.queue == "index":
            self.indexed.add(message.body["document_id"])
        elif message.queue == "relay":
            Outbox(self.database.app_system, QUEUE_URLS).sweep()

    def _deliver(self, message: Message) -> None:
        message.tries += 1
        message.due = self.now + VISIBILITY
        self._handled = message
        try:
            self._work(message)
        except Crash:
            self._engine.dispose()
            self._process = Process("crawl")
        except Exception:
            pass
        else:
            self.waiting.remove(message)
            return
        if message.tries >= MOST_TRIES:
            self.waiting.remove(message)
            self.dead.append(message)

    def _work(self, message: Message) -> None:
        organization_id = UUID(message.body["organization_id"])
        crawl_id, turn = UUID(message.body["crawl_id"]), message.body["turn"]
        with self.edges.inside(self._process), self.edges.watching():
            work(self.outbox, SETTINGS, organization_id, crawl_id, turn)

    def _twin(self) -> None:
        """The message that is being worked on comes to another process as well."""
        other = Outbox(Database(engine(self.database.url("app_rw"))), QUEUE_URLS)
        body = self._handled.body
        try:
            with self.edges.watching(False):
                organization_id, crawl_id = UUID(body["organization_id"]), UUID(body["crawl_id"])
                work(other, SETTINGS, organization_id, crawl_id, body["turn"])
        except Unavailable:
            pass
        finally:
            other.database.engine.dispose()

    def close(self) -> None:
        self._engine.dispose()

    def end(self, crawl_id: UUID) -> End:
        with self.database.app_rw.tenant(self.tenant.organization_id) as session:
            run = session.get_one(JobRun, (session.organization_id, crawl_id))
            pages = session.scalars(select(CrawlPage)).all()
            documents = session.scalars(select(Document)).all()
            assert session.scalars(select(OutboxRow)).all() == [], "a promise is kept back"
        ids = {str(one.id): str(one.source_url) for one in documents}
        return End(
            (run.status, run.metrics),
            {page.url: (page.status, page.reason) for page in pages},
            {str(one.source_url): one.s3_key and one.s3_key[-64:] for one in documents},
            frozenset(ids[indexed] for indexed in self.indexed),
        )


Play = Callable[[Trouble | None], tuple[Run, End]]


@pytest.fixture
def play(database: TestDatabase) -> Iterator[Play]:
    """Plays the crawl, with a trouble; gives what it was and what it came to."""
    edges = Edges()
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("psycopg.connect", edges.connect)

        def play(trouble: Trouble | None = None) -> tuple[Run, End]:
            with pytest.MonkeyPatch.context() as patch:
                run = Run(database, edges, patch)
                crawl_id = run.begin(trouble)
                run.finish()
                run.close()
                assert run.dead == [], "dead letters"
                return run, run.end(crawl_id)

        yield play


def troubles(points: list[Point]) -> Iterator[Trouble]:
    """Of what can go wrong at each point, what differs from what goes wrong at another.

    Before a COMMIT all statements are one: of those that are alike, one is enough.
    """
    seen: set[str] = set()
    for number, point in enumerate(points):
        if point.sort != "statement" or point.label not in seen:
            yield Trouble("crash before", number)
        seen.add(point.label)
        kinds: tuple[Kind, ...] = ()
        if point.sort == "commit":
            kinds = ("crash after", "no answer")
        elif point.sort == "call":
            kinds = ("crash after", "no answer", "twin")
        elif point.sort == "read":
            kinds = ("no answer", "twin")
        for kind in kinds:
            yield Trouble(kind, number)


def test_a_crawl_has_the_same_end(play: Play) -> None:
    run, expected = play(None)
    assert expected == End(
        (
            "succeeded",
            {
                "site": "shop.example",
                "found": 5,
                "fetched": 3,
                "changed": 3,
                "unchanged": 0,
                "gone": 1,
                "skipped": 1,
                "failed": 0,
                "limits": [],
            },
        ),
        {
            f"{HOST}/": ("changed", None),
            f"{HOST}/a": ("changed", None),
            f"{HOST}/b": ("changed", None),
            f"{HOST}/gone": ("gone", "gone"),
            f"{HOST}/moved": ("skipped", "moved"),
        },
        expected.documents,
        frozenset(f"{HOST}{path}" for path in ("/", "/a", "/b")),
    )
    assert expected.documents.keys() == expected.indexed
    points, effort = list(run.edges.points), run.fetched
    assert len(points) > 100
    for trouble in troubles(points):
        run, end = play(trouble)
        assert end == expected, f"{trouble.kind} {points[trouble.at]}"
        once_more = sum((run.fetched - effort).values())
        # A page, its redirect and the rules of its host.
        assert once_more <= 3, f"{trouble.kind} {points[trouble.at]}: {run.fetched}"


def test_a_lease_outlives_its_worker_and_no_message() -> None:
    function = APPLICATION["Resources"]["CrawlFunction"]["Properties"]["Timeout"]
    assert timedelta(seconds=function) <= runs.LEASE < VISIBILITY


def test_without_a_lease_a_page_is_fetched_twice(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The explorer can fail."""
    run, _ = play(None)
    points, effort = list(run.edges.points), run.fetched
    monkeypatch.setattr(runs, "LEASE", timedelta(0))
    twins = (trouble for trouble in troubles(points) if trouble.kind == "twin")
    assert any(play(trouble)[0].fetched != effort for trouble in twins)
