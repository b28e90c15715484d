"""A batch of webhooks takes effect: in one transaction a tenant, one by one where that fails."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from countersign.channels.envelope import Envelope, from_message
from countersign.channels.messages import DeliveryStatus, InboundMessage
from countersign.channels.providers import provider_module
from countersign.drafting import intake
from countersign.platform import clock
from countersign.platform.db import TenantSession
from countersign.platform.errors import Invalid, NotFound
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox


@dataclass(frozen=True)
class _Item:
    """One queue message, read: its events, or why they cannot be read."""

    message_id: str
    envelope: Envelope
    events: Sequence[InboundMessage | DeliveryStatus]
    rejection: str | None


def ingest(outbox: Outbox, records: Iterable[tuple[str, str]], bucket: str) -> list[str]:
    """Let each record take effect, once; returns the ids of those to be tried again.

    `records` are queue messages as `envelope.to_message` makes them, with their ids.
    """
    items: list[_Item] = []
    failed: list[str] = []
    for message_id, body in records:
        try:
            items.append(_read(message_id, body, bucket))
        except Exception:
            logger.exception("a webhook's queue message cannot be read", message_id=message_id)
            failed.append(message_id)
    items.sort(key=_order)
    for organization_id, group in groupby(items, key=lambda item: item.envelope.organization_id):
        failed += _together(outbox, organization_id, list(group))
    return failed


def _read(message_id: str, body: str, bucket: str) -> _Item:
    envelope = from_message(json.loads(body), bucket)
    try:
        events = provider_module(envelope.provider).parse(envelope.request)
    except Invalid as error:
        return _Item(message_id, envelope, (), error.detail)
    return _Item(message_id, envelope, events, None)


def _order(item: _Item) -> tuple[UUID, UUID, str, str]:
    """One order for all workers, so that none waits for a row of another that waits for its own."""
    for event in item.events:
        if isinstance(event, InboundMessage):
            key = event.conversation_external_id, event.sent_at.isoformat()
            return item.envelope.organization_id, item.envelope.channel_id, *key
    return item.envelope.organization_id, item.envelope.channel_id, "", ""


def _together(outbox: Outbox, organization_id: UUID, items: list[_Item]) -> list[str]:
    """All in one transaction; if that fails, each in its own, so that one holds up no other."""
    try:
        with outbox.transaction(organization_id) as session:
            for item in items:
                _apply(session, item)
    except Exception:
        if len(items) > 1:
            return [
                failed for item in items for failed in _together(outbox, organization_id, [item])
            ]
        logger.exception("a webhook did not take effect", message_id=items[0].message_id)
        return [items[0].message_id]
    return []


def _apply(session: TenantSession, item: _Item) -> None:
    try:
        if item.rejection is None:
            intake.take_in(session, item.envelope, item.events, clock.now())
        else:
            digest = hashlib.sha256(item.envelope.request.body).hexdigest()
            intake.reject(session, item.envelope, f"sha256:{digest}", item.rejection)
    except NotFound as error:
        logger.warning("a webhook has no channel any more", detail=error.detail)
