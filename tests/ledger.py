"""One delivery on the ledger, and all that can happen to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from countersign.channels import deliveries, sending
from countersign.channels.attempts import Claim
from countersign.channels.messages import (
    DeliveryStatus,
    SendResult,
)
from countersign.channels.sending import SendingSettings
from countersign.channels.tables import Channel, Delivery
from countersign.conversations import locking, outbound
from countersign.conversations.delivering import deliver
from countersign.conversations.tables import Conversation
from countersign.drafting import overtaking
from countersign.platform import clock
from countersign.platform.ids import new_id
from tests import world
from tests.conftest import TestDatabase
from tests.world import SENDING_SETTINGS, MemoryQueues, Path


class Ledger:
    """One delivery, of a channel whose receiver does not tell a second try from another message."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.patch = path, monkeypatch
        self.now = datetime.now(UTC)
        monkeypatch.setattr(clock, "now", lambda: self.now)
        self.calls: list[Claim] = []
        path.receive(path.tenant.webhook("Can I return my order?"))
        path.draft()
        self.id = path.approve().delivery_id
        path.sent.take("outbound")
        self.use("twilio")

    def use(self, provider: str) -> None:
        with self.path.tenant_session() as session:
            session.execute(update(Channel).values(provider=provider))

    def answers(self, *results: SendResult | BaseException) -> None:
        remaining = list(results)

        def send(claim: Claim, settings: SendingSettings) -> SendResult:
            self.calls.append(claim)
            result = remaining.pop(0)
            if isinstance(result, BaseException):
                raise result
            return result

        self.patch.setattr(sending, "send", send)

    def finds(self, *found: Sequence[str]) -> None:
        remaining = list(found)
        self.patch.setattr(sending, "look_up", lambda claim, settings: list(remaining.pop(0)))

    def deliver(self, look_up: int | None = None) -> str | None:
        organization_id = self.path.tenant.organization_id
        return deliver(
            self.path.outbox,
            SENDING_SETTINGS,
            overtaking.stopped,
            organization_id,
            self.id,
            look_up,
        )

    def tell(self, status: str, attempt_id: UUID | None = None, **values: Any) -> bool:
        """What the provider's event does, as ingest applies it."""
        event = DeliveryStatus(
            provider_event_id=str(new_id()),
            status=status,  # type: ignore[arg-type]
            attempt_id=attempt_id,
            delivery_id=None if attempt_id else self.id,
            occurred_at=self.now,
            **values,
        )
        with self.path.tenant_session() as session:
            assert deliveries.find(session, self.path.tenant.channel_id, event) == self.id
            conversation = locking.lock_of_delivery(session, self.id)
            moved = deliveries.apply_status(session, self.id, event)
            if moved:
                outbound.record_outcome(session, conversation, moved, self.now)
            return moved is not None

    @property
    def row(self) -> Delivery:
        with self.path.tenant_session() as session:
            return session.scalars(select(Delivery).where(Delivery.id == self.id)).one()

    @property
    def waits(self) -> bool:
        with self.path.tenant_session() as session:
            return session.scalars(select(Conversation.waiting_since)).one() is not None


@pytest.fixture
def ledger(
    database: TestDatabase, memory_queues: MemoryQueues, monkeypatch: pytest.MonkeyPatch
) -> Ledger:
    tenant = world.add_tenant(database)
    world.add_knowledge(database, tenant, ["Returns are free for 30 days. Keep the box."])
    return Ledger(Path(database, tenant, memory_queues), monkeypatch)
