"""Inbound queue: verified webhooks take effect, up to ten in a transaction."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from countersign import start
from countersign.drafting.batches import IngestSettings, ingest
from countersign.platform import queues
from countersign.platform.db import database
from countersign.platform.outbox import Outbox, queue_urls
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings, IngestSettings):
    drafts_queue_url: str
    outbound_queue_url: str
    attachments_queue_url: str
    index_queue_url: str
    relay_queue_url: str


@functools.cache
def _ready() -> tuple[Settings, Outbox]:
    settings = load(Settings)
    return settings, Outbox(database(settings), queue_urls(settings))


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an SQS event with the messages that are to come back."""
    settings, outbox = _ready()
    return queues.batch_answer(ingest(outbox, queues.records(event), settings))


start.over()
