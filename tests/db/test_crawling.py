"""A site is crawled page by page, within its limits, and no worker's death loses more than one."""

from __future__ import annotations

import gzip
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from countersign.knowledge.crawling import keeping, runs, visiting, working
from countersign.knowledge.crawling.outcomes import Errand, Fetched
from countersign.knowledge.crawling.refreshing import refresh
from countersign.knowledge.tables import Document
from countersign.platform import urls
from countersign.platform.calls import Answer
from countersign.platform.errors import Conflict, NotFound, Unavailable
from countersign.platform.ids import new_id
from countersign.platform.web import Found
from local.http_server import Request, Response
from tests.crawled import HTML, Site, page, site
from tests.world import memory_queues

__all__ = ["memory_queues", "site"]


def test_a_site_is_crawled_by_its_links(site: Site) -> None:
    site.pages |= {
        "/": page("/a", "/b?utm_source=x", "http://other.example/", title="Home"),
        "/a": page("/", "/c", "/missing"),
        "/b": page("/a#top", "/c.png"),
        "/c": page(),
        "/c.png": Response(200, b"\x89PNG", (("Content-Type", "image/png"),)),
    }
    run = site.crawl()
    assert site.visited == ["/", "/a", "/b", "/c", "/missing", "/c.png"]
    assert (run.status, run.error, run.finished_at) == ("succeeded", None, site.now)
    assert run.metrics == {
        "site": site.url.removeprefix("http://"),
        "found": 6,
        "fetched": 4,
        "changed": 4,
        "unchanged": 0,
        "gone": 1,
        "skipped": 1,
        "failed": 0,
        "limits": [],
    }
    documents = site.documents()
    assert documents.keys() == {"/", "/a", "/b", "/c"}
    home = documents["/"]
    assert (home.title, home.processing_status) == ("Home", "pending")
    assert home.s3_key
    assert site.stored[home.s3_key] == site.pages["/"].body
    assert home.content_type == "text/html; charset=utf-8"
    indexed = {body["document_id"] for body in site.path.sent.take("index")}
    assert indexed == {str(one.id) for one in documents.values()}
    assert site.pauses == [working.PACE] * 5


def test_a_page_is_fetched_alone(site: Site) -> None:
    site.pages["/a"] = page("/b")
    run = site.crawl("/a", "page", max_pages=1, max_depth=0)
    assert run.metrics
    assert (run.status, run.metrics["limits"]) == ("succeeded", [])
    assert site.visited == ["/a"]


def test_what_a_sitemap_lists_is_fetched(site: Site) -> None:
    listed = f"{site.url}/a\n{site.url}/b\nhttp://other.example/c\n"
    index = f"<sitemapindex><sitemap><loc>{site.url}/1.gz</loc></sitemap></sitemapindex>"
    site.pages |= {
        "/sitemap.xml": Response(200, index.encode()),
        "/1.gz": Response(200, gzip.compress(listed.encode())),
        "/a": page("/not-listed"),
        "/b": page(),
    }
    run = site.crawl("/sitemap.xml", "sitemap")
    assert site.visited == ["/sitemap.xml", "/1.gz", "/a", "/b"]
    assert run.metrics
    assert (run.status, run.metrics["found"], run.metrics["changed"]) == ("succeeded", 2, 2)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(200, b"<urlset/>"), "no_pages"),
        (Response(200, b"<html></html>"), "The XML is neither a urlset nor a sitemapindex."),
        (Response(404), "gone"),
    ],
)
def test_a_sitemap_of_nothing_fails(answer: Response, error: str, site: Site) -> None:
    site.pages["/sitemap.xml"] = answer
    run = site.crawl("/sitemap.xml", "sitemap")
    assert (run.status, run.error) == ("failed", error)


def test_a_crawl_that_would_never_end_ends_and_says_so(site: Site) -> None:
    def calendar(request: Request) -> Response:
        if request.target == "/robots.txt":
            return Response(404)
        site.asked.append(request)
        day = int(request.target.partition("=")[2] or 0)
        return page(*(f"/?day={day + number}" for number in range(1, 4)))

    site.answer = calendar  # type: ignore[method-assign]
    run = site.crawl(max_pages=20, max_depth=100)
    assert run.metrics
    assert (run.metrics["found"], run.metrics["limits"]) == (20, ["max_pages"])
    assert len(site.visited) == 20
    run = site.crawl("/?day=1000", max_pages=100, max_depth=2)
    assert run.metrics
    assert (run.metrics["found"], run.metrics["limits"]) == (7, ["max_depth"])


