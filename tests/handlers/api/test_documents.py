"""Documents through the API: made, given a content, read as they were, deleted."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from countersign.knowledge import documents
from countersign.knowledge.tables import Document
from countersign.platform import clock, ids, storage
from countersign.platform.audit import SYSTEM
from countersign.platform.db import Database, engine
from countersign.platform.errors import NotFound
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story


class Shelf:
    """A tenant's documents by the API, and what indexes them."""

    def __init__(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        self.story, self.api = story, story.api
        self.stored: dict[str, bytes] = {}
        monkeypatch.setattr(storage, "get", self._get)
        self.dataset = self.api.post("/datasets", {"slug": "guides", "name": "Guides"})

    def _get(self, bucket: str, key: str, most_bytes: int) -> bytes:
        if key not in self.stored:
            raise NotFound
        return self.stored[key]

    def add(self, **body: Any) -> Any:
        made = self.api.post(
            "/documents", {"dataset_id": self.dataset["id"], "title": "Hoses", **body}
        )
        self.story.index()
        return made

    def read(self, document: Any) -> Any:
        return self.api.get(f"/documents/{document['id']}")

    def upload(self, document: Any, content: bytes | None, content_type: str) -> Any:
        """Upload a file as a client does; None: say so without having done it."""
        path = f"/documents/{document['id']}/upload"
        size = len(content or b"x")
        begun = self.api.post(path, {"content_type": content_type, "size_bytes": size})
        url = urlsplit(begun["upload_url"])
        assert "content-length" in parse_qs(url.query)["X-Amz-SignedHeaders"][0]
        key = (
            url.path.removeprefix("/documents/") if url.path.count("/documents/") > 1 else url.path
        )
        if content is not None:
            self.stored[key.lstrip("/")] = content
        made = self.api.put(path)
        self.story.index()
        return made


@pytest.fixture
def shelf(story: Story, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    return Shelf(story, monkeypatch)


def test_a_text_is_indexed_and_every_version_stays_readable(shelf: Shelf) -> None:
    made = shelf.add(text="# Hoses\n\nAN-6 fits 🏷.", tags=["an"], language="german")
    assert (made["processing_status"], made["version"], made["reason"]) == ("pending", 0, None)
    read = shelf.read(made)
    assert (read["processing_status"], read["version"]) == ("completed", 1)
    assert (read["tags"], read["language"]) == (["an"], "german")
    path = f"/documents/{made['id']}/text"
    shelf.api.put(path, {"text": "AN-8 fits.", "content_type": "text/plain"})
    assert shelf.api.get(path)["text"] == "# Hoses\n\nAN-6 fits 🏷."
    assert shelf.api.call("GET", path, query={"version": "2"}).status == 404
    shelf.story.index()
    text = shelf.api.get(path)
    assert (text["version"], text["text"], text["content_type"]) == (2, "AN-8 fits.", "text/plain")
    cited = shelf.api.get(path, version="1", start="9", characters="11")
    assert (cited["text"], cited["characters"], cited["start"]) == ("AN-6 fits 🏷", 21, 9)


def test_a_run_tells_how_far_it_has_come(shelf: Shelf) -> None:
    made = shelf.add(text="AN-6 fits.")
    run = shelf.api.get(f"/job-runs/{made['job_run_id']}")
    assert (run["type"], run["status"], run["error"]) == ("index", "succeeded", None)
    assert run["metrics"]["chunks"] == 1
    assert shelf.api.get("/job-runs", type="index", status="succeeded")["items"] == [run]
    assert shelf.api.get("/job-runs", status="failed")["items"] == []


def test_a_file_is_uploaded_and_indexed(shelf: Shelf) -> None:
    made = shelf.add()
    shelf.upload(made, b"question,answer\nWhich?,AN-6.\n", "text/csv")
    read = shelf.read(made)
    assert (read["processing_status"], read["content_type"], read["file_size"]) == (
        "completed",
        "text/csv",
        29,
    )
    assert shelf.api.get(f"/documents/{made['id']}/text")["text"] == "# Which?\n\nAN-6.\n"


def test_a_file_that_cannot_be_read_says_why(shelf: Shelf) -> None:
    made = shelf.add(text="Old.")
    shelf.upload(made, b"\x89PNG\r\n\x1a\n\0", "text/markdown")
    read = shelf.read(made)
    assert (read["processing_status"], read["reason"], read["version"]) == ("failed", "binary", 1)
    run = shelf.api.get(f"/job-runs/{read['job_run_id']}")
    assert run["status"] == "failed"
    assert run["error"].startswith("The file is not text, whatever it is called.")
    assert shelf.api.get("/documents", processing_status="failed")["items"] == [read]


def test_an_upload_that_was_forgotten_may_be_made_up_for(shelf: Shelf) -> None:
    made = shelf.add()
    assert shelf.api.call("PUT", f"/documents/{made['id']}/upload").status == 409
    shelf.upload(made, None, "text/plain")
    assert shelf.read(made)["reason"] == "gone"
    with shelf.story.path.tenant_session() as session:
        document = session.get_one(Document, (session.organization_id, UUID(made["id"])))
        shelf.stored[document.s3_key or ""] = b"Here."
    assert shelf.api.put(f"/documents/{made['id']}/upload")["processing_status"] == "pending"
    shelf.story.index()
    assert shelf.read(made)["processing_status"] == "completed"


def test_an_upload_that_is_never_finished_changes_nothing(shelf: Shelf) -> None:
    made = shelf.add(text="Old.")
    shelf.story.index()
    before = shelf.read(made)
    body = {"content_type": "text/plain", "size_bytes": 5}
    shelf.api.post(f"/documents/{made['id']}/upload", body)
    after = shelf.read(made)
    assert after["processing_status"] == "completed"
    assert after["job_run_id"] == before["job_run_id"]
    shelf.upload(made, b"New.", "text/plain")
    assert shelf.api.get(f"/documents/{made['id']}/text")["text"] == "New."
    assert shelf.api.put(f"/documents/{made['id']}/upload")["processing_status"] == "completed"


def test_a_document_may_be_indexed_again_once_it_has_a_content(shelf: Shelf) -> None:
    made = shelf.add()
    path = f"/documents/{made['id']}/indexing"
    assert shelf.api.call("POST", path).status == 409
    shelf.api.put(f"/documents/{made['id']}/text", {"text": "AN-6."})
    shelf.story.index()
    shelf.api.post(path)
    shelf.story.index()
    assert shelf.read(made)["version"] == 2


def test_a_deleted_document_is_nowhere_but_where_it_is_cited(shelf: Shelf) -> None:
    made = shelf.add(text="Old.")
    shelf.api.delete(f"/documents/{made['id']}")
    assert shelf.api.call("GET", f"/documents/{made['id']}").status == 404
    assert shelf.api.call("DELETE", f"/documents/{made['id']}").status == 404
    assert shelf.api.get("/documents", dataset_id=shelf.dataset["id"])["items"] == []
    assert shelf.api.get(f"/documents/{made['id']}/text", version="1")["text"] == "Old."


def test_what_is_there_already_conflicts_and_says_so(shelf: Shelf) -> None:
    again = shelf.api.call("POST", "/datasets", {"slug": "guides", "name": "Guides"})
    assert (again.status, again.json["dataset_id"]) == (409, shelf.dataset["id"])
    made = shelf.add(source_url="https://shop.example/a")
    again = shelf.api.call(
        "POST",
        "/documents",
        {"dataset_id": shelf.dataset["id"], "title": "x", "source_url": "https://shop.example/a"},
    )
    assert (again.status, again.json["document_id"]) == (409, made["id"])


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"title": ""}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"text": " \n"}, "text"),
        ({"text": "a\0"}, "text"),
        ({"text": "x" * 200_001}, "text"),
        ({"language": "klingon"}, "language"),
        ({"source_url": "file:///etc/passwd"}, "source_url"),
        ({"content_type": "application/pdf"}, "content_type"),
        ({"tags": ["x"] * 21}, "tags"),
        ({"dataset_id": "0199a000-0000-7000-8000-000000000001"}, "dataset_id"),
    ],
)
def test_a_wrong_document_is_refused(shelf: Shelf, body: Any, where: str) -> None:
    given = {"dataset_id": shelf.dataset["id"], "title": "Hoses", **body}
    assert shelf.api.call("POST", "/documents", given).wrong == {where}


