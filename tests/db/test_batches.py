"""Batches of webhooks: one transaction where all is well, and no message held up by another."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from countersign.channels.envelope import Envelope, to_message
from countersign.channels.messages import Consent, InboundMessage
from countersign.channels.providers import provider_module
from countersign.channels.tables import WebhookDelivery
from countersign.conversations import inbound
from countersign.conversations.tables import Conversation, Message, Participant
from countersign.drafting import effects
from countersign.drafting.batches import ingest
from countersign.drafting.effects import Webhook
from countersign.drafting.tables import DraftRequest
from countersign.people import directory
from countersign.people.tables import Person
from countersign.platform.db import Database, TenantSession, engine
from countersign.platform.outbox import Outbox
from tests import world
from tests.conftest import TestDatabase
from tests.world import MemoryQueues, Tenant, memory_queues

__all__ = ["memory_queues"]


@pytest.fixture
def tenant(database: TestDatabase, memory_queues: MemoryQueues) -> Tenant:
    return world.add_tenant(database)


def receive(database: TestDatabase, envelopes: Sequence[Envelope], *raw: str) -> list[str]:
    texts = [json.dumps(to_message(envelope, "")) for envelope in envelopes]
    return ingest(
        world.outbox(database),
        [(str(n), t) for n, t in enumerate([*texts, *raw])],
        world.INGEST_SETTINGS,
    )


def rows(database: TestDatabase, tenant: Tenant, table: Any) -> Sequence[Any]:
    with database.app_rw.tenant(tenant.organization_id) as session:
        return session.scalars(select(table)).all()


def test_a_batch_is_one_transaction_a_tenant(
    database: TestDatabase, tenant: Tenant, memory_queues: MemoryQueues
) -> None:
    other = world.add_tenant(database, "other")
    envelopes = [
        one.webhook(f"Message {n}", conversation=f"c{n % 3}", message_id=f"m{n}")
        for n in range(5)
        for one in (tenant, other)
    ]
    assert receive(database, envelopes) == []
    for one in (tenant, other):
        assert len(rows(database, one, Message)) == 5
        assert len(rows(database, one, Conversation)) == 3
        # The newest of each conversation asks for a draft, the ones before it do not.
        asked = {request.trigger_message_id for request in rows(database, one, DraftRequest)}
        newest = {c.latest_inbound_message_id for c in rows(database, one, Conversation)}
        assert asked == newest
    assert len(memory_queues.take("relay")) == 2
    assert len(memory_queues.take("drafts")) == 6


def test_a_message_told_twice_in_a_batch_is_one(database: TestDatabase, tenant: Tenant) -> None:
    envelope = tenant.webhook("Once")
    other_event = retold(envelope, "another-event")
    assert receive(database, [envelope, envelope, other_event]) == []
    assert receive(database, [other_event, envelope]) == []
    assert len(rows(database, tenant, Message)) == 1
    assert len(rows(database, tenant, DraftRequest)) == 1
    assert {row.status for row in rows(database, tenant, WebhookDelivery)} == {"accepted"}


@pytest.mark.parametrize("at_once", [True, False])
def test_an_id_that_names_another_message_is_rejected(
    database: TestDatabase, tenant: Tenant, memory_queues: MemoryQueues, at_once: bool
) -> None:
    first = tenant.webhook("Once")
    others = [
        retold(tenant.webhook("Once", conversation="c2"), "e2"),
        retold(tenant.webhook("Once more"), "e3"),
    ]
    for batch in [[first, *others]] if at_once else [[first], others]:
        assert receive(database, batch) == []
    assert receive(database, others) == []
    told = {row.provider_event_id: row for row in rows(database, tenant, WebhookDelivery)}
    assert {name: (row.status, row.reason) for name, row in told.items()} == {
        "m1": ("accepted", None),
        "e2": ("rejected", "duplicate_message_id"),
        "e3": ("rejected", "duplicate_message_id"),
    }
    assert [message.body_text for message in rows(database, tenant, Message)] == ["Once"]
    assert [one.external_id for one in rows(database, tenant, Conversation)] == ["c1"]
    assert len(memory_queues.take("drafts")) == 1


def test_an_event_that_tells_another_message_the_second_time_opens_nothing(
    database: TestDatabase, tenant: Tenant
) -> None:
    other = retold(tenant.webhook("Two", conversation="c2", message_id="m2"), "m1")
    assert receive(database, [tenant.webhook("One"), other]) == []
    assert receive(database, [other]) == []
    assert [one.external_id for one in rows(database, tenant, Conversation)] == ["c1"]


def test_a_message_that_another_worker_takes_in_meanwhile_is_judged_anew(
    database: TestDatabase, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = inbound.look_up
    meanwhile = [tenant.webhook("One")]

    def late(session: TenantSession, told: Any) -> Any:
        before = look_up(session, told)
        if meanwhile:
            assert _receive_alone(database, [meanwhile.pop()]) == []
        return before

    monkeypatch.setattr(inbound, "look_up", late)
    other = retold(tenant.webhook("Two", conversation="c2"), "e2")
    assert receive(database, [other, tenant.webhook("Three", message_id="m3")]) == []
    assert [one.external_id for one in rows(database, tenant, Conversation)] == ["c1"]
    assert {one.body_text for one in rows(database, tenant, Message)} == {"One", "Three"}


def retold(envelope: Envelope, event_id: str) -> Envelope:
    """The same body under another webhook-id."""
    headers = {**envelope.request.headers, "webhook-id": event_id}
    return dataclasses.replace(
        envelope, request=dataclasses.replace(envelope.request, headers=headers)
    )


def test_a_poisoned_message_holds_up_no_other(database: TestDatabase, tenant: Tenant) -> None:
    with database.connect() as owner:
        owner.execute(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'poisoned'; END $$;
            CREATE TRIGGER poisoned BEFORE INSERT ON messages
                FOR EACH ROW WHEN (NEW.body_text = 'Bad') EXECUTE FUNCTION refuse();
            """
        )
    envelopes = [
        tenant.webhook(text, conversation=f"c{n}", message_id=f"m{n}")
        for n, text in enumerate(["Good", "Bad", "Good"])
    ]
    assert receive(database, envelopes, "not json", "{}") == ["3", "4", "1"]
    assert [message.body_text for message in rows(database, tenant, Message)] == ["Good", "Good"]
    assert len(rows(database, tenant, Conversation)) == 2


