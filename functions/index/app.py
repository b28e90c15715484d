"""Index queue: a document's content becomes its next version, or the reason why not."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from countersign import start
from countersign.knowledge.indexing import Indexer
from countersign.models import EmbeddingSettings, embedding_model
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
def _indexer() -> Indexer:
    settings = load(Settings)
    outbox = Outbox(database(settings), queue_urls(settings))
    model = embedding_model(settings)
    return Indexer(outbox, model, settings.embedding_price, settings.documents_bucket)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an SQS event with the messages that are to come back."""
    return queues.handle_batch(event, _index)


def _index(body: queues.Body) -> None:
    _indexer().index(UUID(body["organization_id"]), UUID(body["document_id"]))


start.over()
