"""Outbound queue: a delivery goes to its provider, or is looked up there."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from countersign import start
from countersign.channels.sending import SendingSettings
from countersign.channels.tables import Delivery
from countersign.conversations.delivering import deliver
from countersign.conversations.tables import Conversation
from countersign.platform import queues
from countersign.platform.db import TenantSession, database
from countersign.platform.outbox import Outbox, queue_urls
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings, SendingSettings):
    drafts_queue_url: str
    outbound_queue_url: str
    relay_queue_url: str


@functools.cache
def _ready() -> tuple[Settings, Outbox]:
    settings = load(Settings)
    return settings, Outbox(database(settings), queue_urls(settings))


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an SQS event with the messages that are to come back."""
    return queues.handle_batch(event, _deliver)


def _deliver(body: queues.Body) -> None:
    settings, outbox = _ready()
    organization_id, delivery_id = UUID(body["organization_id"]), UUID(body["delivery_id"])
    look_up = body.get("look_up")
    state = deliver(outbox, settings, _stopped, organization_id, delivery_id, look_up)
    if state == "unknown":
        with single_metric("UnknownSends", MetricUnit.Count, 1):
            pass


def _stopped(
    session: TenantSession, conversation: Conversation, delivery: Delivery, now: datetime
) -> None:
    # Few deliveries are stopped: the others start without the room of drafting.
    from countersign.drafting import overtaking

    overtaking.stopped(session, conversation, delivery, now)


start.over()
