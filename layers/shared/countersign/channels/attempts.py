"""One call to a provider for a delivery: claimed in one transaction, settled in another.

The claim raises the delivery's fence; a result counts only while its fence is the newest. A crash
between the two leaves what the provider may have taken.

The caller holds the lock on the conversation's row before it calls anything here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from countersign.channels import deliveries
from countersign.channels import messages as m
from countersign.channels.tables import Channel, Delivery, DeliveryAttempt
from countersign.people import directory
from countersign.platform.db import TenantSession
from countersign.platform.errors import Unavailable
from countersign.platform.ids import new_id
from countersign.platform.retrying import backoff

LEASE = timedelta(seconds=90)
"""Longer than the longest call and the function's own timeout."""
MAX_ATTEMPTS = 100
"""About half a day of a provider's outage."""
_CLOCKS_DIFFER = timedelta(seconds=60)
"""By how much a provider's clock may be behind ours."""


@dataclass(frozen=True)
class Claim:
    """The right to make one call for a delivery, until the lease ends."""

    delivery: Delivery
    channel: Channel
    attempt_id: UUID
    since: datetime
    """What equals the delivery and is older than this is not it."""
    look_up: int | None = None
    """None for a send, else which of the look-ups this is, from 0."""
    look_first: bool = False
    """Whether an earlier try may have arrived: it is sent only if a look-up finds nothing."""
    owned: frozenset[str] = frozenset()
    """The provider's ids of other messages to the recipient, which a look-up before the send may
    find too."""


def claim(
    session: TenantSession, delivery_id: UUID, now: datetime, look_up: int | None = None
) -> Claim | Delivery | None:
    """Lease a delivery for one call.

    Returns the `Claim`; the `Delivery` where the claim itself changed what became of it (it is
    suppressed, or an earlier call ended without a trace); None where there is nothing to do.
    Raises `Unavailable` while another worker holds the lease: the queue tries again.
    """
    delivery = deliveries.locked(session, delivery_id)
    if delivery is None:
        return None
    if delivery.status == "sending":
        return _take_over(session, delivery, now)
    if delivery.status == "unknown" and look_up is not None:
        return _lease_look_up(session, delivery, look_up)
    if delivery.status != "queued" or look_up is not None:
        return None
    if delivery.not_before > now:
        deliveries.promise(session, delivery, delivery.not_before)
        return None
    if directory.suppressed(session, deliveries.recipients(delivery)):
        deliveries.stop(session, delivery, "suppressed", now)
        return delivery
    return _lease(session, delivery, now)


def _take_over(session: TenantSession, delivery: Delivery, now: datetime) -> Claim | Delivery:
    """An earlier call ended without a trace: the provider may have accepted."""
    if delivery.leased_until and delivery.leased_until > now:
        raise Unavailable("Another worker is sending this.")
    attempt = deliveries.newest_attempt(session, delivery)
    attempt.outcome, attempt.finished_at = "unknown", now
    delivery.may_have_arrived = True
    if _may_go_again(session, delivery):
        return _lease(session, delivery, now)
    reason = "The worker ended before the provider's answer."
    deliveries.become_unknown(session, delivery, "no_answer", reason, now)
    return delivery


def _may_go_again(session: TenantSession, delivery: Delivery) -> bool:
    """Whether to send at once what may have arrived."""
    is_wanted = delivery.stop_reason is None and delivery.attempts < MAX_ATTEMPTS
    return is_wanted and deliveries.provider_of(session, delivery).RESEND_IS_SAFE


def _lease(session: TenantSession, delivery: Delivery, now: datetime) -> Claim:
    is_safe = deliveries.provider_of(session, delivery).RESEND_IS_SAFE
    look_first = delivery.may_have_arrived and not is_safe
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
        deliveries.channel_of(session, delivery),
        attempt.id,
        since,
        look_first=look_first,
        owned=_owned(session, delivery, since) if look_first else frozenset(),
    )


def _lease_look_up(session: TenantSession, delivery: Delivery, look_up: int) -> Claim:
    attempt_id = deliveries.newest_attempt(session, delivery).id
    channel, since = deliveries.channel_of(session, delivery), _first_try(session, delivery)
    return Claim(delivery, channel, attempt_id, since, look_up)


