"""Answers are mails: to whom they go, and what becomes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from countersign.channels import deliveries, sending
from countersign.channels.attempts import Claim
from countersign.channels.messages import DeliveryStatus, Outgoing
from countersign.channels.tables import Channel, Delivery
from countersign.conversations.tables import Conversation
from countersign.mail import replies
from countersign.people import directory
from countersign.platform.ids import new_id
from tests.mailbox import KEY, SUPPORT, Mailbox, approved, mailbox, stored
from tests.world import SENDING_SETTINGS, memory_queues

__all__ = ["mailbox", "memory_queues", "stored"]


def outgoing(mailbox: Mailbox, delivery: Delivery) -> Outgoing:
    with mailbox.path.tenant_session() as session:
        channel = session.scalars(select(Channel)).one()
    claim = Claim(delivery, channel, new_id(), mailbox.now)
    return sending._outgoing(claim, SENDING_SETTINGS)


def test_an_approved_reply_is_a_mail_that_threads(
    mailbox: Mailbox, stored: dict[tuple[str, str], bytes]
) -> None:
    conversation_id = mailbox.gets(
        "Message-ID: <m2@example.com>", "References: <m0@x> <m1@x>", "Cc: Bob <bob@example.com>"
    )
    delivery = approved(mailbox)
    assert delivery.recipient == "ada@example.com"
    sent = outgoing(mailbox, delivery)
    assert sent.mail is not None
    assert sent.sender == SUPPORT
    assert sent.mail.subject == "Re: Order 1001"
    assert [one.address for one in sent.mail.to] == ["ada@example.com"]
    assert [(one.name, one.address) for one in sent.mail.cc] == [("Bob", "bob@example.com")]
    assert sent.mail.references == ("m0@x", "m1@x", "m2@example.com")
    assert sent.mail.in_reply_to == "m2@example.com"
    assert sent.mail.message_id == f"{delivery.message_id}@shop.example"
    assert sent.mail.headers == {"X-Countersign-Delivery": str(delivery.id)}
    (reply_to,) = sent.mail.reply_to
    assert replies.find([reply_to.address], [KEY]) == [conversation_id]
    assert sent.html is not None
    assert sent.html.startswith("<p>")
    answer = ("From: bob@example.com", f"To: {reply_to.address}", "Subject: Re: Order 1001")
    assert mailbox.gets(*answer) == conversation_id
    assert mailbox.gets(f"In-Reply-To: <{sent.mail.message_id}>") == conversation_id


def test_a_message_id_that_the_provider_made_anew_is_known_by_its_local_part(
    mailbox: Mailbox,
) -> None:
    begun = mailbox.gets()
    approved(mailbox)
    with mailbox.path.tenant_session() as session:
        session.execute(update(Delivery).values(provider_message_id="0100-abc-000000"))
    answer = "In-Reply-To: <0100-abc-000000@eu-west-1.amazonses.com>"
    assert mailbox.gets(answer, "Subject: Re: Order 1001") == begun


def test_who_must_not_be_written_to_is_not_copied_either(mailbox: Mailbox) -> None:
    mailbox.gets("Cc: bob@example.com, carl@example.com")
    mailbox.path.draft()
    with mailbox.path.tenant_session() as session:
        directory.suppress(session, "BOB@example.com", "bounced")
    mailbox.path.approve()
    payload = mailbox.one(Delivery).payload
    assert [one["address"] for one in payload["cc"]] == ["carl@example.com"]


@pytest.mark.parametrize("order", [("bounced", "delivered"), ("delivered", "bounced")])
def test_what_bounced_did_not_arrive_in_whatever_order_it_is_told(
    mailbox: Mailbox, order: tuple[Any, Any]
) -> None:
    mailbox.gets("Cc: bob@example.com")
    delivery = approved(mailbox)
    with mailbox.path.tenant_session() as session:
        session.execute(update(Delivery).values(status="sent"))
        for status in order:
            deliveries.apply_status(session, delivery.id, told(delivery, status, "Ada@example.com"))
        row = session.scalars(select(Delivery)).one()
        assert (row.status, row.reason_code) == ("failed", "5.1.1")
        suppressed = directory.suppressed(session, ["ada@example.com", "bob@example.com"])
    assert suppressed == {"ada@example.com"}


def test_a_copy_that_bounced_leaves_the_reply_as_it_is(mailbox: Mailbox) -> None:
    mailbox.gets("Cc: bob@example.com")
    delivery = approved(mailbox)
    everyone = ["ada@example.com", "bob@example.com", "eve@example.org"]
    with mailbox.path.tenant_session() as session:
        session.execute(update(Delivery).values(status="delivered"))
        for recipient in everyone[1:]:
            deliveries.apply_status(session, delivery.id, told(delivery, "bounced", recipient))
        assert session.scalars(select(Delivery.status)).one() == "delivered"
        # Of whom we never wrote to, an event may say what it likes.
        assert directory.suppressed(session, everyone) == {"bob@example.com"}


def test_an_event_names_an_address_as_it_went_over_the_wire(mailbox: Mailbox) -> None:
    mailbox.gets("From: Ada <ada@exämple.com>", "Cc: bob@exämple.com")
    delivery = approved(mailbox)
    with mailbox.path.tenant_session() as session:
        session.execute(update(Delivery).values(status="sent"))
        for name in ("ada", "bob"):
            wire = f"{name}@xn--exmple-cua.com"
            deliveries.apply_status(session, delivery.id, told(delivery, "bounced", wire))
        assert session.scalars(select(Delivery.status)).one() == "failed"
        everyone = ["ada@exämple.com", "bob@exämple.com"]
        assert directory.suppressed(session, everyone) == set(everyone)


def told(delivery: Delivery, status: Any, recipient: str) -> DeliveryStatus:
    return DeliveryStatus(
        provider_event_id=str(new_id()),
        status=status,
        delivery_id=delivery.id,
        recipient=recipient,
        suppress="bounced" if status == "bounced" else None,
        error_code="5.1.1",
        occurred_at=datetime.now(UTC),
    )


def report(about: str, status: str = "5.1.1") -> tuple[list[str], str]:
    """Header lines and body of a mail server's report on a mail with these headers."""
    lines = [
        "From: MAILER-DAEMON@mx.example.com",
        "Subject: Undelivered Mail Returned to Sender",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"',
    ]
    body = (
        "--b\r\nContent-Type: text/plain\r\n\r\nIt did not arrive.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.example.com\r\n\r\n"
        f"Final-Recipient: rfc822; ada@example.com\r\nAction: failed\r\nStatus: {status}\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 user unknown\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{about}\r\n--b--"
    )
    return lines, body


@pytest.mark.parametrize("named_by", ["mark", "message_id", "nothing"])
def test_a_mail_that_comes_back_fails_its_delivery(mailbox: Mailbox, named_by: str) -> None:
    mailbox.gets()
    delivery = approved(mailbox)
    with mailbox.path.tenant_session() as session:
        session.execute(update(Delivery).values(status="sent"))
    about = {
        "mark": f"X-Countersign-Delivery: {delivery.id}\r\nMessage-ID: <made-anew@x>",
        "message_id": f"Message-ID: <{delivery.message_id}@shop.example>",
        "nothing": "Message-ID: <who-knows@x>",
    }[named_by]
    lines, body = report(about)
    mailbox.gets(*lines, body=body)
    is_ours = named_by != "nothing"
    row = mailbox.one(Delivery)
    assert row.status == ("failed" if is_ours else "sent")
    with mailbox.path.tenant_session() as session:
        assert directory.is_suppressed(session, "ada@example.com") == is_ours
        waiting = session.scalars(select(Conversation.waiting_since)).all()
    assert [one is not None for one in waiting] == [is_ours, False]
