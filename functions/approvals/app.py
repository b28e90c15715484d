"""The approvals API, under /v1: its operations are declared in the rooms' operations.py."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from countersign import start
from countersign.drafting.api import OPERATIONS
from countersign.identity.access import Access
from countersign.platform.db import database
from countersign.platform.http import Response, api_problem
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox, queue_urls
from countersign.platform.settings import DatabaseSettings, load


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings):
    messages_bucket: str
    drafts_queue_url: str
    outbound_queue_url: str
    attachments_queue_url: str
    index_queue_url: str
    relay_queue_url: str


@functools.cache
def _access() -> Access:
    settings = load(Settings)
    store = database(settings)
    return Access(store, Outbox(store, queue_urls(settings)), settings.messages_bucket)


def lambda_handler(event: dict[str, Any], context: object) -> Response:
    """Answer an event of the HTTP API; whatever fails is answered with a problem document."""
    logger.set_correlation_id(event["requestContext"]["requestId"])
    try:
        return _access().answer(OPERATIONS, event)
    except Exception as error:
        return api_problem(error)


start.over()
