"""Relay queue and schedule: publish what a killed handler left behind; daily chores."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from countersign import start
from countersign.knowledge.crawling import due
from countersign.platform import checkpoints, clock, idempotency, queues
from countersign.platform.db import Database, database
from countersign.platform.outbox import Outbox, queue_urls
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings):
    audit_bucket: str
    drafts_queue_url: str
    outbound_queue_url: str
    attachments_queue_url: str
    index_queue_url: str
    crawl_queue_url: str
    relay_queue_url: str


@functools.cache
def _ready() -> tuple[Settings, Database, Outbox]:
    settings = load(Settings)
    store = database(settings)
    return settings, store, Outbox(store, queue_urls(settings))


def lambda_handler(event: dict[str, Any], context: object) -> None:
    """Sweep once, however many checks or whichever schedule asked for it."""
    settings, store, outbox = _ready()
    if outbox.sweep():
        queues.send(settings.relay_queue_url, [{"check": "outbox"}], queues.MAX_DELAY_SECONDS)
    if "Records" not in event:
        with store.system() as session:
            idempotency.forget(session, clock.now())
            refreshes = due.organizations(session, clock.now())
        queues.send(settings.crawl_queue_url, [{"organization_id": str(id_)} for id_ in refreshes])
        checkpoints.take(store, settings.audit_bucket, clock.now())


start.over()