def test_a_claim_of_a_gigabyte_is_refused(shelf: Shelf) -> None:
    made = shelf.add()
    body = {"content_type": "text/plain", "size_bytes": 2**30}
    answer = shelf.api.call("POST", f"/documents/{made['id']}/upload", body)
    assert answer.wrong == {"size_bytes"}


def test_pages_of_documents(shelf: Shelf, api: Api) -> None:
    made = [shelf.add(title=f"No {n}")["id"] for n in range(3)]
    first = api.get("/documents", dataset_id=shelf.dataset["id"], limit="2")
    rest = api.get(
        "/documents", dataset_id=shelf.dataset["id"], limit="2", cursor=first["next_cursor"]
    )
    assert [each["id"] for each in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None


def test_a_source_is_spelt_as_crawls_spell_it(shelf: Shelf) -> None:
    made = shelf.add(source_url="http://Shop.example:80/a/../b?utm_source=mail&id=7#top")
    assert made["source_url"] == "http://shop.example/b?id=7"
    body = {"dataset_id": shelf.dataset["id"], "title": "B", "source_url": made["source_url"]}
    again = shelf.api.call("POST", "/documents", body)
    assert (again.status, again.json["document_id"]) == (409, made["id"])


@pytest.mark.parametrize(
    "source_url",
    ["http://user:secret@shop.example/", "https://shop.example/" + "言" * 1900, "http://", "a"],
    ids=["user", "long once encoded", "no host", "no address"],
)
def test_a_source_that_is_no_address_is_refused(shelf: Shelf, source_url: str) -> None:
    body = {"dataset_id": shelf.dataset["id"], "title": "B", "source_url": source_url}
    answer = shelf.api.call("POST", "/documents", body)
    assert (answer.status, answer.json["errors"][0]["where"]) == (422, "source_url")


def test_a_version_beyond_all_numbers_is_refused(shelf: Shelf) -> None:
    made = shelf.add(text="Old.")
    path = f"/documents/{made['id']}/text?version=99999999999999999999"
    assert shelf.api.call("GET", path).status == 422


def test_two_documents_of_one_source_at_once_are_one(
    shelf: Shelf, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other is committed between whatever this one asks first and its own row."""
    other = Database(engine(database.url("app_rw")))
    source_url, new_id = "https://shop.example/at-once", ids.new_id

    def after_another() -> UUID:
        monkeypatch.setattr(documents, "new_id", new_id)
        with other.tenant(shelf.story.tenant.organization_id) as session:
            dataset_id = UUID(shelf.dataset["id"])
            documents.add(session, SYSTEM, dataset_id, "B", clock.now(), source_url=source_url)
        return new_id()

    monkeypatch.setattr(documents, "new_id", after_another)
    body = {"dataset_id": shelf.dataset["id"], "title": "B", "source_url": source_url}
    assert shelf.api.call("POST", "/documents", body).status == 409
    other.engine.dispose()
