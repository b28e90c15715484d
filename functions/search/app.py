"""Search, under /v1/search: by meaning and by words, in what an organization knows and was told."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from countersign import start
from countersign.identity.access import Access
from countersign.knowledge.search_operations import operations
from countersign.knowledge.searching import Embedder
from countersign.models import EmbeddingSettings, embedding_models
from countersign.models.spaces import Encoders
from countersign.platform.db import database
from countersign.platform.http import Response, api_problem
from countersign.platform.log import logger
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings, EmbeddingSettings):
    pass


@functools.cache
def _access() -> Access:
    settings = load(Settings)
    store = database(settings)
    embedder = Embedder(store, Encoders(*embedding_models(settings)))
    return Access(store, prepare=embedder.prepare)


def lambda_handler(event: dict[str, Any], context: object) -> Response:
    """Answer an event of the HTTP API; whatever fails is answered with a problem document."""
    logger.set_correlation_id(event["requestContext"]["requestId"])
    try:
        return _access().answer(operations, event)
    except Exception as error:
        return api_problem(error)


start.over()
