"""One correlation id follows a message from its webhook to its reply, also through a batch."""

from __future__ import annotations

import dataclasses
import io
import json
from datetime import timedelta
from typing import Any

import pytest

from countersign.channels import sending
from countersign.channels.attempts import Claim
from countersign.channels.envelope import to_message
from countersign.channels.messages import Accepted, SendResult
from countersign.channels.sending import SendingSettings
from countersign.platform import clock
from countersign.platform.log import logger
from functions.drafts import app as drafts
from functions.ingest import app as ingest
from functions.outbound import app as outbound
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story
from tests.world import SENDING_SETTINGS


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    return written


@pytest.fixture(autouse=True)
def functions(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions on the test's database, with a provider that takes everything."""

    def accept(claim: Claim, settings: SendingSettings) -> SendResult:
        return Accepted(f"id-of-{claim.delivery.id}")

    settings = ingest.Settings(
        database_host="",
        database_name="",
        database_secret_id="",
        raw_bucket="",
        messages_bucket="",
        channel_key_secret_id="",
        drafts_queue_url="drafts",
        outbound_queue_url="outbound",
        attachments_queue_url="attachments",
        index_queue_url="index",
        relay_queue_url="relay",
    )
    monkeypatch.setattr(ingest, "_ready", lambda: (settings, story.path.outbox))
    monkeypatch.setattr(drafts, "_ready", lambda: (story.path.outbox, story.path.writer))
    monkeypatch.setattr(outbound, "_ready", lambda: (SENDING_SETTINGS, story.path.outbox))
    monkeypatch.setattr(sending, "send", accept)


def batch(*bodies: Any) -> dict[str, Any]:
    """An SQS event."""
    return {
        "Records": [
            {"messageId": f"sqs-{number}", "body": json.dumps(body)}
            for number, body in enumerate(bodies)
        ]
    }


def entries(log: io.StringIO, correlation_id: str) -> list[dict[str, Any]]:
    """What was logged on the way of one message."""
    every = [json.loads(line) for line in log.getvalue().splitlines()]
    return [entry for entry in every if entry.get("correlation_id") == correlation_id]


def test_one_id_leads_from_a_webhook_to_the_delivery_of_its_reply(
    story: Story, api: Api, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [
        dataclasses.replace(
            story.tenant.webhook(f"Returns, {name}?", conversation=name, message_id=name),
            correlation_id=f"webhook-{name}",
        )
        for name in ("a", "b")
    ]
    event = batch(*[to_message(envelope, "") for envelope in told])
    assert ingest.lambda_handler(event, None) == {"batchItemFailures": []}
    asked = story.path.sent.take("drafts")
    assert [body["correlation_id"] for body in asked] == ["webhook-a", "webhook-b"]

    assert drafts.lambda_handler(batch(*asked), None) == {"batchItemFailures": []}
    items = api.get("/feed")["items"]
    for item in items:
        path = f"/drafts/{item['draft']['id']}"
        token = api.get(path)["revision_token"]
        api.post(f"{path}/approval", {"revision_token": token})
    approved = story.path.sent.take("outbound")
    assert [body["correlation_id"] for body in approved] == ["webhook-a", "webhook-b"]

    later = clock.now() + timedelta(minutes=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert outbound.lambda_handler(batch(*approved), None) == {"batchItemFailures": []}
    for number, name in enumerate("ab"):
        webhook, draft, delivery = entries(log, f"webhook-{name}")
        assert webhook["message"] == "a webhook took effect"
        assert webhook["message_id"] == f"sqs-{number}"
        assert webhook["channel_id"] == str(story.tenant.channel_id)
        assert draft["message"] == "a draft request was worked on"
        assert draft["draft_request_id"] == asked[number]["draft_request_id"]
        assert draft["conversation_id"] == items[number]["conversation"]["id"]
        assert draft["status"] == "drafted"
        assert delivery["message"] == "a delivery was worked on"
        assert delivery["delivery_id"] == approved[number]["delivery_id"]
        assert delivery["state"] == "sent"
        organization_id = str(story.tenant.organization_id)
        assert {one["organization_id"] for one in (webhook, draft, delivery)} == {organization_id}


def test_a_webhook_that_fails_is_logged_under_its_id_and_no_other(
    database: TestDatabase, story: Story, log: io.StringIO
) -> None:
    bad, good = (
        dataclasses.replace(story.tenant.webhook(name, message_id=name), correlation_id=name)
        for name in ("bad", "good")
    )
    with database.connect() as owner:
        owner.execute("ALTER TABLE messages ADD CONSTRAINT no CHECK (body_text <> 'bad')")
    event = batch(to_message(bad, ""), "unreadable", to_message(good, ""))
    failed = ingest.lambda_handler(event, None)["batchItemFailures"]
    assert {one["itemIdentifier"] for one in failed} == {"sqs-0", "sqs-1"}
    assert [entry["message"] for entry in entries(log, "bad")] == ["a webhook did not take effect"]
    assert [entry["message"] for entry in entries(log, "good")] == ["a webhook took effect"]
    (unreadable,) = [
        json.loads(line) for line in log.getvalue().splitlines() if "cannot be read" in line
    ]
    assert "correlation_id" not in unreadable


def test_a_message_of_ones_own_goes_out_under_the_id_of_its_request(
    story: Story, api: Api, log: io.StringIO
) -> None:
    conversation_id = story.drafted()["conversation"]["id"]
    api.post(f"/conversations/{conversation_id}/messages", {"text": "Call me."})
    (body,) = story.path.sent.take("outbound")
    assert body["correlation_id"] == "request-1"
