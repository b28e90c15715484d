"""Crawl queue: pages of the web become documents, a turn of a crawl at a time."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from countersign import start
from countersign.knowledge.crawling.refreshing import refresh
from countersign.knowledge.crawling.working import CrawlSettings, work
from countersign.platform import queues
from countersign.platform.db import database
from countersign.platform.outbox import Outbox, queue_urls
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings, CrawlSettings):
    crawl_queue_url: str
    index_queue_url: str
    relay_queue_url: str


@functools.cache
def _ready() -> tuple[Settings, Outbox]:
    settings = load(Settings)
    return settings, Outbox(database(settings), queue_urls(settings))


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an SQS event with the messages that are to come back."""
    return queues.handle_batch(event, _crawl)


def _crawl(body: queues.Body) -> None:
    settings, outbox = _ready()
    organization_id = UUID(body["organization_id"])
    if "crawl_id" in body:
        work(outbox, settings, organization_id, UUID(body["crawl_id"]), body["turn"])
    else:
        refresh(outbox, organization_id)


start.over()
