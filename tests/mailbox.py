"""A mail channel, the mails that come in by it, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from countersign.channels.envelope import Envelope
from countersign.channels.messages import RawMail, WebhookRequest
from countersign.channels.providers import mails
from countersign.channels.tables import Channel, Delivery
from countersign.conversations.tables import Message
from countersign.drafting import effects
from countersign.drafting.effects import Webhook
from countersign.mail.verdicts import Verdicts
from countersign.platform import clock, secrets, storage
from countersign.platform.ids import new_id
from tests import world
from tests.conftest import TestDatabase
from tests.world import MemoryQueues, Path

SUPPORT = "support@shop.example"
KEY = "reply-key"


class Mailbox:
    """A mail channel, and mails that come in by it."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.now = path, datetime.now(UTC)
        monkeypatch.setattr(clock, "now", lambda: self.now)
        with path.tenant_session() as session:
            session.execute(
                update(Channel).values(type="email", provider="smtp", external_id=SUPPORT)
            )

    def gets(self, *lines: str, body: str = "Can I return it?", to: Sequence[str] = ()) -> UUID:
        """Take in a mail with these header lines besides the usual ones; its conversation's id."""
        named = {line.partition(":")[0].lower() for line in lines}
        usual = ("From: Ada <ada@example.com>", f"To: {SUPPORT}", "Subject: Order 1001")
        head = [line for line in usual if line.partition(":")[0].lower() not in named]
        if "message-id" not in named:
            head.append(f"Message-ID: <{new_id()}@example.com>")
        raw = "\r\n".join([*lines, *head, "", body, ""]).encode()
        verdicts = Verdicts(envelope_from="ada@example.com", envelope_to=tuple(to))
        self.takes(RawMail(raw=raw, verdicts=verdicts))
        with self.path.tenant_session() as session:
            newest = select(Message.conversation_id).order_by(Message.id.desc()).limit(1)
            return session.scalars(newest).one()

    def takes(self, raw: RawMail) -> None:
        webhook = self.told(raw)
        with self.path.outbox.transaction(self.path.tenant.organization_id) as session:
            effects.take_effect(session, [webhook], self.now)

    def told(self, raw: RawMail) -> Webhook:
        """A mail as the channel's provider tells of it."""
        self.now += timedelta(seconds=1)
        request = WebhookRequest(
            method="POST", url="", headers={}, body=raw.raw, received_at=self.now
        )
        tenant = self.path.tenant
        envelope = Envelope(tenant.organization_id, tenant.channel_id, "smtp", "c", request)
        message = mails.message(raw, str(new_id()), self.now)
        return Webhook(envelope, [message], reply_keys=[KEY])

    def all(self, column: Any) -> list[Any]:
        with self.path.tenant_session() as session:
            return list(session.scalars(select(column).order_by(column.class_.id)))

    def one(self, table: Any) -> Any:
        with self.path.tenant_session() as session:
            return session.scalars(select(table)).one()


@pytest.fixture
def mailbox(
    database: TestDatabase, memory_queues: MemoryQueues, monkeypatch: pytest.MonkeyPatch
) -> Mailbox:
    tenant = world.add_tenant(database)
    world.add_knowledge(database, tenant, ["Returns are free for 30 days. Keep the box."])
    return Mailbox(Path(database, tenant, memory_queues), monkeypatch)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], bytes]:
    """S3, by bucket and key, with one mail that SES has put there."""
    raw = b"From: ada@example.com\r\nSubject: Brakes\r\nMessage-ID: <m1@x>\r\n\r\nDo they fit?\r\n"
    objects = {("incoming", "ses/1"): raw}
    monkeypatch.setattr(storage, "get", lambda bucket, key: objects[bucket, key])
    monkeypatch.setattr(
        storage, "put", lambda bucket, key, raw: objects.update({(bucket, key): raw})
    )
    monkeypatch.setattr(secrets, "secret", lambda _: secrets.Secret(KEY))
    return objects


def approved(mailbox: Mailbox) -> Delivery:
    mailbox.path.draft()
    mailbox.path.approve()
    delivery: Delivery = mailbox.one(Delivery)
    return delivery
