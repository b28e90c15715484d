"""The path of a message, from the inbound queue to a delivered, recorded reply."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from countersign.channels import sending
from countersign.channels.attempts import Claim
from countersign.channels.messages import Accepted, SendResult
from countersign.channels.sending import SendingSettings
from countersign.channels.tables import Delivery
from countersign.conversations.tables import Conversation, Message
from countersign.drafting.tables import Draft, DraftRequest, LearningSample
from countersign.platform.tables import AuditEvent, OutboxRow
from tests import world
from tests.conftest import TestDatabase
from tests.world import MemoryQueues, Path, memory_queues

__all__ = ["memory_queues"]


@pytest.fixture
def path(database: TestDatabase, memory_queues: MemoryQueues) -> Path:
    tenant = world.add_tenant(database)
    world.add_knowledge(database, tenant, ["Returns are free for 30 days. Keep the box."])
    return Path(database, tenant, memory_queues)


def accept(claim: Claim, settings: SendingSettings) -> SendResult:
    return Accepted(f"id-of-{claim.delivery.id}")


def test_a_message_becomes_a_delivered_reply(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "send", accept)
    assert path.receive(path.tenant.webhook("Can I return my order for free?")) == []
    path.draft()
    assert path.count(DraftRequest, status="drafted") == 1
    approved = path.approve()
    assert approved.type == "approve"
    assert path.send() == ["sent"]
    status = {"delivery_id": str(approved.delivery_id)}
    event = {"type": "message.delivered", "timestamp": "2026-01-02T03:04:05Z", "data": status}
    assert path.receive(path.tenant.envelope(event, "e2")) == []
    assert path.count(Delivery, status="delivered") == 1
    assert path.count(Message) == 2
    assert path.count(LearningSample) == 1
    assert path.count(OutboxRow) == 0
    with path.database.app_rw.tenant(path.tenant.organization_id) as session:
        told = select(AuditEvent.type).where(AuditEvent.stream_id != session.organization_id)
        types = session.scalars(told.order_by(AuditEvent.seq)).all()
        waiting = session.scalars(select(Conversation.waiting_since)).one()
    assert list(types) == [
        "message.received",
        "draft.created",
        "draft.approved",
        "delivery.sent",
        "delivery.delivered",
    ]
    assert waiting is None


def test_a_message_told_twice_is_one(path: Path) -> None:
    envelope = path.tenant.webhook("Can I return my order?")
    path.receive(envelope, envelope)
    path.receive(envelope)
    assert (path.count(Message), path.count(DraftRequest)) == (1, 1)


def test_a_newer_message_stops_an_approved_reply(path: Path) -> None:
    path.receive(path.tenant.webhook("Can I return my order?"))
    path.draft()
    path.approve("Yes, you can!")
    path.receive(path.tenant.webhook("And the box?", message_id="m2"))
    assert path.count(Delivery, status="cancelled") == 1
    assert path.count(Draft, status="superseded") == 1
    assert path.count(LearningSample) == 0
    path.draft()
    assert path.count(Draft, status="pending") == 1
    assert path.send() == [None]
