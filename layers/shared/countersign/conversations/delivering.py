"""Sending one delivery: claim it, call the provider, settle it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from countersign.channels import attempts, sending
from countersign.channels.attempts import Claim
from countersign.channels.sending import SendingSettings
from countersign.channels.tables import Delivery, DeliveryState
from countersign.conversations import locking, outbound
from countersign.conversations.tables import Conversation
from countersign.platform import clock
from countersign.platform.db import TenantSession
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox

Stopped: TypeAlias = Callable[[TenantSession, Conversation, Delivery, datetime], None]
"""What a later room does about a delivery that was cancelled when it was to be handed over."""


def deliver(
    outbox: Outbox,
    settings: SendingSettings,
    stopped: Stopped,
    organization_id: UUID,
    delivery_id: UUID,
    look_up: int | None = None,
) -> DeliveryState | None:
    """Try once to send a delivery, or with `look_up` to find out what became of an `unknown` one.

    Returns the state it moved to, None if it did not move. Raises `Unavailable` to be tried again.
    """
    state = _try(outbox, settings, stopped, organization_id, delivery_id, look_up)
    logger.info(
        "a delivery was worked on",
        organization_id=str(organization_id),
        delivery_id=str(delivery_id),
        look_up=look_up,
        state=state,
    )
    return state


def _try(
    outbox: Outbox,
    settings: SendingSettings,
    stopped: Stopped,
    organization_id: UUID,
    delivery_id: UUID,
    look_up: int | None,
) -> DeliveryState | None:
    with outbox.transaction(organization_id) as session:
        conversation = locking.lock_of_delivery(session, delivery_id)
        claimed = attempts.claim(session, delivery_id, clock.now(), look_up)
        if isinstance(claimed, Delivery):
            return _record(session, conversation, claimed, stopped)
    if claimed is None:
        return None
    settle = _call(claimed, settings)
    with outbox.transaction(organization_id) as session:
        conversation = locking.lock_of_delivery(session, delivery_id)
        moved = settle(session)
        return _record(session, conversation, moved, stopped) if moved else None


def _call(claimed: Claim, settings: SendingSettings) -> Callable[[TenantSession], Delivery | None]:
    """Ask the provider, outside any transaction; returns what stores its answer."""
    if claimed.look_up is None:
        result = sending.send(claimed, settings)
        return lambda session: attempts.settle(session, claimed, result, clock.now())
    found = sending.look_up(claimed, settings)
    return lambda session: attempts.settle_look_up(session, claimed, found, clock.now())


def _record(
    session: TenantSession, conversation: Conversation, delivery: Delivery, stopped: Stopped
) -> DeliveryState:
    record = stopped if delivery.status == "cancelled" else outbound.record_outcome
    record(session, conversation, delivery, clock.now())
    return delivery.status
