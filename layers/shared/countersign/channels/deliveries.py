"""The one ledger of what is sent.

A delivery is queued → sending → sent → delivered | failed | unknown | cancelled.
A send is claimed in one transaction, made outside any, and settled in another. The claim raises the
delivery's fence; a result counts only while its fence is the newest. A crash after the provider may
have accepted leaves `unknown`: settled by the provider's events, by a look-up that finds exactly
one, or by a person. It is never blindly sent again, except to a receiver that deduplicates.

The caller holds the lock on the conversation's row before it calls anything here.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
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
from countersign.platform.errors import Conflict, NotFound, Unavailable
from countersign.platform.ids import new_id

LEASE = timedelta(seconds=90)
"""Longer than the longest call and the function's own timeout."""
MAX_ATTEMPTS = 8
_FALTERED = "provider_error"
LOOK_UP_AFTER = (timedelta(seconds=20), timedelta(minutes=2), timedelta(minutes=10))

Resolution = Literal["sent", "failed", "resend"]

# What a provider's event may still change: a later stage is never taken back to an earlier one.
# A cancelled delivery can turn out to be sent: an earlier try was answered 5xx and yet accepted.
_OPEN: dict[str, tuple[DeliveryState, ...]] = {
    "sent": ("queued", "sending", "unknown", "cancelled"),
    "delivered": ("queued", "sending", "unknown", "sent", "failed", "cancelled"),
    "failed": ("queued", "sending", "unknown", "sent"),
}