def test_what_robots_may_not_fetch_is_not_fetched(site: Site) -> None:
    rules = b"User-agent: *\nDisallow: /private\nCrawl-delay: 7"
    site.pages |= {
        "/robots.txt": Response(200, rules),
        "/": page("/private/a", "/moved", "/b"),
        "/moved": Response(302, headers=(("Location", "/private/b"),)),
        "/b": page(),
    }
    crawl_id = site.begin()
    site.finish()
    assert site.visited == ["/", "/moved", "/b"]
    assert site.found(crawl_id)["/private/a"] == ("skipped", "robots")
    assert site.found(crawl_id)["/moved"] == ("skipped", "robots")
    assert set(site.pauses) == {7.0}


def test_a_host_that_does_not_say_what_robots_may_do_is_left_alone(site: Site) -> None:
    site.pages |= {"/robots.txt": Response(503), "/": page()}
    run = site.crawl()
    assert site.visited == []
    assert run.status == "failed"
    assert run.error
    assert "what robots may do" in run.error


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_host_without_rules_lets_all_be_fetched(status: int, site: Site) -> None:
    site.pages |= {"/robots.txt": Response(status), "/": page()}
    assert site.crawl().status == "succeeded"


def test_a_page_may_ask_not_to_be_kept(site: Site) -> None:
    noindex = Response(200, b'<meta name=robots content=noindex><a href="/a">', HTML)
    site.pages |= {"/": noindex, "/a": page()}
    assert site.crawl().status == "succeeded"
    assert site.documents().keys() == {"/a"}


def test_whatever_is_fetched_may_ask_not_to_be_kept(site: Site) -> None:
    headers = (("Content-Type", "text/plain"), ("X-Robots-Tag", "noindex"))
    site.pages["/a.txt"] = Response(200, b"Text", headers)
    run = site.crawl("/a.txt", "page")
    assert (run.status, run.error) == ("failed", "noindex")
    assert site.documents() == {}


def test_robots_txt_may_begin_with_a_byte_order_mark(site: Site) -> None:
    rules = "\ufeffUser-agent: *\nDisallow: /"
    site.pages |= {"/robots.txt": Response(200, rules.encode()), "/": page()}
    assert site.crawl().error == "robots"


@pytest.mark.parametrize(
    ("content_type", "kept"),
    [
        ("text/html; x=" + "x" * 60_000, "text/html"),
        ("text/html; charset=" + " " * 60_000 + "!", "text/html"),
        ("text/html; x=\xe9", "text/html"),
    ],
)
def test_headers_that_cannot_be_kept_are_not(content_type: str, kept: str, site: Site) -> None:
    headers = (("Content-Type", content_type), ("ETag", '"' + "x" * 300 + '"'))
    site.pages["/"] = Response(200, page().body, headers)
    assert site.crawl().status == "succeeded"
    (document,) = site.documents().values()
    assert (document.content_type, document.etag) == (kept, None)


def test_headers_with_nul_are_not_kept() -> None:
    url = urls.parse("http://a.example/")
    headers = {"content-type": "text/html; x=\0", "etag": '"\0"'}
    found = Found(url, Answer(200, headers, b"<p>Text"))
    fetched = visiting._told(found, Errand(url, "a.example"))
    assert isinstance(fetched, Fetched)
    assert (fetched.content_type, fetched.etag) == ("text/html", None)


def test_a_page_that_moved_is_the_one_that_it_leads_to(site: Site) -> None:
    to_b = Response(301, headers=(("Location", "/b"),))
    site.pages |= {"/": page("/a", "/b", "/out"), "/a": to_b, "/b": page("/c"), "/c": page()}
    site.pages["/out"] = Response(301, headers=(("Location", "http://other.example/"),))
    crawl_id = site.begin()
    site.finish()
    found = site.found(crawl_id)
    assert (found["/a"], found["/b"]) == (("skipped", "moved"), ("changed", None))
    assert found["/out"] == ("skipped", "elsewhere")
    assert site.documents().keys() == {"/", "/b", "/c"}


