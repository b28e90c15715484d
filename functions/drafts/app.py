"""Drafts queue: a draft request becomes a draft, or the reason for none."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from countersign import start
from countersign.drafting.working import work
from countersign.drafting.writing import Writer
from countersign.models import ModelSettings, chat_model, embedding_models
from countersign.models.spaces import Encoders
from countersign.platform import queues
from countersign.platform.db import database
from countersign.platform.outbox import Outbox, queue_urls
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings, ModelSettings):
    drafts_queue_url: str
    relay_queue_url: str


@functools.cache
def _ready() -> tuple[Outbox, Writer]:
    settings = load(Settings)
    store = database(settings)
    encoders = Encoders(*embedding_models(settings))
    writer = Writer(store, chat_model(settings), encoders, settings)
    return Outbox(store, queue_urls(settings)), writer


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an SQS event with the messages that are to come back."""
    return queues.handle_batch(event, _draft)


def _draft(body: queues.Body) -> None:
    outbox, writer = _ready()
    work(outbox, writer, UUID(body["organization_id"]), UUID(body["draft_request_id"]))


start.over()
