"""A batch of webhooks takes effect: in one transaction a tenant, one by one where that fails."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from uuid import UUID

from countersign.channels.envelope import Envelope, from_message
from countersign.channels.messages import DeliveryStatus
from countersign.channels.providers import provider_module
from countersign.drafting import effects
from countersign.drafting.effects import Webhook
from countersign.platform import clock
from countersign.platform.errors import Invalid
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox

_Item = tuple[str, Webhook]
"""A queue message's id, and what it holds."""


def ingest(outbox: Outbox, records: Iterable[tuple[str, str]], bucket: str) -> list[str]:
    """Let each record take effect, once; returns the ids of those to be tried again.

    `records` are queue messages as `envelope.to_message` makes them, with their ids.
    """
    read: list[_Item] = []
    failed: list[str] = []
    for message_id, body in records:
        logger.set_correlation_id(None)
        try:
            read.append((message_id, _read(body, bucket)))
        except Exception:
            logger.exception("a webhook's queue message cannot be read", message_id=message_id)
            failed.append(message_id)
    for organization_id, items in _groups(read):
        failed += _together(outbox, organization_id, items)
    return failed


def _read(body: str, bucket: str) -> Webhook:
    envelope = from_message(json.loads(body), bucket)
    try:
        return Webhook(envelope, provider_module(envelope.provider).parse(envelope.request))
    except Invalid as error:
        return Webhook(envelope, (), error.detail)


def _groups(read: Iterable[_Item]) -> Iterator[tuple[UUID, list[_Item]]]:
    """Messages by tenant. A status alone: it finds only by reading what it has to lock."""
    messages: dict[UUID, list[_Item]] = defaultdict(list)
    for message_id, webhook in read:
        organization_id = webhook.envelope.organization_id
        if any(isinstance(event, DeliveryStatus) for event in webhook.events):
            yield organization_id, [(message_id, webhook)]
        else:
            messages[organization_id].append((message_id, webhook))
    yield from messages.items()


def _together(outbox: Outbox, organization_id: UUID, items: list[_Item]) -> list[str]:
    """All in one transaction; if that fails, each in its own, so that one holds up no other."""
    alone = items[0][1] if len(items) == 1 else None
    logger.set_correlation_id(alone.envelope.correlation_id if alone else None)
    try:
        with outbox.transaction(organization_id) as session:
            effects.take_effect(session, [webhook for _, webhook in items], clock.now())
    except Exception:
        if not alone:
            failed = [_together(outbox, organization_id, [item]) for item in items]
            return [message_id for one in failed for message_id in one]
        logger.exception("a webhook did not take effect", message_id=items[0][0])
        return [items[0][0]]
    for message_id, webhook in items:
        _log(message_id, webhook.envelope)
    return []


def _log(message_id: str, envelope: Envelope) -> None:
    logger.set_correlation_id(envelope.correlation_id)
    logger.info(
        "a webhook took effect",
        message_id=message_id,
        organization_id=str(envelope.organization_id),
        channel_id=str(envelope.channel_id),
    )
