"""A person settles what the machine could not: a delivery that failed, or may have arrived."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from countersign.channels import deliveries
from countersign.channels.deliveries import Resolution
from countersign.channels.tables import Delivery
from countersign.conversations import locking, outbound
from countersign.identity.api_keys import Principal
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import NotFound


def resolve(
    session: TenantSession,
    principal: Principal,
    delivery_id: UUID,
    outcome: Resolution,
    now: datetime,
) -> Delivery:
    """Settle a delivery that is `unknown` or `failed`; what was or will be sent waits no more.

    Raises `Forbidden` for a key without a person, `NotFound`, `Conflict`.
    """
    principal.person  # noqa: B018  only a person may vouch for what a customer got
    try:
        conversation = locking.lock_of_delivery(session, delivery_id)
    except NotFound:
        raise NotFound("There is no such delivery here.") from None
    delivery = deliveries.resolve(session, delivery_id, outcome, now)
    if outcome != "failed":
        outbound.went_out(session, conversation, delivery, now)
    data = {
        "delivery_id": str(delivery.id),
        "message_id": str(delivery.message_id),
        "outcome": outcome,
        "api_key_id": str(principal.api_key_id),
    }
    event = audit.Event("delivery.resolved", principal.actor, data)
    audit.append(session, conversation.id, [event], now)
    return delivery