def test_what_cannot_be_read_is_recorded_as_rejected(
    database: TestDatabase, tenant: Tenant
) -> None:
    odd = tenant.envelope({"type": "message.exploded", "timestamp": "?", "data": {}}, "e1")
    assert receive(database, [odd, tenant.webhook("Fine")]) == []
    assert receive(database, [odd]) == []
    told = {row.status: row for row in rows(database, tenant, WebhookDelivery)}
    assert set(told) == {"accepted", "rejected"}
    assert told["rejected"].reason


def test_a_webhook_of_a_channel_that_is_gone_is_let_go(
    database: TestDatabase, tenant: Tenant
) -> None:
    gone = dataclasses.replace(tenant.webhook("Hello?"), channel_id=tenant.user_id)
    assert receive(database, [gone]) == []
    assert rows(database, tenant, Message) == []


def test_a_person_is_one_whatever_the_case_of_their_address(
    database: TestDatabase, tenant: Tenant
) -> None:
    bodies = [
        {
            "type": "message.received",
            "timestamp": "2026-01-02T03:04:05Z",
            "data": {
                "message_id": f"m{n}",
                "conversation_id": f"c{n}",
                "sender": {"address": address, "name": name},
                "text": "Hi",
            },
        }
        for n, (address, name) in enumerate(
            [("ada@example.com", None), ("Ada@Example.com", "Ada"), ("customer-7", "Seven")]
        )
    ]
    envelopes = [tenant.envelope(body, f"e{n}") for n, body in enumerate(bodies)]
    assert receive(database, envelopes) == []
    assert {person.name for person in rows(database, tenant, Person)} == {"Ada", "Seven"}
    assert len(rows(database, tenant, Participant)) == 3


def test_workers_that_meet_lose_and_double_nothing(database: TestDatabase, tenant: Tenant) -> None:
    envelopes = [
        tenant.webhook(f"Message {n}", conversation=f"c{n % 2}", message_id=f"m{n}")
        for n in range(20)
    ]
    batches = [envelopes, envelopes[::-1], envelopes[::2], envelopes[1::2]]
    with ThreadPoolExecutor(len(batches)) as pool:
        failed = list(pool.map(lambda batch: _receive_alone(database, batch), batches))
    assert failed == [[], [], [], []]
    assert len(rows(database, tenant, Message)) == 20
    assert len(rows(database, tenant, Conversation)) == 2
    waiting = [one for one in rows(database, tenant, DraftRequest) if one.status == "waiting"]
    assert len(waiting) == 2
    with database.connect() as owner:
        found = owner.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert found == (0,)


def _receive_alone(database: TestDatabase, envelopes: Sequence[Envelope]) -> list[str]:
    own = Database(engine(database.url("app_rw")))
    records = [(str(n), json.dumps(to_message(one, ""))) for n, one in enumerate(envelopes)]
    failed = ingest(Outbox(own, world.QUEUE_URLS), records, world.INGEST_SETTINGS)
    own.engine.dispose()
    return failed


def test_who_says_stop_is_not_written_to_until_they_say_start(
    database: TestDatabase, tenant: Tenant, memory_queues: MemoryQueues
) -> None:
    """Their STOP stops what was on its way, as any newer message does, and asks for no answer."""

    def say(consent: Consent, number: int) -> None:
        webhook = tenant.webhook(consent, message_id=str(number))
        (event,) = provider_module("api").parse(webhook.request)
        assert isinstance(event, InboundMessage)
        told = dataclasses.replace(event, consent=consent)
        with database.app_rw.tenant(tenant.organization_id) as session:
            effects.take_effect(session, [Webhook(webhook, [told])], webhook.request.received_at)

    def is_suppressed() -> bool:
        with database.app_rw.tenant(tenant.organization_id) as session:
            return directory.is_suppressed(session, "Ada@example.com")

    say("opted_out", 1)
    assert is_suppressed()
    say("opted_in", 2)
    assert not is_suppressed()
    with database.app_rw.tenant(tenant.organization_id) as session:
        directory.suppress(session, "ada@example.com", "complained")
    say("opted_in", 3)
    assert is_suppressed()
