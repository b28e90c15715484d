"""Attachments queue: the files of a message are fetched, from its mail or from its provider; what a
person has uploaded is taken in."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from countersign import start
from countersign.conversations.fetching import FetchingSettings, fetch
from countersign.conversations.uploads import take_in
from countersign.platform import queues
from countersign.platform.db import database
from countersign.platform.outbox import Outbox, queue_urls
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings, FetchingSettings):
    attachments_queue_url: str
    relay_queue_url: str


@functools.cache
def _ready() -> tuple[Settings, Outbox]:
    settings = load(Settings)
    return settings, Outbox(database(settings), queue_urls(settings))


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an SQS event with the messages that are to come back."""
    return queues.handle_batch(event, _fetch)


def _fetch(body: queues.Body) -> None:
    settings, outbox = _ready()
    organization_id = UUID(body["organization_id"])
    if "attachment_id" in body:
        take_in(outbox, settings.messages_bucket, organization_id, UUID(body["attachment_id"]))
    else:
        fetch(outbox, settings, organization_id, UUID(body["message_id"]))


start.over()
