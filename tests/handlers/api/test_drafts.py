"""Drafts: read, claimed, countersigned, rejected, and all of that taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from countersign.channels.tables import Delivery
from countersign.conversations.tables import Conversation, Message
from countersign.drafting.approvals import CLAIM
from countersign.drafting.diff import apply
from countersign.drafting.tables import Draft, DraftAction, LearningSample
from countersign.identity.api_keys import SCOPES
from countersign.knowledge.tables import Document
from countersign.people import directory
from countersign.platform import clock
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story, add_member, by_sms, issue

NOBODY = "018f0000-0000-7000-8000-000000000000"


@pytest.fixture
def draft_id(story: Story) -> str:
    """A pending draft."""
    return str(story.drafted()["draft"]["id"])


@pytest.fixture
def token(api: Api, draft_id: str) -> str:
    return str(api.get(f"/drafts/{draft_id}")["revision_token"])


@pytest.fixture
def bob(database: TestDatabase, story: Story) -> Api:
    """The API as a colleague sees it."""
    user_id = add_member(database, story.tenant, "Bob")
    return Api(issue(database, story.tenant, *SCOPES, user_id=user_id))


def test_a_draft_shows_all_that_a_person_needs(story: Story, api: Api, draft_id: str) -> None:
    draft = api.get(f"/drafts/{draft_id}")
    (source,) = draft["sources"]
    assert draft["text"] == "Hello! Returns are free for 30 days."
    assert (draft["status"], draft["revision"], draft["html"]) == ("pending", 1, None)
    assert source["quote"] == "Returns are free for 30 days"
    assert source["span"] == [0, len(source["quote"])]
    assert (source["title"], source["document_version"]) == ("Article 0", 1)
    assert draft["recipients"] == {
        "to": [{"name": "Ada", "address": "ada@example.com"}],
        "cc": [],
        "added": [],
        "left_out": [],
    }
    assert (draft["claim"], draft["actions"]) == (None, [])
    assert (draft["model_key"], draft["prompt_version"]) == ("openai/quoter", "reply-1")
    assert datetime.fromisoformat(draft["created_at"]).utcoffset() == timedelta(0)
    assert draft["created_at"].endswith("Z")


def test_approving_sends_the_draft_as_it_stands(
    story: Story, api: Api, draft_id: str, token: str
) -> None:
    before = datetime.now(UTC)
    made = api.post(f"/drafts/{draft_id}/approval", {"revision_token": token, "notes": "Fine."})
    assert made["type"] == "approve"
    assert datetime.fromisoformat(made["undo_until"]) >= before + timedelta(seconds=10)
    draft = api.get(f"/drafts/{draft_id}")
    (action,) = draft["actions"]
    assert (draft["status"], draft["revision_token"]) == ("sent", None)
    assert action["user"] == {"id": str(story.tenant.user_id), "name": "Agent"}
    assert (action["final_text"], action["notes"]) == (draft["text"], "Fine.")
    assert action["diff"] == [["=", len(draft["text"])]]
    assert action["message_id"] == made["message_id"]
    assert [body["delivery_id"] for body in story.path.sent.take("outbound")] == [
        made["delivery_id"]
    ]


def test_approving_records_the_person_and_the_key(
    story: Story, api: Api, draft_id: str, token: str
) -> None:
    api.post(f"/drafts/{draft_id}/approval", {"revision_token": token})
    event = story.events()[-1]
    assert event["type"] == "draft.approved"
    assert event["actor"] == {"type": "user", "id": str(story.tenant.user_id)}
    assert event["data"]["api_key_id"] == str(story.tenant.principal.api_key_id)


def test_approving_with_a_text_of_ones_own_says_what_was_changed(
    api: Api, draft_id: str, token: str
) -> None:
    final = "Hello Ada! Returns are free for 30 days. 🙂"
    body = {"revision_token": token, "final_text": final}
    assert api.post(f"/drafts/{draft_id}/approval", body)["type"] == "edit"
    draft = api.get(f"/drafts/{draft_id}")
    (action,) = draft["actions"]
    assert (action["type"], action["final_text"]) == ("edit", final)
    assert apply(draft["text"], action["diff"]) == final


def test_a_difference_of_very_many_parts_is_told_as_one(story: Story, api: Api) -> None:
    draft_id = story.drafted()["draft"]["id"]
    text = "a b c d " * 2000
    with story.path.tenant_session() as session:
        session.execute(update(Draft).values(suggested_text=text))
    token = api.get(f"/drafts/{draft_id}")["revision_token"]
    final = "a b c 😀 " * 2000
    api.post(f"/drafts/{draft_id}/approval", {"revision_token": token, "final_text": final})
    (action,) = api.get(f"/drafts/{draft_id}")["actions"]
    assert apply(text, action["diff"]) == final
    assert len(action["diff"]) == 2


def test_the_longest_text_of_the_widest_characters_can_be_sent(
    api: Api, draft_id: str, token: str
) -> None:
    body = {"revision_token": token, "final_text": "😀" * 16_000}
    api.post(f"/drafts/{draft_id}/approval", body)
    (action,) = api.get(f"/drafts/{draft_id}")["actions"]
    assert len(action["final_text"]) == 16_000


def test_a_text_longer_than_its_channel_takes_is_refused_before_it_is_approved(
    database: TestDatabase, story: Story, api: Api, draft_id: str, token: str
) -> None:
    by_sms(database)
    path, body = f"/drafts/{draft_id}/approval", {"revision_token": token}
    answer = api.call("POST", path, {**body, "final_text": "x" * 1601})
    assert answer.wrong == {"final_text"}
    assert "1600" in answer.json["detail"]
    with story.path.tenant_session() as session:
        session.execute(update(Draft).values(suggested_text="x" * 1601))
    body["revision_token"] = api.get(f"/drafts/{draft_id}")["revision_token"]
    assert api.call("POST", path, body).wrong == {"final_text"}
    assert story.path.count(Delivery) == 0
    assert api.post(path, {**body, "final_text": "x" * 1600})["type"] == "edit"


def test_a_newer_message_makes_an_approval_stale(
    story: Story, api: Api, draft_id: str, token: str
) -> None:
    story.ada_writes("And the box?")
    answer = api.call("POST", f"/drafts/{draft_id}/approval", {"revision_token": token})
    assert (answer.status, answer.problem) == (409, "stale")
    assert answer.json["changed"] == ["last_message"]
    assert story.path.count(DraftAction) == 0


def test_changed_text_recipients_and_sources_make_an_approval_stale(
    story: Story, api: Api, draft_id: str, token: str
) -> None:
    with story.path.tenant_session() as session:
        session.execute(update(Draft).values(suggested_text="Other words."))
        session.execute(update(Document).values(version=2))
        session.execute(update(Conversation).values(customer_address="eve@example.com"))
    answer = api.call("POST", f"/drafts/{draft_id}/approval", {"revision_token": token})
    assert answer.problem == "stale"
    assert answer.json["changed"] == ["text", "recipients", "sources"]
    recipients = api.get(f"/drafts/{draft_id}")["recipients"]
    assert recipients["to"] == [{"name": "Ada", "address": "eve@example.com"}]


def test_a_token_of_ones_own_making_is_refused(api: Api, draft_id: str) -> None:
    for made_up in ("x", "e30=", "ÿ", "W10=", "IiI="):
        answer = api.call("POST", f"/drafts/{draft_id}/approval", {"revision_token": made_up})
        assert (answer.status, answer.problem) == (422, "invalid")


def test_a_draft_is_decided_on_once(story: Story, api: Api, draft_id: str, token: str) -> None:
    api.post(f"/drafts/{draft_id}/approval", {"revision_token": token})
    for path, body in (
        ("approval", {"revision_token": token}),
        ("rejection", {"reason_code": "other"}),
    ):
        answer = api.call("POST", f"/drafts/{draft_id}/{path}", body)
        assert (answer.status, answer.problem) == (409, "conflict")
        assert answer.json["draft_status"] == "sent"
    assert api.call("PUT", f"/drafts/{draft_id}/claim").problem == "conflict"
    assert story.path.count(Delivery) == 1


def test_who_must_not_be_written_to_is_not(
    story: Story, api: Api, draft_id: str, token: str
) -> None:
    with story.path.tenant_session() as session:
        directory.suppress(session, "ada@example.com", "opted_out")
    answer = api.call("POST", f"/drafts/{draft_id}/approval", {"revision_token": token})
    assert answer.problem == "conflict"
    assert story.path.count(Message) == 1


def test_an_approval_can_be_undone_and_done_again(
    story: Story, api: Api, draft_id: str, token: str
) -> None:
    made = api.post(f"/drafts/{draft_id}/approval", {"revision_token": token})
    assert api.get("/feed")["items"] == []
    undone = api.delete(f"/drafts/{draft_id}/approval")
    assert undone == {"draft_id": draft_id, "status": "pending"}
    assert story.path.count(LearningSample) == 0
    assert story.path.count(Delivery, status="cancelled") == 1
    (item,) = api.get("/feed")["items"]
    assert item["draft"]["id"] == draft_id
    draft = api.get(f"/drafts/{draft_id}")
    assert draft["revision_token"] == token
    assert draft["actions"][0]["revoked_at"]
    message = story.messages(draft["conversation_id"])[-1]
    assert message["id"] == made["message_id"]
    assert message["cancelled_at"]
    assert message["delivery"]["status"] == "cancelled"
    assert story.path.send() == [None]
    again = api.post(f"/drafts/{draft_id}/approval", {"revision_token": token})
    assert again["action_id"] != made["action_id"]


def test_taking_back_a_decision_by_its_id_may_be_repeated(
    story: Story, api: Api, draft_id: str, token: str
) -> None:
    """A repeat takes back no later decision, and tells how things stand."""
    path = f"/drafts/{draft_id}"
    first = api.post(f"{path}/approval", {"revision_token": token})["action_id"]
    assert api.delete(f"{path}/approval?action_id={first}")["status"] == "pending"
    events = story.types()
    assert api.delete(f"{path}/approval?action_id={first}")["status"] == "pending"
    assert story.types() == events
    second = api.post(f"{path}/approval", {"revision_token": token})["action_id"]
    assert api.delete(f"{path}/approval?action_id={first}")["status"] == "sent"
    assert api.delete(f"{path}/approval?action_id={second}")["status"] == "pending"
    third = api.post(f"{path}/rejection", {"reason_code": "other"})["action_id"]
    for wrong in (f"approval?action_id={third}", f"rejection?action_id={first}"):
        assert api.call("DELETE", f"{path}/{wrong}").problem == "conflict"
    for _ in range(2):
        assert api.delete(f"{path}/rejection?action_id={third}")["status"] == "pending"
    assert api.call("DELETE", f"{path}/approval?action_id=x").wrong == {"query.action_id"}
    assert api.call("DELETE", f"{path}/approval").problem == "conflict"


def test_what_was_handed_over_cannot_be_undone(story: Story, api: Api) -> None:
    draft_id, made = story.approved()
    for status in ("sending", "sent", "delivered", "unknown", "failed"):
        story.becomes(made["delivery_id"], status)
        answer = api.call("DELETE", f"/drafts/{draft_id}/approval")
        assert (answer.status, answer.problem) == (409, "conflict")
        assert status in answer.json["detail"]
    assert api.get(f"/drafts/{draft_id}")["status"] == "sent"


def test_undoing_what_was_overtaken_leaves_it_superseded(story: Story, api: Api) -> None:
    draft_id, _ = story.approved()
    with story.path.tenant_session() as session:
        conversation_id = session.query(Conversation.id).scalar()
    api.post(f"/conversations/{conversation_id}/messages", {"text": "By the way …"})
    assert api.delete(f"/drafts/{draft_id}/approval")["status"] == "superseded"
    assert api.get("/feed")["items"] == [], "the later message of ours has answered"


def test_a_rejection_archives_the_draft_and_can_be_undone(
    story: Story, api: Api, draft_id: str, token: str
) -> None:
    body = {"reason_code": "wrong_facts", "notes": "Sixty days now."}
    rejection = api.post(f"/drafts/{draft_id}/rejection", body)
    assert rejection["reason_code"] == "wrong_facts"
    draft = api.get(f"/drafts/{draft_id}")
    assert draft["status"] == "archived"
    assert draft["actions"][0]["notes"] == "Sixty days now."
    (item,) = api.get("/feed")["items"]
    assert (item["draft"], item["request"]["status"]) == (None, "drafted")
    assert api.call("DELETE", f"/drafts/{draft_id}/approval").problem == "conflict"
    assert api.delete(f"/drafts/{draft_id}/rejection")["status"] == "pending"
    api.post(f"/drafts/{draft_id}/approval", {"revision_token": token})
    assert api.call("DELETE", f"/drafts/{draft_id}/rejection").problem == "conflict"
    assert story.types()[2:] == ["draft.rejected", "draft.undone", "draft.approved"]


def test_undoing_a_rejection_after_an_answer_of_ones_own(
    story: Story, api: Api, draft_id: str
) -> None:
    api.post(f"/drafts/{draft_id}/rejection", {"reason_code": "not_needed"})
    conversation_id = api.get(f"/drafts/{draft_id}")["conversation_id"]
    api.post(f"/conversations/{conversation_id}/messages", {"text": "Call me."})
    assert api.delete(f"/drafts/{draft_id}/rejection")["status"] == "superseded"


def test_undoing_a_rejection_after_a_newer_draft(story: Story, api: Api, draft_id: str) -> None:
    api.post(f"/drafts/{draft_id}/rejection", {"reason_code": "incomplete"})
    conversation_id = api.get(f"/drafts/{draft_id}")["conversation_id"]
    api.post(f"/conversations/{conversation_id}/draft-requests")
    story.path.draft()
    assert api.delete(f"/drafts/{draft_id}/rejection")["status"] == "superseded"
    (item,) = api.get("/feed")["items"]
    assert item["draft"]["revision"] == 2


def test_a_claim_keeps_others_away_until_it_is_given_up(
    story: Story, api: Api, bob: Api, draft_id: str, token: str
) -> None:
    claim = api.put(f"/drafts/{draft_id}/claim")
    assert claim["user"]["name"] == "Agent"
    assert api.put(f"/drafts/{draft_id}/claim")["expires_at"] >= claim["expires_at"]
    (item,) = bob.get("/feed")["items"]
    assert item["draft"]["claim"]["user"]["name"] == "Agent"
    assert bob.get(f"/drafts/{draft_id}")["claim"]["user"] == claim["user"]
    for method, path, body in (
        ("PUT", "claim", None),
        ("POST", "approval", {"revision_token": token}),
        ("POST", "rejection", {"reason_code": "other"}),
    ):
        answer = bob.call(method, f"/drafts/{draft_id}/{path}", body)
        assert (answer.status, answer.problem) == (409, "conflict")
        assert answer.json["claimed_by"] == str(story.tenant.user_id)
        assert datetime.fromisoformat(answer.json["claimed_until"])
    bob.delete(f"/drafts/{draft_id}/claim")
    assert bob.call("PUT", f"/drafts/{draft_id}/claim").problem == "conflict", "it is not Bob's"
    assert api.delete(f"/drafts/{draft_id}/claim") is None
    assert bob.put(f"/drafts/{draft_id}/claim")["user"]["name"] == "Bob"
    assert story.types()[2:] == ["draft.claimed", "draft.released", "draft.claimed"]


def test_a_claim_ends_by_itself(
    story: Story, api: Api, bob: Api, draft_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(f"/drafts/{draft_id}/claim")
    later = datetime.now(UTC) + CLAIM + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert api.get(f"/drafts/{draft_id}")["claim"] is None
    assert api.get("/feed")["items"][0]["draft"]["claim"] is None
    assert bob.put(f"/drafts/{draft_id}/claim")["user"]["name"] == "Bob"


def test_what_does_not_exist_is_not_found(api: Api, token: str) -> None:
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "/claim", None),
        ("DELETE", "/claim", None),
        ("POST", "/approval", {"revision_token": token}),
        ("DELETE", "/approval", None),
        ("POST", "/rejection", {"reason_code": "other"}),
        ("DELETE", "/rejection", None),
    ):
        answer = api.call(method, f"/drafts/{NOBODY}{path}", body)
        assert (answer.status, answer.problem) == (404, "not-found")
