"""Index queue: documents become their next versions, messages get their vectors, organizations move
to another embedding space."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from countersign import start
from countersign.knowledge.working import work
from countersign.models import EmbeddingSettings, embedding_models
from countersign.models.spaces import Encoders
from countersign.platform import queues
from countersign.platform.db import database
from countersign.platform.outbox import Outbox, queue_urls
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings, EmbeddingSettings):
    documents_bucket: str
    index_queue_url: str
    relay_queue_url: str


@functools.cache
def _ready() -> tuple[Outbox, Encoders, str]:
    settings = load(Settings)
    outbox = Outbox(database(settings), queue_urls(settings))
    return outbox, Encoders(*embedding_models(settings)), settings.documents_bucket


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an SQS event with the messages that are to come back."""
    return queues.handle_batch(event, _index)


def _index(body: queues.Body) -> None:
    outbox, encoders, bucket = _ready()
    work(outbox, encoders, bucket, body)


start.over()
