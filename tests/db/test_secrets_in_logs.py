"""Nothing that people say, where they are, or that opens a door is ever logged."""

from __future__ import annotations

import io
import logging

import pytest

from countersign.channels import sending
from countersign.channels.deliveries import Claim
from countersign.channels.messages import Refused, SendResult
from countersign.channels.sending import SendingSettings
from countersign.models.errors import ModelRefused
from countersign.platform import queues
from countersign.platform.log import logger, redact
from tests import world
from tests.conftest import TestDatabase
from tests.world import MemoryQueues, Path, QuotingChat, memory_queues

__all__ = ["memory_queues"]

SAID, SOUGHT = "canary-body-7f3a", "canary-address-9b1c"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the product's logger writes, at its most talkative."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logger.registered_formatter)
    for other in logger.handlers:
        monkeypatch.setattr(other, "stream", written)
    return written


def test_no_failure_on_the_path_logs_what_was_said(
    database: TestDatabase,
    memory_queues: MemoryQueues,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant = world.add_tenant(database)
    world.add_knowledge(database, tenant, ["Returns are free for 30 days."])
    path = Path(database, tenant, memory_queues)
    data = {
        "message_id": "m1",
        "conversation_id": "c1",
        "sender": {"address": SOUGHT, "name": SAID},
        "text": SAID,
    }
    told = {"type": "message.received", "timestamp": "2026-01-02T03:04:05Z", "data": data}
    envelope = tenant.envelope(told, "e1")
    with database.connect() as owner:
        # A constraint whose failure quotes the whole row.
        owner.execute(f"ALTER TABLE messages ADD CONSTRAINT no CHECK (body_text <> '{SAID}')")
        assert path.receive(envelope) == ["0"]
        owner.execute("ALTER TABLE messages DROP CONSTRAINT no")
    assert path.receive(envelope) == []

    def refuse(self: object, *args: object, **kwargs: object) -> None:
        raise ModelRefused("The key is not accepted.")

    with monkeypatch.context() as model:
        model.setattr(QuotingChat, "answer", refuse)
        path.draft()
    path.receive(tenant.webhook(SAID, message_id="m2"))
    path.draft()
    path.approve(SAID)

    def refused(claim: Claim, settings: SendingSettings) -> SendResult:
        return Refused("x", SAID)

    monkeypatch.setattr(sending, "send", refused)
    path.send()
    queues.handle_batch(
        {"Records": [{"messageId": "1", "body": "{}"}]}, lambda body: body[SAID[:3]]
    )
    assert "did not take effect" in log.getvalue()
    assert "violates check constraint" in log.getvalue()
    assert SAID not in log.getvalue()
    assert SOUGHT not in log.getvalue()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("POST /webhooks/twilio.AbC-_9 was", "POST /webhooks/twilio.[redacted] was"),
        ("Authorization: Bearer abc.def-1=", "Authorization: Bearer [redacted]"),
        (f"key cs_{'0' * 32}_s3cr3t-x given", "key [redacted] given"),
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "[redacted]"),
        ("postgresql://app_rw:hunter2@host/db", "postgresql://app_rw:[redacted]@host/db"),
        (r'"no\nDETAIL:  Row (a, \"b\").\nCONTEXT: x"', r'"no\nDETAIL:  [redacted]\nCONTEXT: x"'),
    ],
)
def test_what_slips_into_a_text_is_redacted(said: str, kept: str) -> None:
    assert redact(said) == kept