def test_a_document_moves_along_with_its_page(site: Site) -> None:
    site.pages["/a"] = page(text="the same")
    site.crawl("/a", "page")
    before = site.documents()["/a"].id
    site.pages |= {
        "/b": page(text="other"),
        "/a": Response(301, headers=(("Location", "/b"),)),
    }
    site.crawl("/a", "page")
    assert {url: one.id for url, one in site.documents().items()} == {"/b": before}


def test_addresses_that_are_not_public_are_refused(site: Site) -> None:
    site.pages["/"] = page()
    site.patch.setattr(
        "tests.crawled.SETTINGS", working.CrawlSettings(documents_bucket="documents")
    )
    run = site.crawl()
    assert run.status == "failed"
    assert run.error == "127.0.0.1 is not of the public web: loopback."
    assert site.asked == []


def test_what_fails_is_tried_again_and_then_left(site: Site) -> None:
    site.pages |= {"/": page("/a", "/b"), "/a": Response(500), "/b": page()}
    crawl_id = site.begin()
    waits = []
    while site.path.sent.sent.get("crawl"):
        waits += site.turn()
    assert site.visited == ["/", "/a", "/b", "/a", "/a"]
    assert waits == [0, 60, 120]
    assert site.found(crawl_id)["/a"] == ("failed", "http_500")
    assert site.run(crawl_id).status == "succeeded"


def test_a_server_that_asks_to_be_left_alone_is(site: Site) -> None:
    site.pages |= {"/": page("/a"), "/a": Response(429, headers=(("Retry-After", "300"),))}
    site.begin()
    site.turn()
    ((_, delay),) = site.path.sent.sent["crawl"]
    assert delay == 300
    site.pages["/a"] = page()
    site.finish()
    assert site.documents().keys() == {"/", "/a"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(200, b"x" * 2000, HTML), "too_large"),
        (Response(403), "http_403"),
        (Response(206, b"x", HTML), "http_206"),
    ],
)
def test_what_can_never_be_had_is_tried_once(answer: Response, reason: str, site: Site) -> None:
    site.patch.setattr("countersign.knowledge.crawling.visiting.MOST_BYTES", 1000)
    site.pages["/"] = answer
    run = site.crawl()
    assert (run.status, run.error) == ("failed", reason)
    assert site.visited == ["/"]


def test_a_turn_ends_in_time_and_the_next_goes_on(site: Site) -> None:
    site.pages |= {"/": page("/a", "/b"), "/a": page(), "/b": page()}
    site.patch.setattr(working, "SECONDS", 0)
    site.begin()
    for visited in ("/", "/a", "/b"):
        site.turn()
        assert site.visited == [visited]
    assert not site.path.sent.sent.get("crawl")
    assert site.documents().keys() == {"/", "/a", "/b"}


def test_a_message_of_a_turn_that_is_over_does_nothing(site: Site) -> None:
    site.pages |= {"/": page("/a"), "/a": page()}
    site.patch.setattr(working, "SECONDS", 0)
    site.begin()
    ((first, _),) = site.path.sent.sent["crawl"]
    site.turn()
    site.asked.clear()
    site.work(first)
    assert site.asked == []
    site.finish()
    site.asked.clear()
    site.work(first)
    assert site.asked == []


