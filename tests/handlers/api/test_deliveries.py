"""Deliveries that failed or may have arrived, and the person who settles them."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from countersign.channels import sending
from countersign.channels.messages import Accepted
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story, issue


@pytest.fixture
def delivery_id(story: Story) -> str:
    """A delivery of which nobody knows whether it arrived."""
    _, made = story.approved()
    story.path.sent.take("outbound")
    story.becomes(made["delivery_id"], "unknown", provider_message_id="old", reason="No answer")
    return str(made["delivery_id"])


@pytest.mark.parametrize(("outcome", "waits"), [("sent", False), ("failed", True)])
def test_what_a_person_found_out_is_taken_down(
    story: Story, api: Api, delivery_id: str, outcome: str, waits: bool
) -> None:
    with story.path.tenant_session() as session:
        session.execute(text("UPDATE conversations SET waiting_since = now()"))
    settled = api.post(f"/deliveries/{delivery_id}/resolution", {"outcome": outcome})
    assert (settled["id"], settled["status"]) == (delivery_id, outcome)
    assert bool(settled["sent_at"]) is (outcome == "sent")
    assert len(api.get("/feed")["items"]) == waits
    event = story.events()[-1]
    assert (event["type"], event["data"]["outcome"]) == ("delivery.resolved", outcome)
    assert event["actor"]["type"] == "user"


@pytest.mark.parametrize("status", ["unknown", "failed"])
def test_it_is_sent_again_if_a_person_says_so(
    story: Story, api: Api, delivery_id: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.becomes(delivery_id, status)
    settled = api.post(f"/deliveries/{delivery_id}/resolution", {"outcome": "resend"})
    assert settled["status"] == "queued"
    assert api.get("/feed")["items"] == []
    monkeypatch.setattr(sending, "send", lambda claim, settings: Accepted("new"))
    assert story.path.send() == ["sent"]
    conversation_id = story.events()[0]["stream_id"]
    message = story.messages(conversation_id)[-1]
    assert message["delivery"]["provider_message_id"] == "new"


@pytest.mark.parametrize("status", ["queued", "sending", "sent", "delivered", "cancelled"])
def test_there_is_nothing_to_settle_otherwise(
    story: Story, api: Api, delivery_id: str, status: str
) -> None:
    story.becomes(delivery_id, status)
    answer = api.call("POST", f"/deliveries/{delivery_id}/resolution", {"outcome": "sent"})
    assert (answer.status, answer.problem) == (409, "conflict")


def test_only_a_person_may_settle(database: TestDatabase, story: Story, delivery_id: str) -> None:
    program = Api(issue(database, story.tenant, "conversations:write"))
    answer = program.call("POST", f"/deliveries/{delivery_id}/resolution", {"outcome": "sent"})
    assert (answer.status, answer.problem) == (403, "forbidden")


@pytest.mark.usefixtures("delivery_id")
def test_what_does_not_exist_is_not_found_among_what_does(api: Api) -> None:
    path = "/deliveries/018f0000-0000-7000-8000-000000000000/resolution"
    answer = api.call("POST", path, {"outcome": "sent"})
    assert (answer.status, answer.problem) == (404, "not-found")
    assert "delivery" in answer.json["detail"]
