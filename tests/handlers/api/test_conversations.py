"""Conversations: their timeline and record; written in, closed, snoozed, drafted for anew."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path as File
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from countersign.channels.tables import Delivery
from countersign.conversations.tables import Message
from countersign.drafting.requests import LEASE
from countersign.drafting.tables import Draft, DraftRequest
from countersign.mail import html as mail_html
from countersign.people import directory
from countersign.platform import audit, clock, verify
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story, by_sms, issue
from tests.world import QuotingChat

NOBODY = "018f0000-0000-7000-8000-000000000000"
LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.fixture
def conversation_id(story: Story) -> str:
    """A conversation with a pending draft."""
    return str(story.drafted()["conversation"]["id"])


@pytest.fixture
def program(database: TestDatabase, story: Story) -> Api:
    """The API as a program without a person sees it."""
    return Api(issue(database, story.tenant, "conversations:read", "conversations:write"))


def test_a_timeline_tells_messages_and_decisions_in_order(story: Story, api: Api) -> None:
    draft_id, made = story.approved(final_text="Yes, for 30 days.", notes="Shorter.")
    conversation_id = api.get(f"/drafts/{draft_id}")["conversation_id"]
    story.ada_writes("Thank you!")
    timeline = api.get(f"/conversations/{conversation_id}")
    assert timeline["conversation"]["id"] == conversation_id
    assert timeline["next_cursor"] is None
    kinds = [item["type"] for item in timeline["items"]]
    assert kinds.count("message") == 3
    (action,) = [item["action"] for item in timeline["items"] if item["type"] == "action"]
    question, reply = [item["message"] for item in timeline["items"] if item["type"] == "message"][
        :2
    ]
    assert (question["direction"], question["author"], question["delivery"]) == (
        "inbound",
        None,
        None,
    )
    assert (reply["direction"], reply["text"]) == ("outbound", "Yes, for 30 days.")
    assert reply["author"]["name"] == "Agent"
    assert reply["delivery"]["id"] == made["delivery_id"]
    assert reply["delivery"]["status"] == "cancelled", "Ada wrote within the undo window"
    assert reply["cancelled_at"]
    assert (action["type"], action["message_id"]) == ("edit", reply["id"])
    assert (action["draft_id"], action["notes"]) == (draft_id, "Shorter.")
    assert action["revoked_at"]


def test_a_timeline_is_read_from_either_end_page_by_page(story: Story, api: Api) -> None:
    batch = [story.tenant.webhook(f"Message {n}", message_id=f"m{n}") for n in range(5)]
    assert story.path.receive(*batch) == [], "in one transaction, so at one moment"
    conversation_id = api.get("/feed")["items"][0]["conversation"]["id"]
    path = f"/conversations/{conversation_id}"
    ids = {
        order: [item["message"]["id"] for item in api.get(path, order=order)["items"]]
        for order in ("asc", "desc")
    }
    texts = [message["text"] for message in story.messages(conversation_id)]
    assert texts == [f"Message {number}" for number in range(5)]
    assert ids["desc"] == ids["asc"][::-1]
    assert len(set(ids["asc"])) == 5
    for order in ("asc", "desc"):
        seen, page = [], api.get(path, order=order, limit="2")
        while True:
            seen += [item["message"]["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            page = api.get(path, order=order, limit="2", cursor=page["next_cursor"])
        assert seen == ids[order]
    assert api.call("GET", path, query={"order": "up"}).wrong == {"query.order"}
    assert api.call("GET", path, query={"cursor": "up"}).wrong == {"query.cursor"}


def test_a_page_of_a_timeline_may_hold_one_kind_alone(story: Story, api: Api) -> None:
    draft_id, _ = story.approved()
    path = f"/conversations/{api.get(f'/drafts/{draft_id}')['conversation_id']}"
    kinds, page = [], api.get(path, limit="1")
    while True:
        kinds += [item["type"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        page = api.get(path, limit="1", cursor=page["next_cursor"])
    assert kinds == ["message", "message", "action"]


def test_a_timeline_shows_attachments(story: Story, api: Api, conversation_id: str) -> None:
    (message,) = story.messages(conversation_id)
    story.attached(message["id"], status="pending", sha256=None, size_bytes=None)
    (message,) = story.messages(conversation_id)
    (attachment,) = message["attachments"]
    assert (attachment["file_name"], attachment["size_bytes"]) == ("photo.jpg", None)
    assert attachment["status"] == "pending"
    shown = api.get(f"/attachments/{attachment['id']}")
    where = {"message_id": message["id"], "url": None, "url_expires_at": None}
    assert shown == {**attachment, **where}


def test_a_file_can_be_had_for_five_minutes_and_is_not_shown(
    story: Story, api: Api, conversation_id: str
) -> None:
    (message,) = story.messages(conversation_id)
    file = api.get(f"/attachments/{story.attached(message['id'], file_name='Größe.svg')}")
    url = urlsplit(file["url"])
    assert url.path.endswith(f"files/{story.tenant.organization_id}/{file['sha256']}")
    asked = parse_qs(url.query)
    assert asked["X-Amz-Expires"] == ["300"]
    assert asked["response-content-disposition"] == [
        "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe.svg"
    ]
    left = datetime.fromisoformat(file["url_expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)


@pytest.mark.parametrize(
    ("content_id", "is_inline"),
    [("logo@x", True), ("a&b@x", True), ("other@x", False), ("logo", False), (None, False)],
)
def test_an_image_is_inline_where_the_html_shows_it(
    story: Story, api: Api, conversation_id: str, content_id: str | None, is_inline: bool
) -> None:
    (message,) = story.messages(conversation_id)
    html = mail_html.sanitize('<p>See <img src="cid:logo@x"> and <img src="cid:a&amp;b@x"></p>')
    with story.path.tenant_session() as session:
        key = story.tenant.organization_id, UUID(message["id"])
        session.get_one(Message, key).body_html = html
    story.attached(message["id"], content_id=content_id)
    (message,) = story.messages(conversation_id)
    assert [file["is_inline"] for file in message["attachments"]] == [is_inline]


def test_an_export_verifies_whatever_was_done(story: Story, api: Api, tmp_path: File) -> None:
    draft_id, _ = story.approved()
    conversation_id = api.get(f"/drafts/{draft_id}")["conversation_id"]
    path = f"/conversations/{conversation_id}"
    api.delete(f"/drafts/{draft_id}/approval")
    api.put(f"/drafts/{draft_id}/claim")
    api.post(f"/drafts/{draft_id}/rejection", {"reason_code": "wrong_tone"})
    api.post(f"{path}/draft-requests")
    composed = api.post(f"{path}/messages", {"text": "Ünïcödé 🙂\n\tand more"})
    api.delete(f"/messages/{composed['message_id']}")
    api.put(f"{path}/snooze", {"until": LATER})
    api.delete(f"{path}/snooze")
    api.put(f"{path}/closure")
    api.delete(f"{path}/closure")
    answer = api.call("GET", f"{path}/export")
    file = tmp_path / "timeline.json"
    file.write_text(answer.text)
    assert verify.main([str(file)]) == 0
    report = verify.verify(answer.json)
    assert (report.bodies_checked, report.bodies_not_included) == (4, 0)
    assert report.events == len(story.types())
    assert story.types() == [
        "message.received",
        "draft.created",
        "draft.approved",
        "draft.undone",
        "draft.claimed",
        "draft.rejected",
        "draft.requested",
        "message.composed",
        "message.taken_back",
        "conversation.snoozed",
        "conversation.woken",
        "conversation.closed",
        "conversation.reopened",
    ]
    changed = json.loads(answer.text)
    changed["bodies"][0]["text"] += "!"
    assert not verify.verify(changed).verified


def test_a_long_record_is_exported_page_by_page(
    story: Story, api: Api, conversation_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        api.post(f"/conversations/{conversation_id}/messages", {"text": f"Part {number}"})
    monkeypatch.setattr(audit, "PAGE_BYTES", 2_500)
    pages = [api.get(f"/conversations/{conversation_id}/export")]
    while (following := pages[-1]["next_after_seq"]) is not None:
        query = {"after_seq": str(following)}
        pages.append(api.get(f"/conversations/{conversation_id}/export", **query))
    assert len(pages) > 2
    report = verify.verify_pages(pages)
    assert report.problems == []
    assert (report.events, report.bodies_not_included) == (len(story.types()), 0)
    assert not verify.verify_pages(pages[1:]).verified


def test_every_event_of_a_request_names_who_and_by_which_key(
    story: Story, api: Api, program: Api, conversation_id: str
) -> None:
    path = f"/conversations/{conversation_id}"
    program.put(f"{path}/closure")
    api.delete(f"{path}/closure")
    closed, reopened = story.events()[-2:]
    assert closed["actor"] == {"type": "api_key", "id": closed["data"]["api_key_id"]}
    assert reopened["actor"] == {"type": "user", "id": str(story.tenant.user_id)}
    assert reopened["data"]["api_key_id"] == str(story.tenant.principal.api_key_id)


def test_a_message_of_ones_own_supersedes_what_was_pending(
    story: Story, api: Api, conversation_id: str
) -> None:
    before = datetime.now(UTC)
    made = api.post(f"/conversations/{conversation_id}/messages", {"text": "Call me."})
    after = datetime.now(UTC)
    assert story.path.count(Draft, status="superseded") == 1
    assert api.get("/feed")["items"] == []
    (body,) = story.path.sent.take("outbound")
    assert body["delivery_id"] == made["delivery_id"]
    asked_at = datetime.fromisoformat(made["undo_until"]) - timedelta(seconds=10)
    assert before <= asked_at <= after
    superseded = story.events()[-1]
    assert superseded["data"]["reason"] == "answered"
    message = story.messages(conversation_id)[-1]
    assert (message["text"], message["author"]["name"]) == ("Call me.", "Agent")


def test_a_message_of_ones_own_ends_what_is_being_drafted(story: Story, api: Api) -> None:
    story.ada_writes()
    conversation_id = api.get("/feed")["items"][0]["conversation"]["id"]
    api.post(f"/conversations/{conversation_id}/messages", {"text": "Call me."})
    story.path.draft()
    assert story.path.count(DraftRequest, status="superseded") == 1
    assert story.path.count(Draft) == 0


def test_a_message_of_ones_own_needs_a_person(
    story: Story, program: Api, conversation_id: str
) -> None:
    answer = program.call("POST", f"/conversations/{conversation_id}/messages", {"text": "Hi"})
    assert (answer.status, answer.problem) == (403, "forbidden")
    assert story.path.count(Delivery) == 0


def test_a_message_is_not_sent_past_what_its_author_saw(
    story: Story, api: Api, conversation_id: str
) -> None:
    path = f"/conversations/{conversation_id}"
    seen = api.get(path)["conversation"]["latest_message_id"]
    story.ada_writes("Never mind!")
    body = {"text": "Call me.", "after_message_id": seen}
    answer = api.call("POST", f"{path}/messages", body)
    assert (answer.status, answer.problem) == (409, "stale")
    assert answer.json["changed"] == ["last_message"]
    seen = api.get(path)["conversation"]["latest_message_id"]
    api.post(f"{path}/messages", {"text": "Call me.", "after_message_id": seen})


def test_a_message_longer_than_its_channel_takes_is_refused(
    database: TestDatabase, story: Story, api: Api, conversation_id: str
) -> None:
    by_sms(database)
    path = f"/conversations/{conversation_id}/messages"
    assert api.call("POST", path, {"text": "x" * 1601}).wrong == {"text"}
    assert story.path.count(Delivery) == 0
    api.post(path, {"text": "x" * 1600})


def test_a_message_to_who_opted_out_is_refused(
    story: Story, api: Api, conversation_id: str
) -> None:
    with story.path.tenant_session() as session:
        directory.suppress(session, "ada@example.com", "opted_out")
    answer = api.call("POST", f"/conversations/{conversation_id}/messages", {"text": "Hi"})
    assert answer.problem == "conflict"


def test_a_message_can_be_taken_back_before_it_is_handed_over(
    story: Story, api: Api, program: Api, conversation_id: str
) -> None:
    made = api.post(f"/conversations/{conversation_id}/messages", {"text": "Call me."})
    path = f"/messages/{made['message_id']}"
    assert program.call("DELETE", path).problem == "forbidden"
    message = api.delete(path)
    assert message["cancelled_at"]
    assert message["delivery"]["status"] == "cancelled"
    (item,) = api.get("/feed")["items"]
    assert item["conversation"]["latest_message_id"] == item["latest_inbound_message"]["id"]
    events = story.types()
    assert api.delete(path) == message
    assert story.types() == events
    made = api.post(f"/conversations/{conversation_id}/messages", {"text": "Call me."})
    story.becomes(made["delivery_id"], "sending")
    assert api.call("DELETE", f"/messages/{made['message_id']}").problem == "conflict"


def test_taking_back_a_follow_up_leaves_the_reply_as_the_latest(
    story: Story, api: Api, conversation_id: str
) -> None:
    path = f"/conversations/{conversation_id}"
    reply = api.post(f"{path}/messages", {"text": "Yes."})
    story.becomes(reply["delivery_id"], "delivered")
    follow_up = api.post(f"{path}/messages", {"text": "Anything else?"})
    api.delete(f"/messages/{follow_up['message_id']}")
    conversation = api.get(path)["conversation"]
    assert conversation["latest_message_id"] == reply["message_id"]
    assert conversation["waiting_since"] is None
    story.becomes(reply["delivery_id"], "failed")
    follow_up = api.post(f"{path}/messages", {"text": "Did that arrive?"})
    api.delete(f"/messages/{follow_up['message_id']}")
    assert api.get(path)["conversation"]["waiting_since"], "the reply before it failed"


def test_only_a_composed_message_of_ours_can_be_taken_back(story: Story, api: Api) -> None:
    draft_id, made = story.approved()
    answer = api.call("DELETE", f"/messages/{made['message_id']}")
    assert (answer.problem, answer.json["draft_id"]) == ("conflict", draft_id)
    question = api.get(f"/drafts/{draft_id}")["trigger_message_id"]
    assert api.call("DELETE", f"/messages/{question}").problem == "conflict"


def test_another_draft_can_be_asked_for(story: Story, api: Api, conversation_id: str) -> None:
    path = f"/conversations/{conversation_id}/draft-requests"
    request = api.post(path)
    assert (request["status"], request["revision"]) == ("waiting", 2)
    assert api.call("POST", path).problem == "conflict", "one is on its way"
    assert story.path.count(Draft, status="pending") == 1
    story.path.draft()
    assert story.path.count(Draft, status="pending") == 1
    (item,) = api.get("/feed")["items"]
    assert item["draft"]["revision"] == 2


def test_another_draft_can_be_asked_for_once_a_worker_has_been_lost(
    story: Story, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: object, *args: object, **kwargs: object) -> None:
        raise RuntimeError("A bug of ours.")

    story.ada_writes()
    conversation_id = api.get("/feed")["items"][0]["conversation"]["id"]
    lost = list(story.path.sent.sent["drafts"])
    with monkeypatch.context() as model:
        model.setattr(QuotingChat, "answer", die)
        with pytest.raises(RuntimeError):
            story.path.draft()
    path = f"/conversations/{conversation_id}/draft-requests"
    assert api.call("POST", path).problem == "conflict", "its lease lasts"
    later = datetime.now(UTC) + LEASE
    monkeypatch.setattr(clock, "now", lambda: later)
    assert api.post(path)["revision"] == 2
    story.path.sent.sent["drafts"] += lost
    story.path.draft()
    assert story.path.count(DraftRequest, status="superseded", reason="newer_revision") == 1
    assert story.path.count(Draft) == story.path.count(Draft, revision=2) == 1


def test_a_draft_is_not_asked_for_where_there_is_nothing_to_answer(
    story: Story, api: Api, conversation_id: str
) -> None:
    path = f"/conversations/{conversation_id}"
    api.put(f"{path}/closure")
    assert "closed" in api.call("POST", f"{path}/draft-requests").json["detail"]
    api.delete(f"{path}/closure")
    api.post(f"{path}/messages", {"text": "Yes."})
    answer = api.call("POST", f"{path}/draft-requests")
    assert (answer.status, answer.problem) == (409, "conflict")


def test_closing_and_reopening(story: Story, api: Api, conversation_id: str) -> None:
    path = f"/conversations/{conversation_id}/closure"
    assert api.put(path)["status"] == "closed"
    assert api.put(path)["status"] == "closed"
    assert api.get("/feed")["items"] == []
    assert api.delete(path)["status"] == "open"
    assert api.delete(path)["status"] == "open"
    assert api.get("/feed")["items"][0]["draft"]
    assert story.types()[2:] == ["conversation.closed", "conversation.reopened"]


def test_snoozing_and_waking(story: Story, api: Api, conversation_id: str) -> None:
    path = f"/conversations/{conversation_id}/snooze"
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    east = until.astimezone(tz=datetime.strptime("+0530", "%z").tzinfo)
    snoozed = api.put(path, {"until": east.isoformat()})
    assert datetime.fromisoformat(snoozed["snoozed_until"]) == until
    api.put(path, {"until": until.isoformat()})
    assert api.delete(path)["snoozed_until"] is None
    api.delete(path)
    assert story.types()[2:] == ["conversation.snoozed", "conversation.woken"]
    api.put(f"/conversations/{conversation_id}/closure")
    assert api.call("PUT", path, {"until": LATER}).problem == "conflict"


@pytest.mark.parametrize(
    "until",
    [
        "2020-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999-23:59",
        "0001-01-01T00:00:00+23:59",
        "2999-01-01T00:00:00Z",
        "2026-12-24T00:00:00",
        "tomorrow",
        1798000000,
        None,
    ],
)
def test_a_snooze_until_no_moment_to_come_is_refused(
    api: Api, conversation_id: str, until: object
) -> None:
    answer = api.call("PUT", f"/conversations/{conversation_id}/snooze", {"until": until})
    assert answer.wrong == {"until"}


@pytest.mark.usefixtures("conversation_id")
def test_what_does_not_exist_is_not_found_among_what_does(api: Api) -> None:
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/export", None),
        ("POST", "/messages", {"text": "Hi"}),
        ("POST", "/draft-requests", None),
        ("PUT", "/closure", None),
        ("DELETE", "/closure", None),
        ("PUT", "/snooze", {"until": LATER}),
        ("DELETE", "/snooze", None),
    ):
        answer = api.call(method, f"/conversations/{NOBODY}{path}", body)
        assert (answer.status, answer.problem) == (404, "not-found")
    assert api.call("DELETE", f"/messages/{NOBODY}").problem == "not-found"
