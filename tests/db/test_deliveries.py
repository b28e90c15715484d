"""The ledger of what is sent: every way a delivery can go, and what it never does."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from countersign.channels import attempts, deliveries, sending
from countersign.channels.attempts import Claim
from countersign.channels.messages import (
    Accepted,
    DeliveryStatus,
    Refused,
    SendResult,
    Throttled,
    Unknown,
    Unreached,
)
from countersign.channels.providers import provider_module
from countersign.channels.sending import SendingSettings
from countersign.channels.tables import Delivery, DeliveryAttempt
from countersign.conversations import locking
from countersign.conversations.tables import Message, Notification
from countersign.people import directory
from countersign.platform import clock, queues
from countersign.platform.errors import Conflict, NotFound, Unavailable
from countersign.platform.ids import new_id
from countersign.platform.retrying import backoff
from tests.ledger import Ledger, ledger
from tests.world import memory_queues

__all__ = ["ledger", "memory_queues"]


def test_an_accepted_send_is_made_once(ledger: Ledger) -> None:
    ledger.answers(Accepted("SM1"))
    assert [ledger.deliver() for _ in range(3)] == ["sent", None, None]
    assert len(ledger.calls) == 1
    assert ledger.row.provider_message_id == "SM1"
    assert not ledger.waits


def test_for_whom_a_send_was_not_accepted_is_noted(ledger: Ledger) -> None:
    ledger.answers(Accepted("SM1", "al@example.net was refused: 550 5.1.1 unknown"))
    assert ledger.deliver() == "sent"
    with ledger.path.tenant_session() as session:
        attempt = session.scalars(select(DeliveryAttempt)).one()
    assert attempt.reason == "al@example.net was refused: 550 5.1.1 unknown"


def test_a_refusal_is_final_and_comes_back_to_a_person(ledger: Ledger) -> None:
    ledger.answers(Refused("21211", "The number is not valid."))
    assert [ledger.deliver(), ledger.deliver()] == ["failed", None]
    assert (ledger.row.reason_code, ledger.row.reason) == ("21211", "The number is not valid.")
    assert ledger.waits
    with ledger.path.tenant_session() as session:
        notice = session.scalars(
            select(Notification).where(Notification.type == "delivery_failed")
        ).one()
    assert notice.user_id == ledger.path.tenant.user_id


@pytest.mark.parametrize(
    "result", [Throttled(None, "Slow down."), Unreached("No route."), Throttled(40.0, "Later.")]
)
def test_what_surely_did_not_arrive_is_tried_again_later(
    ledger: Ledger, result: Throttled | Unreached
) -> None:
    ledger.answers(result, Accepted("SM1"))
    assert ledger.deliver() is None
    wait = ledger.row.not_before - ledger.now
    asked = result.retry_after if isinstance(result, Throttled) else None
    assert wait >= timedelta(seconds=asked or 1)
    assert len(ledger.path.sent.take("outbound")) == 1
    # A message that comes too early is put off, not acted on.
    assert ledger.deliver() is None
    assert len(ledger.calls) == 1
    assert len(ledger.path.sent.take("outbound")) == 1
    ledger.now += wait
    assert ledger.deliver() == "sent"


@pytest.mark.parametrize("found", [["SM1"], ["SM1", "SM2"]])
def test_a_try_that_was_answered_5xx_is_looked_up_before_the_next(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    ledger.answers(Throttled(None, "HTTP 502", may_have_arrived=True))
    assert ledger.deliver() is None
    # Not at once: what the provider took may not be in its list yet.
    assert ledger.row.not_before - ledger.now >= deliveries.LOOK_UP_AFTER[0]
    first_try, earlier_clocks = ledger.calls[0].since, timedelta(seconds=60)
    ledger.now += timedelta(hours=1)
    claims: list[Claim] = []
    twilio = provider_module("twilio")
    monkeypatch.undo()
    monkeypatch.setattr(clock, "now", lambda: ledger.now)
    monkeypatch.setattr(queues, "send_delayed", ledger.path.sent.send_delayed)
    monkeypatch.setattr(sending, "credentials", lambda *_: {})
    monkeypatch.setattr(sending, "_outgoing", lambda claim, settings: claims.append(claim))
    monkeypatch.setattr(twilio, "look_up", lambda *_: found)
    assert ledger.deliver() == ("sent" if len(found) == 1 else "unknown")
    assert claims[0].since == first_try - earlier_clocks


@pytest.mark.parametrize("provider", ["twilio", "api"])
def test_what_surely_did_not_arrive_can_be_taken_back(ledger: Ledger, provider: str) -> None:
    ledger.use(provider)
    ledger.answers(Throttled(None, "Slow down."))
    assert ledger.deliver() is None
    take_back(ledger)
    assert ledger.row.status == "cancelled"


@pytest.mark.parametrize(
    ("provider", "first"),
    [
        ("twilio", Throttled(None, "HTTP 502", may_have_arrived=True)),
        ("api", Throttled(None, "HTTP 502", may_have_arrived=True)),
        ("api", Unknown("The connection broke.")),
        ("api", KeyboardInterrupt()),
    ],
)
def test_what_may_have_arrived_cannot_be_taken_back(
    ledger: Ledger, provider: str, first: SendResult | BaseException
) -> None:
    """Countersigned anew, it would reach the customer twice: a new delivery has another id."""
    ledger.use(provider)
    ledger.answers(first, Throttled(None, "Slow down."))
    try:
        ledger.deliver()
    except KeyboardInterrupt:
        ledger.now += timedelta(hours=1)
        ledger.deliver()
    with pytest.raises(Conflict, match="earlier try may have arrived"):
        take_back(ledger)
    assert ledger.row.status == "queued"


def take_back(ledger: Ledger) -> None:
    message_id = ledger.row.message_id
    assert message_id
    with ledger.path.tenant_session() as session:
        locking.lock_of_delivery(session, ledger.id)
        deliveries.cancel(session, message_id, "undone")


def test_tries_end_at_last(ledger: Ledger) -> None:
    ledger.answers(*[Throttled(None, "Slow down.")] * attempts.MAX_ATTEMPTS)
    for _ in range(attempts.MAX_ATTEMPTS):
        ledger.now += timedelta(hours=1)
        state = ledger.deliver()
    assert state == "failed"
    assert ledger.path.count(DeliveryAttempt) == attempts.MAX_ATTEMPTS


def test_waiting_doubles_and_has_an_end() -> None:
    for tries in range(1, attempts.MAX_ATTEMPTS):
        wait = backoff(tries).total_seconds()
        assert min(600, 2**tries) / 2 <= wait <= min(600, 2**tries)
    assert backoff(1, 900.0).total_seconds() == 900


def test_a_lost_answer_is_unknown_and_not_sent_again(ledger: Ledger) -> None:
    ledger.answers(Unknown("The connection broke."))
    assert [ledger.deliver(), ledger.deliver()] == ["unknown", None]
    assert len(ledger.calls) == 1
    assert ledger.waits
    assert [body["look_up"] for body in ledger.path.sent.take("outbound")] == [0]


def test_a_look_up_that_finds_exactly_one_settles(ledger: Ledger) -> None:
    ledger.answers(Unknown("The connection broke."))
    ledger.deliver()
    ledger.finds([], ["SM7"])
    assert ledger.deliver(look_up=0) is None
    assert ledger.row.status == "unknown"
    assert ledger.deliver(look_up=1) == "sent"
    assert ledger.row.provider_message_id == "SM7"
    assert not ledger.waits
    assert ledger.deliver(look_up=1) is None


def test_a_look_up_that_finds_two_settles_nothing(ledger: Ledger) -> None:
    ledger.answers(Unknown("The connection broke."))
    ledger.deliver()
    ledger.finds(*[["SM7", "SM8"]] * 3)
    ledger.path.sent.take("outbound")
    for number in range(3):
        assert ledger.deliver(look_up=number) is None
    assert ledger.row.status == "unknown"
    assert len(ledger.path.sent.take("outbound")) == len(deliveries.LOOK_UP_AFTER) - 1


def add_other(ledger: Ledger, provider_message_id: str, created: datetime, sent: datetime) -> None:
    """Another delivery of the same conversation, made and sent at these times."""
    row = ledger.row
    added = Delivery(
        organization_id=row.organization_id,
        channel_id=row.channel_id,
        conversation_id=row.conversation_id,
        status="sent",
        sender=row.sender,
        recipient=row.recipient,
        payload=row.payload,
        not_before=row.not_before,
        leased_until=sent + attempts.LEASE,
        provider_message_id=provider_message_id,
        created_at=created,
    )
    with ledger.path.tenant_session() as session:
        session.add(added)


def test_a_look_up_leaves_out_what_another_delivery_owns(ledger: Ledger) -> None:
    ledger.answers(Unknown("The connection broke."))
    ledger.deliver()
    long_ago = ledger.now - timedelta(days=30)
    add_other(ledger, "SM7", created=long_ago, sent=ledger.now)
    ledger.finds(["SM7", "SM8"])
    assert ledger.deliver(look_up=0) == "sent"
    assert ledger.row.provider_message_id == "SM8"


def test_a_look_up_needs_no_more_of_a_long_conversation_than_it_may_find(ledger: Ledger) -> None:
    ledger.answers(Throttled(None, "HTTP 502", may_have_arrived=True))
    ledger.deliver()
    before = ledger.now - timedelta(hours=1)
    add_other(ledger, "SM6", created=before, sent=before)
    add_other(ledger, "SM7", created=before, sent=ledger.now)
    ledger.now += timedelta(hours=1)
    with ledger.path.tenant_session() as session:
        claimed = attempts.claim(session, ledger.id, ledger.now)
    assert isinstance(claimed, Claim)
    assert claimed.owned == {"SM7"}


@pytest.mark.parametrize(
    ("first", "look_up"),
    [
        (Unknown("The connection broke."), 0),
        (Throttled(None, "HTTP 502", may_have_arrived=True), None),
    ],
)
def test_what_came_to_be_anothers_during_the_look_up_is_not_ours(
    ledger: Ledger, first: SendResult, look_up: int | None
) -> None:
    ledger.answers(first)
    ledger.deliver()
    ledger.now += timedelta(hours=1)

    def another(claim: Claim, settings: SendingSettings) -> list[str]:
        add_other(ledger, "SM7", created=ledger.now, sent=ledger.now)
        return ["SM7"]

    ledger.patch.setattr(sending, "look_up", another)
    ledger.patch.setattr(sending, "send", lambda *both: Accepted(another(*both)[0]))
    assert ledger.deliver(look_up) == (None if look_up == 0 else "unknown")
    assert (ledger.row.status, ledger.row.provider_message_id) == ("unknown", None)


def test_a_receiver_that_deduplicates_is_sent_to_again(ledger: Ledger) -> None:
    ledger.use("api")
    ledger.answers(Unknown("The connection broke."), Accepted("d1"))
    assert ledger.deliver() is None
    ledger.now += timedelta(hours=1)
    assert ledger.deliver() == "sent"
    assert len({claim.delivery.id for claim in ledger.calls}) == 1


def test_a_worker_that_died_leaves_an_unknown_once_its_lease_ends(ledger: Ledger) -> None:
    ledger.answers(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        ledger.deliver()
    with pytest.raises(Unavailable):
        ledger.deliver()
    ledger.now += attempts.LEASE + timedelta(seconds=1)
    assert ledger.deliver() == "unknown"
    assert len(ledger.calls) == 1


@pytest.mark.parametrize(
    ("late", "state"), [(Refused("x", "Too late."), "unknown"), (Accepted("SM1"), "sent")]
)
def test_a_late_answer_counts_only_as_an_acceptance(
    ledger: Ledger, late: SendResult, state: str
) -> None:
    def send(claim: Claim, settings: SendingSettings) -> SendResult:
        ledger.now += attempts.LEASE + timedelta(seconds=1)
        assert ledger.deliver() == "unknown"
        return late

    ledger.patch.setattr(sending, "send", send)
    ledger.deliver()
    assert ledger.row.status == state


@pytest.mark.parametrize(
    ("events", "state"),
    [
        (["sent", "delivered"], "delivered"),
        (["delivered", "sent"], "delivered"),
        (["delivered", "failed"], "delivered"),
        (["failed", "delivered"], "delivered"),
        (["failed", "sent"], "failed"),
        (["sent", "failed"], "failed"),
        (["sent", "sent"], "sent"),
    ],
)
def test_events_end_right_in_any_order(ledger: Ledger, events: list[str], state: str) -> None:
    ledger.answers(Accepted("SM1"))
    ledger.deliver()
    for event in events:
        ledger.tell(event)
    assert ledger.row.status == state


def test_an_event_before_our_own_record_of_the_send(ledger: Ledger) -> None:
    def send(claim: Claim, settings: SendingSettings) -> SendResult:
        assert ledger.tell("delivered", claim.attempt_id, provider_message_id="SM1")
        return Accepted("SM1")

    ledger.patch.setattr(sending, "send", send)
    assert ledger.deliver() is None
    assert (ledger.row.status, ledger.row.provider_message_id) == ("delivered", "SM1")


def test_an_event_ends_the_attempt_of_a_worker_that_died(ledger: Ledger) -> None:
    ledger.answers(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        ledger.deliver()
    assert ledger.tell("sent", ledger.calls[0].attempt_id, provider_message_id="SM1")
    with ledger.path.tenant_session() as session:
        attempt = session.scalars(select(DeliveryAttempt)).one()
    assert (attempt.outcome, attempt.provider_message_id) == ("accepted", "SM1")
    assert attempt.finished_at is not None


def test_an_event_settles_an_unknown(ledger: Ledger) -> None:
    ledger.answers(Unknown("The connection broke."))
    ledger.deliver()
    assert ledger.tell("sent", ledger.calls[0].attempt_id)
    assert ledger.row.status == "sent"
    assert not ledger.waits


def test_an_event_for_a_cancelled_delivery_shows_the_message_again(ledger: Ledger) -> None:
    ledger.answers(Throttled(None, "502"))
    ledger.deliver()
    ledger.path.receive(ledger.path.tenant.webhook("One more thing", message_id="m2"))
    assert ledger.row.status == "cancelled"
    assert ledger.tell("delivered", ledger.calls[0].attempt_id)
    with ledger.path.tenant_session() as session:
        message = session.scalars(select(Message).where(Message.direction == "outbound")).one()
    assert message.cancelled_at is None


def test_an_earlier_try_that_fails_late_does_not_fail_the_next(ledger: Ledger) -> None:
    ledger.answers(Unknown("The connection broke."), Accepted("SM2"))
    ledger.deliver()
    with ledger.path.tenant_session() as session:
        deliveries.resolve(session, ledger.id, "resend", ledger.now)
    first = ledger.calls[0].attempt_id
    assert not ledger.tell("failed", first, provider_message_id="SM1")
    assert ledger.deliver() == "sent"
    assert not ledger.tell("failed", first, provider_message_id="SM1")
    assert ledger.tell("failed", first, provider_message_id="SM2")


def test_an_event_of_another_channel_finds_nothing(ledger: Ledger) -> None:
    event = DeliveryStatus(
        provider_event_id="e", status="sent", delivery_id=ledger.id, occurred_at=ledger.now
    )
    with ledger.path.tenant_session() as session:
        assert deliveries.find(session, new_id(), event) is None
        unnamed = DeliveryStatus(
            provider_event_id="e",
            status="sent",
            provider_message_id="SM404",
            occurred_at=ledger.now,
        )
        assert deliveries.find(session, ledger.path.tenant.channel_id, unnamed) is None


def test_who_opted_out_is_not_written_to_again(ledger: Ledger) -> None:
    ledger.answers(Refused("21610", "The recipient has unsubscribed."))
    assert ledger.deliver() == "failed"
    recipient = ledger.row.recipient
    with ledger.path.tenant_session() as session:
        assert directory.is_suppressed(session, recipient)


@pytest.mark.parametrize("resolution", ["sent", "failed", "resend"])
def test_a_person_decides_about_an_unknown(
    ledger: Ledger, resolution: deliveries.Resolution
) -> None:
    ledger.answers(Unknown("The connection broke."), Accepted("SM2"))
    ledger.deliver()
    ledger.path.sent.take("outbound")
    with ledger.path.tenant_session() as session:
        deliveries.resolve(session, ledger.id, resolution, ledger.now)
    if resolution == "resend":
        assert ledger.deliver() == "sent"
    else:
        assert ledger.row.status == resolution
    if resolution != "failed":
        with ledger.path.tenant_session() as session, pytest.raises(Conflict):
            deliveries.resolve(session, ledger.id, "resend", ledger.now)


def test_deciding_about_a_delivery_of_nobody(ledger: Ledger) -> None:
    with ledger.path.tenant_session() as session, pytest.raises(NotFound):
        deliveries.resolve(session, new_id(), "sent", ledger.now)


def test_there_is_nothing_to_claim_of_nobody(ledger: Ledger) -> None:
    with ledger.path.tenant_session() as session:
        assert attempts.claim(session, new_id(), ledger.now) is None