def settle(
    session: TenantSession, claimed: Claim, result: m.SendResult, now: datetime
) -> Delivery | None:
    """Store what the provider answered. Returns the delivery if this changed what became of it.

    A late answer, whose lease was taken over, still tells the truth about its own attempt: an
    acceptance settles an `unknown`, anything else is only noted.
    """
    _note(session, claimed.attempt_id, result, now)
    delivery = deliveries.locked(session, claimed.delivery.id)
    assert delivery is not None
    held = delivery.status == "sending" and delivery.fence == claimed.delivery.fence
    if isinstance(result, m.Accepted) and not _is_anothers(session, claimed, result):
        return deliveries.accept(session, delivery, result.provider_message_id, now)
    if not held:
        return None
    if isinstance(result, m.Refused):
        return deliveries.fail(session, delivery, result.code, result.reason)
    if isinstance(result, m.Accepted):
        result = m.Unknown("The message that was found is another's.")
    return _settle_open(session, delivery, result, now)


def _is_anothers(session: TenantSession, claimed: Claim, result: m.Accepted) -> bool:
    """Whether what a look-up found came to be another delivery's since the claim."""
    if not claimed.look_first:
        return False
    return result.provider_message_id in _owned(session, claimed.delivery, claimed.since)


def _settle_open(
    session: TenantSession,
    delivery: Delivery,
    result: m.Throttled | m.Unreached | m.Unknown,
    now: datetime,
) -> Delivery | None:
    """The provider said neither yes nor no: try again, unless that may send twice or is no use."""
    asked = None
    if isinstance(result, m.Unknown):
        delivery.may_have_arrived = True
    elif isinstance(result, m.Throttled):
        # Once a try may have arrived, that stays so, whatever became of later ones.
        delivery.may_have_arrived = delivery.may_have_arrived or result.may_have_arrived
        asked = result.retry_after
    if delivery.stop_reason:
        deliveries.stop(session, delivery, delivery.stop_reason, now)
        return delivery
    is_over = delivery.attempts >= MAX_ATTEMPTS
    if is_over and not delivery.may_have_arrived:
        return deliveries.fail(session, delivery, _code(result), result.reason)
    if is_over or (isinstance(result, m.Unknown) and not _may_go_again(session, delivery)):
        deliveries.become_unknown(session, delivery, "no_answer", result.reason, now)
        return delivery
    delivery.status, delivery.reason_code, delivery.reason = "queued", _code(result), result.reason
    delivery.not_before = now + _wait(session, delivery, asked)
    deliveries.promise(session, delivery, delivery.not_before)
    return None


def _wait(session: TenantSession, delivery: Delivery, asked: float | None) -> timedelta:
    """How long to wait for the next try, which for some must first find what the last one left."""
    wait = backoff(delivery.attempts, asked)
    if delivery.may_have_arrived and not deliveries.provider_of(session, delivery).RESEND_IS_SAFE:
        return max(wait, deliveries.LOOK_UP_AFTER[0])
    return wait


def settle_look_up(
    session: TenantSession, claimed: Claim, found: list[str], now: datetime
) -> Delivery | None:
    """Store what a look-up found: exactly one message that no other delivery owns settles it.

    Else it is looked up again later, and after the last time stays `unknown`, for a person.
    """
    assert claimed.look_up is not None
    delivery = deliveries.locked(session, claimed.delivery.id)
    if delivery is None or delivery.status != "unknown":
        return None
    owned = _owned(session, delivery, claimed.since)
    ours = [one for one in found if one not in owned]
    if len(ours) == 1:
        return deliveries.accept(session, delivery, ours[0], now)
    deliveries.look_up_later(session, delivery, claimed.look_up + 1, now)
    return None


def _first_try(session: TenantSession, delivery: Delivery) -> datetime:
    """Before which no call was made, but for those that a person's resend has settled."""
    started_at = session.scalars(
        select(DeliveryAttempt.started_at)
        .where(DeliveryAttempt.organization_id == session.organization_id)
        .where(DeliveryAttempt.delivery_id == delivery.id)
        .where(DeliveryAttempt.number == delivery.fence - delivery.attempts + 1)
    ).one()
    return started_at - _CLOCKS_DIFFER


def _owned(session: TenantSession, delivery: Delivery, since: datetime) -> frozenset[str]:
    """What a look-up of messages since then may find that is not `delivery`'s.

    A message is made within a lease, and `leased_until` is the end of the newest. When a delivery
    was made tells nothing: it may wait for weeks, or be sent again by a person.
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
        values["reason"] = result.note
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
