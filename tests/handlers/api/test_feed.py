"""The feed: every open conversation that waits for us, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text, update

from countersign.channels.tables import Delivery
from countersign.conversations import outbound
from countersign.conversations.tables import Conversation
from countersign.drafting import feed
from countersign.drafting.tables import DraftRequest
from countersign.platform import clock, paging
from countersign.platform.paging import FIRST, Position
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story


def test_an_item_shows_customer_message_and_draft(story: Story, api: Api) -> None:
    item = story.drafted("Can I return " + "my order? " * 60)
    conversation = item["conversation"]
    assert conversation["customer"]["address"] == "ada@example.com"
    assert conversation["customer"]["name"] == "Ada"
    assert conversation["channel"]["type"] == "api"
    assert (conversation["status"], conversation["snoozed_until"]) == ("open", None)
    assert conversation["waiting_since"].endswith("Z")
    excerpt = item["latest_inbound_message"]["excerpt"]
    assert (len(excerpt["text"]), excerpt["is_whole"]) == (500, False)
    assert item["latest_inbound_message"]["id"] == conversation["latest_message_id"]
    assert item["draft"]["excerpt"] == {
        "text": "Hello! Returns are free for 30 days.",
        "is_whole": True,
    }
    assert (item["draft"]["revision"], item["draft"]["claim"]) == (1, None)
    assert (item["request"]["status"], item["delivery"]) == ("drafted", None)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("waiting", None),
        ("drafting", None),
        ("abstained", "no_source_answers"),
        ("failed", "too_many_attempts"),
    ],
)
def test_an_item_says_why_there_is_no_draft(
    story: Story, api: Api, status: str, reason: str | None
) -> None:
    story.ada_writes()
    with story.path.tenant_session() as session:
        session.execute(update(DraftRequest).values(status=status, reason=reason))
    (item,) = api.get("/feed")["items"]
    assert item["draft"] is None
    assert (item["request"]["status"], item["request"]["reason"]) == (status, reason)


def test_the_newest_request_counts(story: Story, api: Api) -> None:
    item = story.drafted()
    draft = item["draft"]["id"]
    api.post(f"/drafts/{draft}/rejection", {"reason_code": "incomplete"})
    api.post(f"/conversations/{item['conversation']['id']}/draft-requests")
    (item,) = api.get("/feed")["items"]
    assert (item["request"]["status"], item["request"]["revision"]) == ("waiting", 2)
    story.path.draft()
    (item,) = api.get("/feed")["items"]
    assert item["draft"]["revision"] == 2
    assert item["draft"]["id"] != draft


def fails(story: Story, delivery_id: str, status: str, **values: str) -> None:
    """A provider's refusal, or none of its answers, takes effect."""
    story.becomes(delivery_id, status, **values)
    with story.path.tenant_session() as session:
        delivery = session.get_one(Delivery, (story.tenant.organization_id, UUID(delivery_id)))
        conversation = session.get_one(
            Conversation, (session.organization_id, delivery.conversation_id)
        )
        outbound.record_outcome(session, conversation, delivery, clock.now())


@pytest.mark.parametrize("status", ["failed", "unknown"])
@pytest.mark.parametrize("out_of_sight", ["closure", "snooze", None])
def test_a_reply_that_went_wrong_is_back_in_sight(
    story: Story, api: Api, status: str, out_of_sight: str | None
) -> None:
    _, made = story.approved()
    assert api.get("/feed")["items"] == []
    with story.path.tenant_session() as session:
        conversation_id = session.query(Conversation.id).scalar()
    if out_of_sight:
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        body = {"until": until} if out_of_sight == "snooze" else None
        api.put(f"/conversations/{conversation_id}/{out_of_sight}", body)
    fails(story, made["delivery_id"], status, reason_code="30003", reason="Unreachable")
    (item,) = api.get("/feed")["items"]
    assert item["delivery"]["id"] == made["delivery_id"]
    assert item["delivery"]["status"] == status
    assert (item["delivery"]["reason_code"], item["delivery"]["reason"]) == ("30003", "Unreachable")
    assert item["draft"] is None


def test_a_reply_that_went_out_is_not_in_the_feed(story: Story, api: Api) -> None:
    _, made = story.approved()
    fails(story, made["delivery_id"], "delivered")
    assert api.get("/feed") == {"items": [], "next_cursor": None}


def test_a_conversation_in_which_the_customer_wrote_nothing(story: Story, api: Api) -> None:
    story.ada_writes()
    with story.path.tenant_session() as session:
        session.execute(text("UPDATE conversations SET latest_inbound_message_id = NULL"))
    (item,) = api.get("/feed")["items"]
    assert item["latest_inbound_message"] is None


