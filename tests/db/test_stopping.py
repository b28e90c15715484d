"""What is stopped at the last moment: by a suppression, by a newer message, by too many tries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from countersign.channels import attempts, sending
from countersign.channels.attempts import Claim
from countersign.channels.messages import (
    Accepted,
    SendResult,
    Throttled,
    Unreached,
)
from countersign.channels.sending import SendingSettings
from countersign.channels.tables import Delivery, DeliveryAttempt
from countersign.conversations.tables import Conversation, Message, Notification
from countersign.drafting.tables import Draft, DraftAction, DraftRequest, LearningSample
from countersign.people import directory
from tests.ledger import Ledger, ledger
from tests.world import memory_queues

__all__ = ["ledger", "memory_queues"]


def test_a_suppressed_recipient_is_not_written_to(ledger: Ledger) -> None:
    recipient = ledger.row.recipient
    with ledger.path.tenant_session() as session:
        directory.suppress(session, recipient, "opted_out")
        directory.suppress(session, recipient, "again")
    ledger.answers()
    assert ledger.deliver() == "cancelled"
    assert ledger.row.reason_code == "suppressed"


def test_what_is_stopped_at_the_hand_over_is_as_if_it_had_not_been_approved(ledger: Ledger) -> None:
    path, recipient = ledger.path, ledger.row.recipient
    with path.tenant_session() as session:
        directory.suppress(session, recipient, "opted_out")
    assert ledger.deliver() == "cancelled"
    with path.tenant_session() as session:
        assert session.scalars(select(Draft.status)).all() == ["superseded"]
        assert session.scalars(select(DraftAction.revoked_at)).one() is not None
        assert session.scalars(select(LearningSample)).all() == []
        assert session.scalars(select(Message.cancelled_at).order_by(Message.id)).all()[-1]
        (told,) = session.scalars(
            select(Notification).where(Notification.type == "delivery_cancelled")
        )
        assert told.user_id == path.tenant.principal.user_id
        assert told.payload["reason_code"] == "suppressed"
    assert ledger.waits
    path.draft()
    with path.tenant_session() as session:
        newest = select(DraftRequest).order_by(DraftRequest.revision.desc()).limit(1)
        request = session.scalars(newest).one()
        assert (request.revision, request.status, request.reason) == (2, "abstained", "suppressed")


def test_what_was_taken_back_and_yet_arrived_is_the_latest_again(ledger: Ledger) -> None:
    recipient = ledger.row.recipient
    with ledger.path.tenant_session() as session:
        directory.suppress(session, recipient, "opted_out")
    assert ledger.deliver() == "cancelled"
    assert ledger.tell("delivered")
    message_id = ledger.row.message_id
    with ledger.path.tenant_session() as session:
        conversation = session.scalars(select(Conversation)).one()
        assert conversation.latest_message_id == message_id
    assert not ledger.waits


def test_a_person_is_asked_at_last_where_a_try_may_have_arrived(ledger: Ledger) -> None:
    ledger.answers(Throttled(None, "HTTP 502", may_have_arrived=True), Unreached("No route."))
    ledger.deliver()
    with ledger.path.tenant_session() as session:
        session.execute(update(Delivery).values(attempts=attempts.MAX_ATTEMPTS - 1))
        session.execute(update(DeliveryAttempt).values(number=2 - attempts.MAX_ATTEMPTS + 1))
    ledger.now += timedelta(hours=1)
    assert ledger.deliver() == "unknown"
    assert ledger.tell("sent")


@pytest.mark.parametrize(
    ("result", "becomes", "draft"),
    [
        (Throttled(None, "Slow down."), "cancelled", "superseded"),
        (Unreached("No route."), "cancelled", "superseded"),
        (Throttled(None, "HTTP 502", may_have_arrived=True), "unknown", "sent"),
        (Accepted("SM1"), "sent", "sent"),
    ],
)
def test_a_newer_message_during_the_call_lets_it_be_the_last(
    ledger: Ledger, result: SendResult, becomes: str, draft: str
) -> None:
    path = ledger.path

    def answer(claim: Claim, settings: SendingSettings) -> SendResult:
        path.receive(path.tenant.webhook("Forget it.", message_id="m2"))
        return result

    ledger.patch.setattr(sending, "send", answer)
    assert ledger.deliver() == becomes
    with path.tenant_session() as session:
        drafts = session.scalars(select(Draft.status)).all()
        samples = session.scalars(select(LearningSample)).all()
        asked = session.scalars(select(DraftRequest.revision)).all()
    assert drafts == [draft]
    assert len(samples) == (draft == "sent")
    assert asked == [1, 1]
    assert ledger.waits


def test_a_newer_message_does_not_take_back_what_may_have_arrived(ledger: Ledger) -> None:
    """Its approval would be gone, and the customer have two answers."""
    ledger.answers(Throttled(None, "HTTP 502", may_have_arrived=True))
    ledger.deliver()
    ledger.path.sent.take("outbound")
    ledger.path.receive(ledger.path.tenant.webhook("And exchange it?", message_id="m2"))
    assert ledger.row.status == "unknown"
    assert [body["look_up"] for body in ledger.path.sent.take("outbound")] == [0]
    assert ledger.tell("delivered")
    with ledger.path.tenant_session() as session:
        assert session.scalars(select(Draft.status)).all() == ["sent"]
    assert ledger.waits
