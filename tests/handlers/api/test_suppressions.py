"""Addresses that must not be written to: listed, added, lifted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from countersign.conversations.tables import Conversation
from countersign.identity.api_keys import SCOPES
from countersign.people import directory
from countersign.people.tables import Suppression
from countersign.platform.tables import AuditEvent
from tests import world
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story, issue


def suppress(story: Story, address: str, reason: str = "bounced") -> str:
    """An address that is suppressed; the suppression's id."""
    with story.path.tenant_session() as session:
        directory.suppress(session, address, reason)
    (found,) = story.api.get("/suppressions", address=address)["items"]
    return str(found["id"])


def recorded(story: Story) -> list[Any]:
    """What the organization's record tells of suppressions."""
    with story.path.tenant_session() as session:
        texts = session.scalars(
            select(AuditEvent.canonical_text)
            .where(AuditEvent.stream_id == session.organization_id)
            .order_by(AuditEvent.seq)
        ).all()
    events = [json.loads(text) for text in texts]
    return [event for event in events if event["type"].startswith("suppression.")]


def test_they_are_listed_the_newest_first_page_by_page(story: Story, api: Api) -> None:
    ids = [suppress(story, f"{n}@example.com") for n in range(5)]
    page = api.get("/suppressions", limit="2")
    assert page["items"][0]["id"] == ids[4]
    assert {**page["items"][0], "since": None} == {
        "id": ids[4],
        "address": "4@example.com",
        "reason": "bounced",
        "since": None,
    }
    assert page["items"][0]["since"].endswith("Z")
    seen = [item["id"] for item in page["items"]]
    for _ in range(2):
        page = api.get("/suppressions", limit="2", cursor=page["next_cursor"])
        seen += [item["id"] for item in page["items"]]
    assert (seen, page["next_cursor"]) == (ids[::-1], None)
    assert api.call("GET", "/suppressions", query={"cursor": "x"}).wrong == {"query.cursor"}


@pytest.mark.parametrize(
    ("suppressed", "asked"),
    [
        ("Ada@Example.com", "ada@example.COM"),
        ("+15550100001", "whatsapp:+15550100001"),
        ("whatsapp:+15550100001", "+15550100001"),
        ("psid-12", "psid-12"),
    ],
)
def test_one_is_found_by_its_address(story: Story, api: Api, suppressed: str, asked: str) -> None:
    suppress(story, "other@example.com")
    id_ = suppress(story, suppressed)
    assert [one["id"] for one in api.get("/suppressions", address=asked)["items"]] == [id_]
    assert api.get("/suppressions", address="ada")["items"] == []


def test_one_is_added_once(story: Story, api: Api) -> None:
    story.drafted()
    added = api.post("/suppressions", {"address": "Ada@example.com"})
    assert (added["address"], added["reason"]) == ("ada@example.com", "by_hand")
    assert api.post("/suppressions", {"address": "ada@EXAMPLE.com"}) == added
    assert api.get("/suppressions")["items"] == [added]
    (event,) = recorded(story)
    with story.path.tenant_session() as session:
        person = session.scalars(select(Conversation.person_id)).one()
    assert (event["type"], event["actor"]["type"]) == ("suppression.added", "user")
    assert event["data"] == {
        "suppression_id": added["id"],
        "person_id": str(person),
        "reason": "by_hand",
        "api_key_id": str(story.tenant.principal.api_key_id),
    }


def test_what_is_suppressed_keeps_its_reason(story: Story, api: Api) -> None:
    id_ = suppress(story, "ada@example.com", "complained")
    again = api.post("/suppressions", {"address": "ada@example.com"})
    assert (again["id"], again["reason"]) == (id_, "complained")
    assert recorded(story) == []


@pytest.mark.parametrize("address", ["", " ", "a b@example.com", "a\x00b", "a\n", "x" * 321, None])
def test_what_is_no_address_is_refused(story: Story, api: Api, address: Any) -> None:
    assert api.call("POST", "/suppressions", {"address": address}).wrong == {"address"}
    if address is not None:
        asked = {"address": address}
        assert api.call("GET", "/suppressions", query=asked).wrong == {"query.address"}
    assert story.path.count(Suppression) == 0


@pytest.mark.parametrize("reason", ["bounced", "complained", "unsubscribed", "by_hand"])
def test_a_person_lifts_one_and_answers_for_it(story: Story, api: Api, reason: str) -> None:
    draft = story.drafted()["draft"]
    id_, other = suppress(story, "ada@example.com", reason), suppress(story, "eve@example.com")
    body = {"revision_token": api.get(f"/drafts/{draft['id']}")["revision_token"]}
    approval = f"/drafts/{draft['id']}/approval"
    assert api.call("POST", approval, body).problem == "conflict"
    api.delete(f"/suppressions/{id_}")
    assert [one["id"] for one in api.get("/suppressions")["items"]] == [other]
    (event,) = recorded(story)
    assert event["type"] == "suppression.lifted"
    assert event["actor"] == {"type": "user", "id": str(story.tenant.user_id)}
    assert (event["data"]["suppression_id"], event["data"]["reason"]) == (id_, reason)
    assert event["data"]["person_id"]
    assert "@" not in json.dumps(event)
    api.post(approval, body)


def test_what_is_lifted_is_gone(story: Story, api: Api) -> None:
    id_ = suppress(story, "copied@example.com")
    api.delete(f"/suppressions/{id_}")
    answer = api.call("DELETE", f"/suppressions/{id_}")
    assert (answer.status, answer.problem) == (404, "not-found")
    (event,) = recorded(story)
    assert event["data"]["person_id"] is None, "nobody whom we know has that address"


def test_who_said_stop_is_written_to_again_only_if_they_say_so(story: Story, api: Api) -> None:
    id_ = suppress(story, "+15550100001", directory.OPTED_OUT)
    answer = api.call("DELETE", f"/suppressions/{id_}")
    assert (answer.status, answer.problem) == (409, "conflict")
    assert story.path.count(Suppression) == 1
    assert recorded(story) == []


def test_a_program_may_add_but_not_lift(database: TestDatabase, story: Story) -> None:
    program = Api(issue(database, story.tenant, "suppressions:read", "suppressions:write"))
    added = program.post("/suppressions", {"address": "ada@example.com"})
    answer = program.call("DELETE", f"/suppressions/{added['id']}")
    assert (answer.status, answer.problem) == (403, "forbidden")
    assert [event["actor"]["type"] for event in recorded(story)] == ["api_key"]


def test_each_organization_has_its_own(database: TestDatabase, story: Story, api: Api) -> None:
    other = world.add_tenant(database, "other")
    theirs = Api(issue(database, other, *SCOPES, user_id=other.user_id))
    first = api.post("/suppressions", {"address": "ada@example.com"})
    second = theirs.post("/suppressions", {"address": "ada@example.com"})
    assert first["id"] != second["id"]
    assert theirs.call("DELETE", f"/suppressions/{first['id']}").status == 404
    theirs.delete(f"/suppressions/{second['id']}")
    assert api.get("/suppressions", address="ada@example.com")["items"] == [first]
