"""Files that a person uploads, and mails that take them along."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from sqlalchemy import update

from countersign.channels.messages import Accepted
from countersign.channels.providers import ses
from countersign.channels.tables import Channel, Delivery
from countersign.conversations import uploads
from countersign.conversations.tables import Message
from countersign.conversations.uploads import take_in
from countersign.mail import reading
from countersign.platform import secrets, storage
from countersign.platform.errors import NotFound, Unavailable
from countersign.platform.ids import new_id
from tests import world
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story, issue
from tests.mailbox import Mailbox

PDF = b"%PDF-1.7\n"
FILE = {"file_name": "Größe.pdf", "mime_type": "application/pdf", "size_bytes": len(PDF)}


class Files:
    """Uploads of the story's agent, with their storage and their worker."""

    def __init__(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        self.story, self.api = story, story.api
        self.stored: dict[str, bytes] = {}
        monkeypatch.setattr(storage, "get", self._get)
        monkeypatch.setattr(storage, "put", lambda _, key, raw: self.stored.update({key: raw}))

    def _get(self, bucket: str, key: str) -> bytes:
        if key not in self.stored:
            raise NotFound
        return self.stored[key]

    def fail(self, bucket: str, key: str) -> bytes:
        raise Unavailable

    def begun(self, **other: Any) -> Any:
        return self.api.post("/attachments", FILE | other)

    def put(self, begun: Any, content: bytes = PDF) -> None:
        key = urlsplit(begun["upload_url"]).path.partition("uploads/")
        self.stored["".join(key[1:])] = content

    def work(self) -> None:
        for body in self.story.path.sent.take("attachments"):
            ids = UUID(body["organization_id"]), UUID(body["attachment_id"])
            take_in(self.story.path.outbox, "messages", *ids)

    def taken_in(self, **other: Any) -> str:
        begun = self.begun(**other)
        self.put(begun)
        self.api.put(f"/attachments/{begun['id']}/upload")
        self.work()
        return str(begun["id"])

    def approval(self, *ids: str) -> Any:
        """The answer to an approval of a draft on a new message that takes these along."""
        self.story.path.draft()
        (item,) = (item for item in self.api.get("/feed")["items"] if item["draft"])
        path = f"/drafts/{item['draft']['id']}"
        seen = self.api.get(path)["revision_token"]
        body = {"revision_token": seen, "attachment_ids": list(ids)}
        return self.api.call("POST", f"{path}/approval", body)


@pytest.fixture
def mailbox(story: Story, monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    return Mailbox(story.path, monkeypatch)


@pytest.fixture
def files(story: Story, monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(story, monkeypatch)


def test_a_file_is_uploaded_in_three_steps(files: Files, api: Api) -> None:
    begun = files.begun()
    url = urlsplit(begun["upload_url"])
    asked = parse_qs(url.query)
    assert asked["X-Amz-Expires"] == ["900"]
    assert "content-length" in asked["X-Amz-SignedHeaders"][0].split(";")
    files.put(begun)
    ended = api.put(f"/attachments/{begun['id']}/upload")
    assert (ended["status"], ended["sha256"]) == ("pending", None)
    files.work()
    shown = api.get(f"/attachments/{begun['id']}")
    assert (shown["status"], shown["message_id"]) == ("completed", None)
    assert (shown["file_name"], shown["size_bytes"]) == ("Größe.pdf", len(PDF))
    assert files.stored[f"files/{files.story.tenant.organization_id}/{shown['sha256']}"] == PDF


def test_what_was_not_sent_is_gone_and_may_be_sent_yet(files: Files, api: Api) -> None:
    begun = files.begun()
    path = f"/attachments/{begun['id']}"
    api.put(f"{path}/upload")
    files.work()
    assert (api.get(path)["status"], api.get(path)["reason"]) == ("failed", "gone")
    files.put(begun)
    assert api.put(f"{path}/upload")["status"] == "pending"
    files.work()
    assert (api.get(path)["status"], api.get(path)["reason"]) == ("completed", None)


def test_to_say_it_again_changes_nothing(files: Files, api: Api) -> None:
    id_ = files.taken_in()
    files.stored.clear()
    assert api.put(f"/attachments/{id_}/upload")["status"] == "completed"
    assert files.story.path.sent.take("attachments") == []


def test_storage_that_does_not_answer_leaves_it_to_another_time(
    files: Files, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = files.begun()
    files.put(begun)
    api.put(f"/attachments/{begun['id']}/upload")
    (body,) = files.story.path.sent.sent["attachments"]
    with monkeypatch.context() as patch:
        patch.setattr(storage, "get", files.fail)
        with pytest.raises(Unavailable):
            files.work()
    files.story.path.sent.sent["attachments"] = [body]
    files.work()
    assert api.get(f"/attachments/{begun['id']}")["status"] == "completed"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"file_name": "../../etc/passwd"}, "file_name"),
        ({"file_name": "gpj.\u202eexe"}, "file_name"),
        ({"file_name": ""}, "file_name"),
        ({"file_name": "a\r\nb"}, "file_name"),
        ({"mime_type": "text/html; charset=utf-8"}, "mime_type"),
        ({"mime_type": "pdf"}, "mime_type"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": uploads.MOST_BYTES + 1}, "size_bytes"),
    ],
)
def test_what_cannot_go_along_is_not_begun(api: Api, change: Any, where: str) -> None:
    assert api.call("POST", "/attachments", FILE | change).wrong == {where}


def test_only_a_person_uploads(database: TestDatabase, story: Story) -> None:
    program = Api(issue(database, story.tenant, "conversations:write"))
    assert program.call("POST", "/attachments", FILE).status == 403


def test_a_file_of_a_message_is_no_upload(story: Story, api: Api) -> None:
    message_id = story.drafted()["latest_inbound_message"]["id"]
    id_ = story.attached(message_id, status="pending")
    assert api.call("PUT", f"/attachments/{id_}/upload").status == 404


def test_a_mail_takes_files_along(
    files: Files, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox.gets()
    ids = [files.taken_in(), files.taken_in(file_name="b.pdf")]
    made = files.approval(*ids).json
    _, message = files.story.messages(str(mailbox.one(Delivery).conversation_id))
    assert [file["file_name"] for file in message["attachments"]] == ["Größe.pdf", "b.pdf"]
    assert {file["status"] for file in message["attachments"]} == {"completed"}
    recorded = files.story.events()[-1]["data"]["attachments"]
    assert [file["size_bytes"] for file in recorded] == [len(PDF)] * 2
    assert [file["attachment_id"] for file in recorded] == [
        file["id"] for file in message["attachments"]
    ]
    raw = sent_by_ses(mailbox, files, monkeypatch)
    assert [content for _, content in reading.contents(raw)] == [PDF, PDF]
    assert [part.file_name for part in reading.read(raw).parts] == ["Größe.pdf", "b.pdf"]
    assert made["message_id"] == message["id"]


def sent_by_ses(mailbox: Mailbox, files: Files, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The bytes of the one mail that is queued, as SES gets them."""
    taken: list[bytes] = []

    def call(region: str | None, request: Any) -> Any:
        taken.append(request["Content"]["Raw"]["Data"])
        return Accepted("1")

    monkeypatch.setattr(ses, "_call", call)
    with mailbox.path.tenant_session() as session:
        session.execute(update(Channel).values(provider="ses"))
    monkeypatch.setattr(secrets, "secret_json", lambda *_: {"configuration_set": "x"})
    monkeypatch.setattr(secrets, "secret", lambda _: secrets.Secret("key"))
    mailbox.now += timedelta(minutes=1)
    assert files.story.path.send() == ["sent"]
    return taken[0]


def test_an_upload_may_go_with_several_messages(files: Files, mailbox: Mailbox) -> None:
    id_ = files.taken_in()
    for _ in range(2):
        mailbox.gets()
        assert files.approval(id_).status == 201


@pytest.mark.parametrize("kind", ["unknown", "of another", "of a message"])
def test_what_is_no_upload_does_not_go_along(
    kind: str, database: TestDatabase, files: Files, mailbox: Mailbox
) -> None:
    mailbox.gets()
    if kind == "unknown":
        id_ = str(new_id())
    elif kind == "of a message":
        id_ = files.story.attached(str(mailbox.one(Message).id))
    else:
        foreign = world.add_tenant(database, "foreign")
        id_ = Api(foreign.key).post("/attachments", FILE)["id"]
    good = files.taken_in()
    assert files.approval(good, id_).wrong == {"attachment_ids.1"}


def test_what_is_not_there_yet_does_not_go_along(files: Files, mailbox: Mailbox) -> None:
    mailbox.gets()
    id_ = files.begun()["id"]
    answer = files.approval(id_)
    assert (answer.status, answer.json["attachment_ids"]) == (409, [id_])


def test_files_go_once_and_are_not_too_large_together(
    files: Files, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox.gets()
    id_, other = files.taken_in(), files.taken_in()
    assert files.approval(id_, id_).wrong == {"attachment_ids"}
    monkeypatch.setattr(uploads, "MOST_BYTES", 2 * len(PDF) - 1)
    assert files.approval(id_, other).wrong == {"attachment_ids"}
    assert files.approval(id_).status == 201


def test_only_mails_take_files_along(files: Files, story: Story) -> None:
    story.ada_writes()
    assert files.approval(files.taken_in()).wrong == {"attachment_ids"}


def test_a_message_of_ones_own_takes_files_along(files: Files, mailbox: Mailbox) -> None:
    conversation_id = mailbox.gets()
    body = {"text": "See this.", "attachment_ids": [files.taken_in()]}
    files.api.post(f"/conversations/{conversation_id}/messages", body)
    *_, message = files.story.messages(str(conversation_id))
    assert [file["file_name"] for file in message["attachments"]] == ["Größe.pdf"]
