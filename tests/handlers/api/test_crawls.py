"""Crawls through the API: started, read, ended."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from countersign.knowledge.crawling.working import CrawlSettings, work
from countersign.platform import storage
from countersign.platform.ids import new_id
from countersign.platform.tables import AuditEvent
from local.http_server import Request, Response, serving
from tests.handlers.api.client import Api, Story

SETTINGS = CrawlSettings(documents_bucket="documents", crawl_allowed_networks="127.0.0.0/8")


@pytest.fixture
def dataset(api: Api) -> str:
    return str(api.post("/datasets", {"slug": "guides", "name": "Guides"})["id"])


def crawl(story: Story) -> None:
    """Work on every turn that is queued."""
    for body in story.path.sent.take("crawl"):
        job_run_id, turn = body["crawl_id"], body["turn"]
        organization_id = story.path.tenant.organization_id
        work(story.path.outbox, SETTINGS, organization_id, job_run_id, turn)


def answer(request: Request) -> Response:
    pages = {
        "/a?id=1": b'<title>Hoses</title><a href="/b?utm_source=x">b</a>',
        "/b": b"<p>AN-6.</p>",
    }
    if request.target not in pages:
        return Response(404)
    return Response(200, pages[request.target], (("Content-Type", "text/html"),))


def test_a_site_is_crawled_and_its_run_tells_how_it_went(
    story: Story, api: Api, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "put", lambda *_: None)
    monkeypatch.setattr("countersign.knowledge.crawling.working.pause", lambda _: None)
    with serving(answer) as url:
        asked = {"dataset_id": dataset, "url": f"{url}/x/../a?utm_source=x&id=1#top"}
        started = api.post("/crawls", {**asked, "refresh_hours": 24, "tags": ["an"]})
        assert started == {
            "job_run_id": started["job_run_id"],
            "dataset_id": dataset,
            "source": "site",
            "url": f"{url}/a?id=1",
            "site": url.removeprefix("http://"),
        }
        again = api.call("POST", "/crawls", asked)
        assert (again.status, again.problem) == (409, "conflict")
        assert again.json["job_run_id"] == started["job_run_id"]
        crawl(story)
    run = api.get(f"/job-runs/{started['job_run_id']}")
    assert (run["type"], run["status"]) == ("crawl", "succeeded")
    assert (run["metrics"]["found"], run["metrics"]["changed"]) == (2, 2)
    path = f"/crawls/{started['job_run_id']}/pages"
    first = api.get(path, limit="1")
    second = api.get(path, limit="1", cursor=first["next_cursor"])
    assert [page["url"] for page in first["items"] + second["items"]] == [
        f"{url}/a?id=1",
        f"{url}/b",
    ]
    assert second["next_cursor"] is None
    assert api.get(path, status="failed")["items"] == []
    (page,) = first["items"]
    document = api.get(f"/documents/{page['document_id']}")
    assert (document["title"], document["tags"]) == ("Hoses", ["an"])
    assert document["source_url"] == page["url"]
    assert recorded(story) == ["crawl.started"]


def recorded(story: Story) -> list[str]:
    with story.path.tenant_session() as session:
        events = session.scalars(
            select(AuditEvent.canonical_text)
            .where(AuditEvent.stream_id == session.organization_id)
            .order_by(AuditEvent.seq)
        )
        types = [json.loads(text)["type"] for text in events]
    return [type_ for type_ in types if type_.startswith("crawl.")]


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"url": "ftp://shop.example/"}, "url"),
        ({"url": "http://user:word@shop.example/"}, "url"),
        ({"url": "http://0x7f.1/"}, "url"),
        ({"url": "x" * 2001}, "url"),
        ({"dataset_id": str(new_id())}, "dataset_id"),
        ({"max_pages": 0}, "max_pages"),
        ({"max_pages": 100_000}, "max_pages"),
        ({"source": "refresh"}, "source"),
        ({"refresh_hours": 0}, "refresh_hours"),
        ({"language": "german'"}, "language"),
        ({"language": "klingon"}, "language"),
        ({"tags": ["\0"]}, "tags.0"),
    ],
)
def test_what_cannot_be_crawled_is_refused(
    changed: dict[str, Any], where: str, api: Api, dataset: str
) -> None:
    asked = {"dataset_id": dataset, "url": "https://shop.example/", **changed}
    assert api.call("POST", "/crawls", asked).wrong == {where}


def test_a_crawl_is_ended(story: Story, api: Api, dataset: str) -> None:
    asked = {"dataset_id": dataset, "url": "https://shop.example/"}
    path = f"/crawls/{api.post('/crawls', asked)['job_run_id']}"
    assert api.call("DELETE", path).status == 204
    # What was queued does nothing; of the site, another may begin.
    crawl(story)
    assert api.call("DELETE", path).problem == "conflict"
    run = api.get(path.replace("crawls", "job-runs"))
    assert (run["status"], run["error"]) == ("failed", "cancelled")
    assert api.get(f"{path}/pages")["items"][0]["status"] == "pending"
    api.post("/crawls", asked)
    assert recorded(story) == ["crawl.started", "crawl.cancelled", "crawl.started"]


def test_what_is_no_crawl_is_not_found(api: Api) -> None:
    for method, path in (("DELETE", ""), ("GET", "/pages")):
        assert api.call(method, f"/crawls/{new_id()}{path}").problem == "not-found"
