"""The one ledger of what is sent.

A delivery is queued → sending → sent → delivered | failed | unknown | cancelled. What the provider
may have accepted and did not confirm is `unknown`: settled by its events, by a look-up that finds
exactly one, or by a person. It is never blindly sent again, except to a receiver that deduplicates.
Each call to a provider is claimed and settled in `attempts`.

The caller holds the lock on the conversation's row before it calls anything here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select, update

from countersign.channels import messages as m
from countersign.channels.providers import Provider, provider_module
from countersign.channels.tables import Channel, Delivery, DeliveryAttempt, DeliveryState
from countersign.people import directory
from countersign.platform import outbox
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, Invalid, NotFound
from countersign.platform.ids import new_id

LARGEST_PAYLOAD_BYTES = 65_536
"""As much as a JSON column holds."""
LOOK_UP_AFTER = (timedelta(seconds=20), timedelta(minutes=2), timedelta(minutes=10))
"""When an `unknown` is looked up; before the first, what a provider took may not be listed yet."""

Resolution = Literal["sent", "failed", "resend"]

# What a provider's event may still change: a later stage is never taken back to an earlier one.
_OPEN: dict[str, tuple[DeliveryState, ...]] = {
    "sent": ("queued", "sending", "unknown", "cancelled"),
    "delivered": ("queued", "sending", "unknown", "sent", "failed", "cancelled"),
    "failed": ("queued", "sending", "unknown", "sent"),
    "bounced": ("queued", "sending", "unknown", "sent", "delivered", "failed"),
}
_BOUNCED = "bounced"
"""The `stop_reason` of what came back: whatever else is told of it, it did not arrive."""


def queue(
    session: TenantSession,
    *,
    channel_id: UUID,
    conversation_id: UUID,
    message_id: UUID,
    sender: str,
    recipient: str,
    payload: dict[str, Any],
    not_before: datetime,
) -> Delivery:
    """Put something to be sent on the ledger, to go not before a time.

    `payload` is what the provider module sends: "text", and "conversation" (the provider's id); of
    a mail more. Raises `Invalid` for more than a row holds.
    """
    if len(json.dumps(payload, ensure_ascii=False).encode()) > LARGEST_PAYLOAD_BYTES:
        wrong = {"where": "body", "what": "Text and recipients are too long together"}
        raise Invalid("The message is too large for its delivery.", errors=[wrong])
    delivery = Delivery(
        organization_id=session.organization_id,
        id=new_id(),
        channel_id=channel_id,
        conversation_id=conversation_id,
        message_id=message_id,
        status="queued",
        sender=sender,
        recipient=recipient,
        payload=payload,
        not_before=not_before,
    )
    session.add(delivery)
    promise(session, delivery, not_before)
    return delivery


def promise(
    session: TenantSession, delivery: Delivery, when: datetime, look_up: int | None = None
) -> None:
    """Promise that a delivery is tried, or with `look_up` looked up, at a time."""
    body: dict[str, Any] = {
        "organization_id": str(session.organization_id),
        "delivery_id": str(delivery.id),
    }
    if look_up is not None:
        body["look_up"] = look_up
    outbox.enqueue(session, "outbound", body, when)


def stop_all(
    session: TenantSession, conversation_ids: Iterable[UUID], reason: str, now: datetime
) -> list[Delivery]:
    """Let nothing more be handed over in conversations; returns the deliveries that this ended.

    What is queued is `cancelled`, or `unknown` if an earlier try may have arrived. A call under way
    may succeed; if it does not, it is not made again.
    """
    under_way = session.scalars(
        select(Delivery)
        .where(Delivery.organization_id == session.organization_id)
        .where(Delivery.conversation_id.in_(list(conversation_ids)))
        .where(Delivery.status.in_(("queued", "sending")))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    for delivery in under_way:
        if delivery.status == "sending":
            delivery.stop_reason = reason
        else:
            stop(session, delivery, reason, now)
    return [delivery for delivery in under_way if delivery.status != "sending"]


def stop(session: TenantSession, delivery: Delivery, reason: str, now: datetime) -> None:
    """Let a locked delivery not be handed over: `cancelled`, `unknown` if it may have arrived."""
    delivery.stop_reason = reason
    if delivery.may_have_arrived:
        become_unknown(session, delivery, reason, None, now)
    else:
        delivery.status, delivery.reason_code, delivery.reason = "cancelled", reason, None


def cancel(session: TenantSession, message_id: UUID, reason: str) -> Delivery:
    """Cancel a message's delivery. Raises `Conflict` once it was, or may have been, handed over."""
    delivery = session.scalars(
        select(Delivery)
        .where(Delivery.organization_id == session.organization_id)
        .where(Delivery.message_id == message_id)
        .with_for_update()
    ).one()
    if delivery.status != "queued":
        raise Conflict(
            f"The message can no longer be taken back: its delivery is {delivery.status}."
        )
    if delivery.may_have_arrived:
        # What is said in its place would be sent without the look-up that this one still gets.
        raise Conflict("The message can no longer be taken back: an earlier try may have arrived.")
    delivery.status, delivery.reason_code = "cancelled", reason
    return delivery


def recipients(delivery: Delivery) -> list[str]:
    """Who gets a delivery: whom it is for first, then whoever else a mail goes to."""
    named = [one["address"] for kind in ("to", "cc") for one in delivery.payload.get(kind, ())]
    return list(dict.fromkeys([delivery.recipient, *named]))


def accept(
    session: TenantSession, delivery: Delivery, provider_message_id: str, now: datetime
) -> Delivery | None:
    """The provider has taken a locked delivery; returns it if that is news."""
    delivery.provider_message_id = delivery.provider_message_id or provider_message_id
    if delivery.status not in _OPEN["sent"]:
        return None
    delivery.status, delivery.sent_at = "sent", now
    delivery.reason_code = delivery.reason = None
    return delivery


def fail(
    session: TenantSession, delivery: Delivery, code: str | None, reason: str | None
) -> Delivery:
    """The provider will not bring a locked delivery, and says why."""
    delivery.status, delivery.reason_code, delivery.reason = "failed", code, reason
    if code in provider_of(session, delivery).OPTED_OUT:
        directory.suppress(session, delivery.recipient, directory.OPTED_OUT)
    return delivery


def become_unknown(
    session: TenantSession, delivery: Delivery, code: str, reason: str | None, now: datetime
) -> None:
    """The provider may have taken a locked delivery: look it up later, and again after that."""
    delivery.status, delivery.reason_code, delivery.reason = "unknown", code, reason
    look_up_later(session, delivery, 0, now)


def look_up_later(session: TenantSession, delivery: Delivery, look_up: int, now: datetime) -> None:
    """Promise a look-up, counted from 0; after the last it is for a person to say."""
    if look_up < len(LOOK_UP_AFTER):
        promise(session, delivery, now + LOOK_UP_AFTER[look_up], look_up)


def apply_status(
    session: TenantSession, delivery_id: UUID, status: m.DeliveryStatus
) -> Delivery | None:
    """Move a delivery as its provider's event says; returns it if it moved.

    Events come twice, out of order, and before our own record of the send.
    """
    delivery = locked(session, delivery_id)
    if delivery is None or status.status == "deferred":
        return None
    if status.suppress:
        _suppress(session, delivery, status)
    if status.recipient and not _are_same(status.recipient, delivery.recipient):
        # Of who got it besides.
        return None
    if status.status in ("failed", "bounced") and not _is_of_newest_try(session, delivery, status):
        return None
    delivery.provider_message_id = delivery.provider_message_id or status.provider_message_id
    if delivery.status not in _OPEN[status.status] or delivery.stop_reason == _BOUNCED:
        return None
    if delivery.status == "sending":
        _end_attempt(session, delivery, status)
    if status.status == "bounced":
        delivery.stop_reason = _BOUNCED
    if status.status != "sent" and status.status != "delivered":
        return fail(session, delivery, status.error_code, status.error_reason)
    delivery.status = status.status
    delivery.reason_code = delivery.reason = None
    delivery.sent_at = delivery.sent_at or status.occurred_at
    if status.status == "delivered":
        delivery.delivered_at = status.occurred_at
    return delivery


def _suppress(session: TenantSession, delivery: Delivery, status: m.DeliveryStatus) -> None:
    """Note whom not to write to; of whom we did not write to, an event may say what it likes."""
    assert status.suppress
    told_of = status.recipient or delivery.recipient
    for address in recipients(delivery):
        if _are_same(address, told_of):
            directory.suppress(session, address, status.suppress)


def _are_same(one: str, other: str) -> bool:
    # Events of mail alone name a recipient: what knows no mail starts without the room of it.
    from countersign.mail import fieldwriting

    return fieldwriting.are_same(one, other)


def _is_of_newest_try(session: TenantSession, delivery: Delivery, status: m.DeliveryStatus) -> bool:
    """An earlier try may fail late, when a person has long had it sent again."""
    if status.attempt_id is None:
        return True
    if delivery.status == "queued":
        return delivery.may_have_arrived
    if status.attempt_id == newest_attempt(session, delivery).id:
        return True
    return status.provider_message_id is not None and (
        status.provider_message_id == delivery.provider_message_id
    )


def _end_attempt(session: TenantSession, delivery: Delivery, status: m.DeliveryStatus) -> None:
    """An event proves that a call was accepted; who made it may not live to say so."""
    still_open = (
        update(DeliveryAttempt)
        .where(DeliveryAttempt.organization_id == session.organization_id)
        .where(DeliveryAttempt.delivery_id == delivery.id)
        .where(DeliveryAttempt.finished_at.is_(None))
    )
    if status.attempt_id:
        still_open = still_open.where(DeliveryAttempt.id == status.attempt_id)
    session.execute(
        still_open.values(
            outcome="accepted",
            finished_at=status.occurred_at,
            provider_message_id=status.provider_message_id,
        )
    )


def find(session: TenantSession, channel_id: UUID, status: m.DeliveryStatus) -> UUID | None:
    """The id of the delivery that an event is about, by whichever of its ids is known here."""
    mine = Delivery.organization_id == session.organization_id, Delivery.channel_id == channel_id
    if status.attempt_id:
        attempt = select(DeliveryAttempt.delivery_id).where(
            DeliveryAttempt.organization_id == session.organization_id,
            DeliveryAttempt.id == status.attempt_id,
        )
        return session.scalar(
            select(Delivery.id).where(*mine, Delivery.id == attempt.scalar_subquery())
        )
    if status.delivery_id:
        return session.scalar(select(Delivery.id).where(*mine, Delivery.id == status.delivery_id))
    if status.message_id:
        return session.scalar(
            select(Delivery.id).where(*mine, Delivery.message_id == status.message_id)
        )
    if status.provider_message_id is None:
        return None
    return session.scalar(
        select(Delivery.id).where(*mine, Delivery.provider_message_id == status.provider_message_id)
    )


def resolve(
    session: TenantSession, delivery_id: UUID, resolution: Resolution, now: datetime
) -> Delivery:
    """What a person decides about a delivery that is `unknown` or `failed`. Raises `Conflict`."""
    delivery = locked(session, delivery_id)
    if delivery is None:
        raise NotFound("There is no such delivery.")
    if delivery.status not in ("unknown", "failed"):
        raise Conflict(f"The delivery is {delivery.status}; there is nothing to decide.")
    if resolution == "resend":
        delivery.status, delivery.not_before, delivery.attempts = "queued", now, 0
        # They have seen what came since, and what became of the tries before.
        delivery.stop_reason, delivery.may_have_arrived = None, False
        # The next try has an id of its own; the one that failed must not be taken for it.
        delivery.provider_message_id = None
        promise(session, delivery, now)
    else:
        delivery.status = resolution
        delivery.sent_at = now if resolution == "sent" else None
    return delivery


def locked(session: TenantSession, delivery_id: UUID) -> Delivery | None:
    """The delivery, its row locked, as it is now."""
    return session.scalars(
        select(Delivery)
        .where(Delivery.organization_id == session.organization_id)
        .where(Delivery.id == delivery_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def newest_attempt(session: TenantSession, delivery: Delivery) -> DeliveryAttempt:
    """The latest call that was made, or begun, for a delivery."""
    return session.scalars(
        select(DeliveryAttempt)
        .where(DeliveryAttempt.organization_id == session.organization_id)
        .where(DeliveryAttempt.delivery_id == delivery.id)
        .order_by(DeliveryAttempt.number.desc())
        .limit(1)
    ).one()


def channel_of(session: TenantSession, delivery: Delivery) -> Channel:
    """The channel that a delivery goes out by."""
    return session.get_one(Channel, (session.organization_id, delivery.channel_id))


def provider_of(session: TenantSession, delivery: Delivery) -> Provider:
    """The provider that a delivery goes out by."""
    return provider_module(channel_of(session, delivery).provider)
