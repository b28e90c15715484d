"""Outbound queue: a delivery goes to its provider, or is looked up there."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from countersign import start
from countersign.channels.sending import SendingSettings
from countersign.conversations.delivering import deliver
from countersign.platform import queues
from countersign.platform.db import database
from countersign.platform.outbox import Outbox, queue_urls
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings, SendingSettings):
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
    state = deliver(outbox, settings, organization_id, delivery_id, body.get("look_up"))
    if state == "unknown":
        with single_metric("UnknownSends", MetricUnit.Count, 1):
            pass


start.over()