def test_one_worker_crawls_and_a_lost_one_is_replaced(site: Site) -> None:
    site.pages |= {"/": page("/a"), "/a": page()}

    def die(_: float) -> None:
        raise SystemExit

    crawl_id = site.begin()
    ((message, _),) = site.path.sent.sent.pop("crawl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(working, "pause", die)
        with pytest.raises(SystemExit):
            site.work(message)
    assert site.visited == ["/"]
    with pytest.raises(Unavailable, match="Another worker"):
        site.work(message)
    site.now += runs.LEASE
    site.work(message)
    assert site.visited == ["/a"]
    assert site.run(crawl_id).status == "succeeded"


def test_a_late_result_does_not_count(site: Site) -> None:
    site.pages |= {"/": page(text="late")}
    site.begin()
    ((message, _),) = site.path.sent.sent.pop("crawl")
    put = site._put

    def slow(*given: Any) -> None:
        site.patch.setattr("countersign.platform.storage.put", put)
        put(*given)
        site.now += runs.LEASE
        site.pages["/"] = page(text="in time")
        site.work(message)

    site.patch.setattr("countersign.platform.storage.put", slow)
    site.work(message)
    (home,) = site.documents().values()
    assert home.s3_key
    assert b"in time" in site.stored[home.s3_key]


def test_a_page_that_no_worker_survives_is_left(site: Site) -> None:
    site.pages |= {"/": page("/deadly", "/a"), "/deadly": page(), "/a": page()}

    crawl_id = site.begin()
    ((message, _),) = site.path.sent.sent.pop("crawl")
    put = site._put

    def deadly_put(*given: Any) -> None:
        if site.asked[-1].target == "/deadly":
            raise SystemExit
        put(*given)

    site.patch.setattr("countersign.platform.storage.put", deadly_put)
    for _ in range(runs.MAX_TRIES):
        with pytest.raises(SystemExit):
            site.work(message)
        site.now += runs.LEASE
    site.work(message)
    assert site.found(crawl_id)["/deadly"] == ("failed", "lost")
    assert site.found(crawl_id)["/a"] == ("changed", None)


def test_of_a_site_one_crawl_is_under_way(site: Site) -> None:
    site.pages["/"] = page()
    crawl_id = site.begin()
    with pytest.raises(Conflict) as refused:
        site.begin("/other")
    assert refused.value.extra == {"job_run_id": str(crawl_id)}
    site.finish()
    site.begin()


def test_a_crawl_that_is_not_here_is_not_found(site: Site) -> None:
    with pytest.raises(NotFound):
        site.work(
            {
                "organization_id": str(site.path.tenant.organization_id),
                "crawl_id": str(new_id()),
                "turn": 0,
            }
        )


def refreshed(site: Site) -> list[str]:
    """Let what is due be fetched again; what was."""
    site.asked.clear()
    refresh(site.path.outbox, site.path.tenant.organization_id)
    site.finish()
    return site.visited


def test_what_is_due_is_fetched_again_and_found_unchanged(site: Site) -> None:
    validators = (("ETag", '"1"'), ("Last-Modified", "Wed, 04 Mar 2026 05:00:00 GMT"))
    body = page("/b", text="a").body
    site.pages |= {"/a": Response(200, body, HTML + validators), "/b": page()}
    site.crawl("/a", max_depth=0, refresh_hours=24)
    site.path.sent.take("index")
    assert refreshed(site) == []
    site.now += timedelta(hours=24)

    def answer(request: Request) -> Response:
        site.asked.append(request)
        if request.target == "/a":
            assert request.header("If-None-Match") == '"1"'
            assert request.header("If-Modified-Since") == validators[1][1]
            return Response(304)
        return Response(404)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "answer", answer)
        assert refreshed(site) == ["/a"]
    assert site.documents()["/a"].next_refresh_at == site.now + timedelta(hours=24)
    site.now += timedelta(hours=24)
    # Validators that are ignored: the bytes tell.
    assert refreshed(site) == ["/a"]
    assert site.path.sent.take("index") == []
    site.now += timedelta(hours=24)
    site.pages["/a"] = page(text="new")
    assert refreshed(site) == ["/a"]
    assert len(site.path.sent.take("index")) == 1
    assert site.documents()["/a"].etag is None


def test_a_vanished_source_is_flagged_and_then_dropped(site: Site) -> None:
    site.pages["/a"] = page()
    site.crawl("/a", "page", refresh_hours=24)
    site.now += timedelta(hours=24)
    there = site.pages.pop("/a")
    for times in range(1, keeping.TIMES_GONE + 1):
        assert refreshed(site) == ["/a"]
        document = site.documents()["/a"]
        assert (document.times_gone, document.gone_at is None) == (times, times < 3)
        assert refreshed(site) == []
        site.now += keeping.LOOK_AGAIN
    # It may come back.
    site.pages["/a"] = there
    assert refreshed(site) == ["/a"]
    assert site.documents()["/a"].gone_at is None
    del site.pages["/a"]
    site.now += timedelta(hours=24)
    days = 0
    while site.documents():
        assert refreshed(site) == ["/a"]
        site.now += keeping.LOOK_AGAIN
        days += 1
    assert timedelta(days=days) > keeping.DROP_AFTER
    assert refreshed(site) == []