def test_a_snooze_ends_by_itself(story: Story, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation_id = story.drafted()["conversation"]["id"]
    until = datetime.now(UTC) + timedelta(hours=1)
    api.put(f"/conversations/{conversation_id}/snooze", {"until": until.isoformat()})
    assert api.get("/feed")["items"] == []
    monkeypatch.setattr(clock, "now", lambda: until - timedelta(seconds=1))
    assert api.get("/feed")["items"] == []
    monkeypatch.setattr(clock, "now", lambda: until)
    (item,) = api.get("/feed")["items"]
    assert item["conversation"]["id"] == conversation_id


def test_a_new_message_ends_a_snooze_and_reopens(story: Story, api: Api) -> None:
    conversation_id = story.drafted()["conversation"]["id"]
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    api.put(f"/conversations/{conversation_id}/snooze", {"until": until})
    story.ada_writes("Hello?")
    assert len(api.get("/feed")["items"]) == 1
    api.put(f"/conversations/{conversation_id}/closure")
    assert api.get("/feed")["items"] == []
    story.ada_writes("Still there?")
    assert len(api.get("/feed")["items"]) == 1


def test_the_longest_wait_is_first_and_pages_miss_and_repeat_nothing(
    story: Story, api: Api
) -> None:
    for number in range(7):
        story.ada_writes(f"Question {number}", conversation=f"c{number}")
    with story.path.tenant_session() as session:
        moment = datetime.now(UTC)
        session.execute(text("UPDATE conversations SET waiting_since = :at"), {"at": moment})
        session.execute(
            text("UPDATE conversations SET waiting_since = :at WHERE external_id = 'c3'"),
            {"at": moment - timedelta(days=1)},
        )
    whole = [item["conversation"]["id"] for item in api.get("/feed")["items"]]
    first = api.get("/feed", limit="1")
    assert first["items"][0]["latest_inbound_message"]["excerpt"]["text"] == "Question 3"
    for limit in (1, 2, 3, 7):
        seen, page = [], api.get("/feed", limit=str(limit))
        while True:
            seen += [item["conversation"]["id"] for item in page["items"]]
            assert len(page["items"]) <= limit
            if page["next_cursor"] is None:
                break
            page = api.get("/feed", limit=str(limit), cursor=page["next_cursor"])
        assert seen == whole
    assert len(whole) == 7


AT_THE_END = datetime.max.replace(tzinfo=UTC)


def test_a_cursor_of_ones_own_making_is_refused(api: Api) -> None:
    strange = [
        paging.encode(Position(moment, FIRST.id))
        for moment in (AT_THE_END, AT_THE_END.replace(tzinfo=None))
    ]
    for cursor in (*strange, "", "x", "é", "W10=", "WzEsMl0=", "bnVsbA==", "[" * 200, "W1tbW1tb"):
        answer = api.call("GET", "/feed", query={"cursor": cursor})
        assert answer.wrong == {"query.cursor"}, cursor


def test_a_limit_out_of_bounds_and_a_misspelt_parameter_are_refused(api: Api) -> None:
    assert api.call("GET", "/feed", query={"limit": "0"}).wrong == {"query.limit"}
    assert api.call("GET", "/feed", query={"limit": "101"}).wrong == {"query.limit"}
    wrong = api.call("GET", "/feed", query={"limit": "many", "curser": "x"}).wrong
    assert wrong == {"query.limit", "query.curser"}


MANY = """
    INSERT INTO conversations (organization_id, id, channel_id, external_id, status,
        customer_address, waiting_since, snoozed_until, last_message_at)
    SELECT :organization_id, md5('c' || n)::uuid, :channel_id, 'many-' || n,
        CASE WHEN n % 3 = 0 THEN 'closed' ELSE 'open' END, 'many@example.com',
        CASE WHEN n % 10 = 0 THEN now() - n * interval '1 second' END,
        CASE WHEN n % 70 = 0 THEN now() + interval '1 day' END, now()
    FROM generate_series(1, 20000) AS n;
    INSERT INTO messages (organization_id, id, conversation_id, channel_id, external_id, direction,
        role, body_text, body_salt, sent_at)
    SELECT organization_id, md5('m' || external_id)::uuid, id, channel_id, external_id, 'inbound',
        'user', 'Can I return my order?', 'salt', now()
    FROM conversations;
    UPDATE conversations SET latest_inbound_message_id = md5('m' || external_id)::uuid,
        latest_message_id = md5('m' || external_id)::uuid;
    INSERT INTO draft_requests (organization_id, id, conversation_id, trigger_message_id, status,
        not_before)
    SELECT organization_id, md5('r' || external_id)::uuid, id, latest_message_id, 'drafted', now()
    FROM conversations;
    INSERT INTO drafts (organization_id, id, conversation_id, trigger_message_id, model_key,
        prompt_version, suggested_text, text_salt, status)
    SELECT organization_id, md5('d' || external_id)::uuid, id, latest_message_id, 'm', 'reply-1',
        'Yes.', 'salt', CASE WHEN waiting_since IS NULL THEN 'archived' ELSE 'pending' END
    FROM conversations;
    INSERT INTO deliveries (organization_id, id, channel_id, conversation_id, status, sender,
        recipient, payload, not_before)
    SELECT organization_id, md5('y' || external_id)::uuid, channel_id, id, 'sent', 'us', 'them',
        '{}', now()
    FROM conversations
"""
"""Many conversations, one in ten of which waits for us, some of those snoozed or closed."""


def test_the_feed_reads_its_index_and_a_page_of_rows(
    database: TestDatabase, story: Story, api: Api
) -> None:
    own = {
        "organization_id": story.tenant.organization_id,
        "channel_id": story.tenant.channel_id,
    }
    with story.path.tenant_session() as session:
        for statement in MANY.split(";"):
            session.execute(text(statement), own)
    with database.connect() as owner:
        owner.execute("ANALYZE")
    assert len(api.get("/feed", limit="100")["items"]) == 100
    with story.path.tenant_session() as session:
        for after in (FIRST, Position(datetime.now(UTC) - timedelta(seconds=9000), FIRST.id)):
            values = feed.parameters(session, after, 50, clock.now())
            lines = session.scalars(text("EXPLAIN (ANALYZE, COSTS OFF) " + feed.FEED), values)
            plan = "\n".join(lines)
            assert "Index Scan using ix_conversations_feed on conversations" in plan, plan
            assert read_whole(plan) <= FEW, plan


FEW = {"channels", "draft_claims", "users", "organization_memberships"}
"""Tables that have a handful of rows here."""


def read_whole(plan: str) -> set[str]:
    """The tables that a plan reads whole."""
    lines = [line for line in plan.splitlines() if "Seq Scan on " in line]
    return {line.split("Seq Scan on ")[1].split()[0] for line in lines}