@dataclass(frozen=True)
class Claim:
    """The right to make one call for a delivery, until the lease ends."""

    delivery: Delivery
    channel: Channel
    attempt_id: UUID
    started_at: datetime
    look_up: int | None = None
    """None for a send, else which of the look-ups this is, from 0."""
    look_first: bool = False
    """Whether an earlier try may have arrived: it is sent only if a look-up finds nothing."""
    owned: frozenset[str] = frozenset()
    """The provider's ids of other messages to the recipient, which a look-up may find too."""


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

    `payload` is what the provider module sends: "text", and "conversation" (the provider's id).
    """
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
    _promise(session, delivery, not_before)
    return delivery


def cancel_queued(
    session: TenantSession, conversation_ids: Iterable[UUID], reason: str
) -> list[Delivery]:
    """Cancel what has not been handed over in conversations; returns those deliveries."""
    cancelled = session.scalars(
        update(Delivery)
        .where(Delivery.organization_id == session.organization_id)
        .where(Delivery.conversation_id.in_(list(conversation_ids)))
        .where(Delivery.status == "queued")
        .values(status="cancelled", reason_code=reason)
        .returning(Delivery)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return list(cancelled)


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
    if delivery.reason_code == _FALTERED:
        # What is said in its place would be sent without the look-up that this one still gets.
        raise Conflict("The message can no longer be taken back: an earlier try may have arrived.")
    delivery.status, delivery.reason_code = "cancelled", reason
    return delivery


def claim(
    session: TenantSession, delivery_id: UUID, now: datetime, look_up: int | None = None
) -> Claim | Delivery | None:
    """Lease a delivery for one call.

    Returns the `Claim`; the `Delivery` where the claim itself changed what became of it (it is
    suppressed, or an earlier call ended without a trace); None where there is nothing to do.
    Raises `Unavailable` while another worker holds the lease: the queue tries again.
    """
    delivery = _locked(session, delivery_id)
    if delivery is None:
        return None
    if delivery.status == "sending":
        return _take_over(session, delivery, now)
    if delivery.status == "unknown" and look_up is not None:
        return _lease_look_up(session, delivery, now, look_up)
    if delivery.status != "queued" or look_up is not None:
        return None
    if delivery.not_before > now:
        _promise(session, delivery, delivery.not_before)
        return None
    if directory.is_suppressed(session, delivery.recipient):
        delivery.status, delivery.reason_code = "cancelled", "suppressed"
        return delivery
    return _lease(session, delivery, now)


def _take_over(session: TenantSession, delivery: Delivery, now: datetime) -> Claim | Delivery:
    """An earlier call ended without a trace: the provider may have accepted."""
    if delivery.leased_until and delivery.leased_until > now:
        raise Unavailable("Another worker is sending this.")
    attempt = _newest_attempt(session, delivery)
    attempt.outcome, attempt.finished_at = "unknown", now
    if _provider(session, delivery).RESEND_IS_SAFE:
        delivery.reason_code = _FALTERED
        return _lease(session, delivery, now)
    _become_unknown(session, delivery, "The worker ended before the provider's answer.", now)
    return delivery


def _lease(session: TenantSession, delivery: Delivery, now: datetime) -> Claim:
    look_first = (
        delivery.reason_code == _FALTERED and not _provider(session, delivery).RESEND_IS_SAFE
    )
    since = _first_try(session, delivery) if look_first else now
    delivery.status = "sending"
    delivery.fence += 1
    delivery.attempts += 1
    delivery.leased_until = now + LEASE
    attempt = DeliveryAttempt(
        organization_id=session.organization_id,
        id=new_id(),
        delivery_id=delivery.id,
        number=delivery.fence,
        started_at=now,
    )
    session.add(attempt)
    return Claim(
        delivery,
        _channel(session, delivery),
        attempt.id,
        since,
        look_first=look_first,
        owned=_owned(session, delivery, since) if look_first else frozenset(),
    )


def _lease_look_up(
    session: TenantSession, delivery: Delivery, now: datetime, look_up: int
) -> Claim:
    attempt = _newest_attempt(session, delivery)
    channel = _channel(session, delivery)
    since = attempt.started_at
    owned = _owned(session, delivery, since)
    return Claim(delivery, channel, attempt.id, since, look_up, owned=owned)


def settle(
    session: TenantSession, claimed: Claim, result: m.SendResult, now: datetime
) -> Delivery | None:
    """Store what the provider answered. Returns the delivery if this changed what became of it.

    A late answer, whose lease was taken over, still tells the truth about its own attempt: an
    acceptance settles an `unknown`, anything else is only noted.
    """
    _note(session, claimed.attempt_id, result, now)
    delivery = _locked(session, claimed.delivery.id)
    assert delivery is not None
    held = delivery.status == "sending" and delivery.fence == claimed.delivery.fence
    if isinstance(result, m.Accepted):
        return _accept(session, delivery, result.provider_message_id, now)
    if not held:
        return None
    if isinstance(result, m.Refused):
        return _fail(session, delivery, result.code, result.reason)
    if isinstance(result, m.Unknown) and not _provider(session, delivery).RESEND_IS_SAFE:
        _become_unknown(session, delivery, result.reason, now)
        return delivery
    return _retry(session, delivery, result, now)


def _accept(
    session: TenantSession, delivery: Delivery, provider_message_id: str, now: datetime
) -> Delivery | None:
    delivery.provider_message_id = delivery.provider_message_id or provider_message_id
    if delivery.status not in _OPEN["sent"]:
        return None
    delivery.status, delivery.sent_at = "sent", now
    delivery.reason_code = delivery.reason = None
    return delivery


def _fail(
    session: TenantSession, delivery: Delivery, code: str | None, reason: str | None
) -> Delivery:
    delivery.status, delivery.reason_code, delivery.reason = "failed", code, reason
    if code in _provider(session, delivery).OPTED_OUT:
        directory.suppress(session, delivery.recipient, directory.OPTED_OUT)
    return delivery


def _retry(
    session: TenantSession,
    delivery: Delivery,
    result: m.Throttled | m.Unreached | m.Unknown,
    now: datetime,
) -> Delivery | None:
    asked, faltered = None, isinstance(result, m.Unknown)
    if isinstance(result, m.Throttled):
        asked, faltered = result.retry_after, result.may_have_arrived
    # Once a try may have arrived, that stays so, whatever became of later ones.
    faltered = faltered or delivery.reason_code == _FALTERED
    delivery.reason_code = _FALTERED if faltered else _code(result)
    delivery.reason = result.reason
    if delivery.attempts >= MAX_ATTEMPTS:
        delivery.status = "failed"
        return delivery
    delivery.status = "queued"
    delivery.not_before = now + backoff(delivery.attempts, asked)
    _promise(session, delivery, delivery.not_before)
    return None


def backoff(attempts: int, asked: float | None = None) -> timedelta:
    """How long to wait after that many tries: doubling from 2 s to 10 min with full jitter, and at
    least as long as the provider asked for."""
    return timedelta(seconds=max(asked or 0.0, random.uniform(0.5, 1) * min(600, 2**attempts)))


def settle_look_up(
    session: TenantSession, claimed: Claim, found: list[str], now: datetime
) -> Delivery | None:
    """Store what a look-up found: exactly one message that no other delivery owns settles it.

    Else it is looked up again later, and after the last time stays `unknown`, for a person.
    """
    assert claimed.look_up is not None
    delivery = _locked(session, claimed.delivery.id)
    if delivery is None or delivery.status != "unknown":
        return None
    ours = [one for one in found if one not in claimed.owned]
    if len(ours) == 1:
        return _accept(session, delivery, ours[0], now)
    _look_up_later(session, delivery, claimed.look_up + 1, now)
    return None


def apply_status(
    session: TenantSession, delivery_id: UUID, status: m.DeliveryStatus
) -> Delivery | None:
    """Move a delivery as its provider's event says; returns it if it moved.

    Events come twice, out of order, and before our own record of the send.
    """
    delivery = _locked(session, delivery_id)
    if delivery is None:
        return None
    if status.status == "failed" and not _is_of_newest_try(session, delivery, status):
        return None
    delivery.provider_message_id = delivery.provider_message_id or status.provider_message_id
    if delivery.status not in _OPEN[status.status]:
        return None
    if delivery.status == "sending":
        _end_attempt(session, delivery, status)
    if status.status == "failed":
        return _fail(session, delivery, status.error_code, status.error_reason)
    delivery.status = status.status
    delivery.reason_code = delivery.reason = None
    delivery.sent_at = delivery.sent_at or status.occurred_at
    if status.status == "delivered":
        delivery.delivered_at = status.occurred_at
    return delivery


def _is_of_newest_try(session: TenantSession, delivery: Delivery, status: m.DeliveryStatus) -> bool:
    """An earlier try may fail late, when a person has long had it sent again."""
    if status.attempt_id is None:
        return True
    if delivery.status == "queued":
        return delivery.reason_code == _FALTERED
    if status.attempt_id == _newest_attempt(session, delivery).id:
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
    return session.scalar(
        select(Delivery.id).where(*mine, Delivery.provider_message_id == status.provider_message_id)
    )


def resolve(
    session: TenantSession, delivery_id: UUID, resolution: Resolution, now: datetime
) -> Delivery:
    """What a person decides about a delivery that is `unknown` or `failed`. Raises `Conflict`."""
    delivery = _locked(session, delivery_id)
    if delivery is None:
        raise NotFound("There is no such delivery.")
    if delivery.status not in ("unknown", "failed"):
        raise Conflict(f"The delivery is {delivery.status}; there is nothing to decide.")
    if resolution == "resend":
        delivery.status, delivery.not_before, delivery.attempts = "queued", now, 0
        # The next try has an id of its own; the one that failed must not be taken for it.
        delivery.provider_message_id = None
        _promise(session, delivery, now)
    else:
        delivery.status = resolution
        delivery.sent_at = now if resolution == "sent" else None
    return delivery


def _locked(session: TenantSession, delivery_id: UUID) -> Delivery | None:
    return session.scalars(
        select(Delivery)
        .where(Delivery.organization_id == session.organization_id)
        .where(Delivery.id == delivery_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def _newest_attempt(session: TenantSession, delivery: Delivery) -> DeliveryAttempt:
    return session.scalars(
        select(DeliveryAttempt)
        .where(DeliveryAttempt.organization_id == session.organization_id)
        .where(DeliveryAttempt.delivery_id == delivery.id)
        .order_by(DeliveryAttempt.number.desc())
        .limit(1)
    ).one()


def _channel(session: TenantSession, delivery: Delivery) -> Channel:
    return session.get_one(Channel, (session.organization_id, delivery.channel_id))


def _provider(session: TenantSession, delivery: Delivery) -> Provider:
    return provider_module(_channel(session, delivery).provider)


def _become_unknown(session: TenantSession, delivery: Delivery, reason: str, now: datetime) -> None:
    delivery.status, delivery.reason_code, delivery.reason = "unknown", "no_answer", reason
    _look_up_later(session, delivery, 0, now)


def _look_up_later(session: TenantSession, delivery: Delivery, look_up: int, now: datetime) -> None:
    if look_up < len(LOOK_UP_AFTER):
        _promise(session, delivery, now + LOOK_UP_AFTER[look_up], look_up)


def _promise(
    session: TenantSession, delivery: Delivery, when: datetime, look_up: int | None = None
) -> None:
    body: dict[str, Any] = {
        "organization_id": str(session.organization_id),
        "delivery_id": str(delivery.id),
    }
    if look_up is not None:
        body["look_up"] = look_up
    outbox.enqueue(session, "outbound", body, when)


def _first_try(session: TenantSession, delivery: Delivery) -> datetime:
    return session.scalars(
        select(DeliveryAttempt.started_at)
        .where(DeliveryAttempt.organization_id == session.organization_id)
        .where(DeliveryAttempt.delivery_id == delivery.id)
        .order_by(DeliveryAttempt.number)
        .limit(1)
    ).one()


def _owned(session: TenantSession, delivery: Delivery, since: datetime) -> frozenset[str]:
    """What a look-up of messages since then may find that is not `delivery`'s.

    A message is made within a lease, and `leased_until` is the end of the newest: it is later by
    what a call takes less than a lease, half a minute at least, so clocks may differ by that. When
    a delivery was made tells nothing: it may wait for weeks, or be sent again by a person.
    """
    owned = session.scalars(
        select(Delivery.provider_message_id)
        .where(Delivery.organization_id == session.organization_id)
        .where(Delivery.conversation_id == delivery.conversation_id)
        .where(Delivery.id != delivery.id)
        .where(Delivery.leased_until >= since)
        .where(Delivery.provider_message_id.is_not(None))
    )
    return frozenset(one for one in owned if one)


def _note(session: TenantSession, attempt_id: UUID, result: m.SendResult, now: datetime) -> None:
    values: dict[str, Any] = {"outcome": _code(result), "finished_at": now}
    if isinstance(result, m.Accepted):
        values["provider_message_id"] = result.provider_message_id
    else:
        values["reason"] = result.reason
    if isinstance(result, m.Refused):
        values["reason_code"] = result.code
    session.execute(
        update(DeliveryAttempt)
        .where(DeliveryAttempt.organization_id == session.organization_id)
        .where(DeliveryAttempt.id == attempt_id)
        .values(**values)
    )


def _code(result: m.SendResult) -> str:
    return type(result).__name__.lower()