def test_what_cannot_be_had_is_looked_for_again_later(site: Site) -> None:
    site.pages["/a"] = page()
    site.crawl("/a", "page", refresh_hours=1)
    site.now += timedelta(hours=1)
    site.pages["/a"] = Response(403)
    assert refreshed(site) == ["/a"]
    assert refreshed(site) == []
    assert site.documents()["/a"].next_refresh_at == site.now + keeping.LOOK_AGAIN


VANISHED = {
    "noindex": Response(200, b"<meta name=robots content=noindex>", HTML),
    "elsewhere": Response(301, headers=(("Location", "http://other.example/"),)),
}


@pytest.mark.parametrize(
    ("answer", "most"),
    [
        (VANISHED["noindex"], keeping.TIMES_GONE),
        (VANISHED["elsewhere"], keeping.TIMES_GONE),
        (Response(403), keeping.TIMES_FAILED),
        (Response(500), keeping.TIMES_FAILED),
    ],
)
def test_a_page_that_is_not_to_be_had_is_flagged_and_dropped(
    answer: Response, most: int, site: Site
) -> None:
    site.patch.setattr(runs, "MAX_TRIES", 1)
    site.pages["/a"] = page()
    site.crawl("/a", "page", refresh_hours=24)
    site.pages["/a"] = answer
    for times in range(1, most + 1):
        site.now += timedelta(days=1)
        assert refreshed(site)
        document = site.documents()["/a"]
        assert (document.times_gone, document.gone_at is None) == (times, times < most)
    site.now += keeping.DROP_AFTER
    assert refreshed(site)
    assert site.documents() == {}


def test_what_robots_may_not_fetch_any_more_is_flagged(site: Site) -> None:
    site.pages["/a"] = page()
    site.crawl("/a", "page", refresh_hours=24)
    site.pages["/robots.txt"] = Response(200, b"User-agent: *\nDisallow: /")
    for _ in range(keeping.TIMES_GONE):
        site.now += timedelta(days=1)
        assert refreshed(site) == []
    assert site.documents()["/a"].gone_at == site.now


def test_what_passes_flags_nothing(site: Site) -> None:
    site.patch.setattr(runs, "MAX_TRIES", 1)
    site.pages["/a"] = page()
    site.crawl("/a", "page", refresh_hours=24)
    site.pages["/a"] = Response(429)
    site.now += timedelta(days=1)
    assert refreshed(site) == ["/a"]
    assert site.documents()["/a"].times_gone == 0


def test_a_crawl_says_anew_whether_its_pages_are_fetched_again(site: Site) -> None:
    site.pages["/a"] = page()
    site.crawl("/a", "page", refresh_hours=24)
    site.crawl("/a", "page")
    document = site.documents()["/a"]
    assert (document.refresh_hours, document.next_refresh_at) == (None, None)


def test_a_document_that_was_deleted_meanwhile_stays_deleted(site: Site) -> None:
    site.pages["/a"] = page()
    site.crawl("/a", "page", refresh_hours=1)
    site.now += timedelta(hours=1)
    refresh(site.path.outbox, site.path.tenant.organization_id)
    with site.path.tenant_session() as session:
        session.execute(update(Document).values(deleted_at=site.now))
    ((message, _),) = site.path.sent.sent["crawl"]
    site.finish()
    assert site.found(UUID(message["crawl_id"]))["/a"] == ("skipped", "deleted")
    assert site.documents() == {}


def test_a_site_that_is_being_crawled_is_refreshed_the_next_time(site: Site) -> None:
    site.pages |= {"/": page(), "/a": page()}
    site.crawl("/a", "page", refresh_hours=1)
    site.now += timedelta(hours=1)
    site.begin("/")
    assert refreshed(site) == ["/"]
    assert refreshed(site) == ["/a"]


def test_only_those_who_have_something_due_are_looked_at(site: Site) -> None:
    from countersign.knowledge.crawling import due

    site.pages["/a"] = page()
    site.crawl("/a", "page", refresh_hours=1)
    mine = [site.path.tenant.organization_id]
    with site.path.database.app_system.system() as session:
        assert due.organizations(session, site.now) == []
        assert due.organizations(session, site.now + timedelta(hours=1)) == mine
    with site.path.tenant_session() as session:
        session.execute(update(Document).values(deleted_at=site.now))
    with site.path.database.app_system.system() as session:
        assert due.organizations(session, site.now + timedelta(hours=1)) == []
