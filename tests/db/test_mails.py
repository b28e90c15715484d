"""Mails find their conversation: by our reply address, by what they answer, or by nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from countersign.channels import deliveries, keys, sending
from countersign.channels.attempts import Claim
from countersign.channels.envelope import Envelope
from countersign.channels.keys import ChannelKey
from countersign.channels.messages import DeliveryStatus, Outgoing, RawMail, WebhookRequest
from countersign.channels.providers import mails
from countersign.channels.tables import Channel, Delivery, DeliveryAttempt, WebhookDelivery
from countersign.conversations import recipients
from countersign.conversations.tables import Attachment, Conversation, Message, Participant
from countersign.drafting import effects
from countersign.drafting.batches import ingest
from countersign.drafting.effects import Webhook
from countersign.drafting.tables import Draft, DraftRequest
from countersign.mail import replies
from countersign.mail.verdicts import Verdicts
from countersign.people import directory
from countersign.platform import clock, secrets, storage
from countersign.platform.ids import new_id
from tests import world
from tests.conftest import TestDatabase
from tests.world import SENDING_SETTINGS, MemoryQueues, Path, memory_queues

__all__ = ["memory_queues"]

SUPPORT = "support@shop.example"
KEY = "reply-key"


class Mailbox:
    """A mail channel, and mails that come in by it."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.now = path, datetime.now(UTC)
        monkeypatch.setattr(clock, "now", lambda: self.now)
        with path.tenant_session() as session:
            session.execute(
                update(Channel).values(type="email", provider="smtp", external_id=SUPPORT)
            )

    def gets(self, *lines: str, body: str = "Can I return it?", to: Sequence[str] = ()) -> UUID:
        """Take in a mail with these header lines besides the usual ones; its conversation's id."""
        named = {line.partition(":")[0].lower() for line in lines}
        usual = ("From: Ada <ada@example.com>", f"To: {SUPPORT}", "Subject: Order 1001")
        head = [line for line in usual if line.partition(":")[0].lower() not in named]
        if "message-id" not in named:
            head.append(f"Message-ID: <{new_id()}@example.com>")
        raw = "\r\n".join([*lines, *head, "", body, ""]).encode()
        verdicts = Verdicts(envelope_from="ada@example.com", envelope_to=tuple(to))
        self.takes(RawMail(raw=raw, verdicts=verdicts))
        with self.path.tenant_session() as session:
            newest = select(Message.conversation_id).order_by(Message.id.desc()).limit(1)
            return session.scalars(newest).one()

    def takes(self, raw: RawMail) -> None:
        self.now += timedelta(seconds=1)
        request = WebhookRequest(
            method="POST", url="", headers={}, body=raw.raw, received_at=self.now
        )
        tenant = self.path.tenant
        envelope = Envelope(tenant.organization_id, tenant.channel_id, "smtp", "c", request)
        message = mails.message(raw, str(new_id()), self.now)
        with self.path.outbox.transaction(tenant.organization_id) as session:
            effects.take_effect(session, [Webhook(envelope, [message], reply_keys=[KEY])], self.now)

    def all(self, column: Any) -> list[Any]:
        with self.path.tenant_session() as session:
            return list(session.scalars(select(column).order_by(column.class_.id)))

    def one(self, table: Any) -> Any:
        with self.path.tenant_session() as session:
            return session.scalars(select(table)).one()


@pytest.fixture
def mailbox(
    database: TestDatabase, memory_queues: MemoryQueues, monkeypatch: pytest.MonkeyPatch
) -> Mailbox:
    tenant = world.add_tenant(database)
    world.add_knowledge(database, tenant, ["Returns are free for 30 days. Keep the box."])
    return Mailbox(Path(database, tenant, memory_queues), monkeypatch)


def test_a_mail_is_a_message_with_all_that_it_holds(mailbox: Mailbox) -> None:
    mailbox.gets(
        "Message-ID: <m1@example.com>",
        "Cc: Bob <bob@example.com>",
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="b"',
        body="--b\r\nContent-Type: text/plain\r\n\r\nSee the picture.\r\n\r\n"
        "On 1 May 2026 Shop wrote:\r\n> Please send one.\r\n"
        '--b\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename="a.png"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--",
    )
    message = mailbox.one(Message)
    assert (message.external_id, message.subject) == ("m1@example.com", "Order 1001")
    assert message.body_text == "See the picture."
    assert "Please send one." in message.quoted_text
    assert message.recipients["sent_by"] == [{"name": "Ada", "address": "ada@example.com"}]
    assert message.raw_key.startswith(f"mail/{mailbox.path.tenant.organization_id}/")
    file = mailbox.one(Attachment)
    assert (file.file_name, file.mime_type, file.size_bytes) == ("a.png", "image/png", 8)
    assert (file.status, file.file_url) == ("pending", None)
    assert mailbox.one(Conversation).external_id == "m1@example.com"
    taking_part = {(one.role, one.address) for one in _participants(mailbox)}
    assert taking_part == {("customer", "ada@example.com"), ("copied", "bob@example.com")}


def _participants(mailbox: Mailbox) -> list[Participant]:
    with mailbox.path.tenant_session() as session:
        return list(session.scalars(select(Participant)))


def test_an_answer_to_what_they_wrote_goes_on_with_it(mailbox: Mailbox) -> None:
    begun = mailbox.gets("Message-ID: <m1@example.com>")
    assert mailbox.gets("In-Reply-To: <m1@example.com>", "Subject: Re: Order 1001") == begun
    assert mailbox.gets("References: <x@y> <m1@example.com>", "Subject: AW: Order 1001") == begun
    assert mailbox.gets() != begun


def test_who_answers_first_and_who_began_are_one_conversation_in_any_order(
    mailbox: Mailbox,
) -> None:
    answer = mailbox.gets("References: <m1@example.com>", "Message-ID: <m2@example.com>")
    assert mailbox.gets("Message-ID: <m1@example.com>") == answer
    assert mailbox.gets("References: <m1@example.com> <m2@example.com>") == answer


def test_a_stranger_who_knows_an_id_does_not_get_in(mailbox: Mailbox) -> None:
    """A newsletter's id is answered by many."""
    begun = mailbox.gets("Message-ID: <m1@example.com>")
    eve = ("From: eve@example.org", "References: <m1@example.com>")
    assert mailbox.gets(*eve) != begun
    # Who was copied is no stranger.
    cc = mailbox.gets("Message-ID: <m3@example.com>", "Cc: bob@example.com")
    assert mailbox.gets("From: Bob@Example.com", "In-Reply-To: <m3@example.com>") == cc


@pytest.mark.parametrize("where", ["To", "Cc", "envelope"])
def test_our_reply_address_finds_the_conversation_wherever_it_stands(
    mailbox: Mailbox, where: str
) -> None:
    begun = mailbox.gets()
    address = replies.make(SUPPORT, begun, KEY)
    lines = ["From: colleague@example.org", "Subject: Re: Order 1001"]
    lines += [f"{where}: <{address}>"] if where != "envelope" else []
    assert mailbox.gets(*lines, to=[address] if where == "envelope" else []) == begun
    forged = address.replace("+", "+a", 1)
    assert mailbox.gets(*lines[:2], f"To: {forged}") != begun


def test_a_reply_address_of_another_channel_finds_nothing(mailbox: Mailbox) -> None:
    address = replies.make(SUPPORT, new_id(), KEY)
    mailbox.gets(f"To: {address}")
    assert len(mailbox.all(Conversation.id)) == 1


def test_a_changed_subject_begins_another_conversation(mailbox: Mailbox) -> None:
    begun = mailbox.gets("Message-ID: <m1@example.com>")
    answer = "In-Reply-To: <m1@example.com>"
    assert mailbox.gets(answer, "Subject: Do you sell winter tyres?") != begun
    address = replies.make(SUPPORT, begun, KEY)
    assert mailbox.gets(f"To: {address}", "Subject: Do you sell winter tyres?") != begun
    assert mailbox.gets(answer, "Subject: Re: [EXTERNAL] Order 1001") == begun


@pytest.mark.parametrize(("days", "is_same"), [(29, True), (31, False)])
def test_an_answer_to_what_is_closed_reopens_it_for_a_while(
    mailbox: Mailbox, days: int, is_same: bool
) -> None:
    begun = mailbox.gets("Message-ID: <m1@example.com>")
    with mailbox.path.tenant_session() as session:
        session.execute(update(Conversation).values(status="closed"))
    mailbox.now += timedelta(days=days)
    assert (mailbox.gets("In-Reply-To: <m1@example.com>") == begun) == is_same
    statuses = mailbox.all(Conversation.status)
    assert statuses == (["open"] if is_same else ["closed", "open"])


def test_a_mail_that_comes_twice_is_one_message(mailbox: Mailbox) -> None:
    mailbox.gets("Message-ID: <m1@example.com>", body="Hello")
    mailbox.gets("Message-ID: <m1@example.com>", body="Hello")
    assert mailbox.all(Message.body_text) == ["Hello"]
    assert len(mailbox.all(Conversation.id)) == 1
    assert set(mailbox.all(WebhookDelivery.status)) == {"accepted"}


def test_no_mail_is_lost_for_a_message_id_that_another_has(mailbox: Mailbox) -> None:
    for body in ("One", "Two", "One", "Two"):
        mailbox.gets("Message-ID: <always-the-same@example.com>", body=body)
    assert mailbox.all(Message.body_text) == ["One", "Two"]


def test_an_automatic_answer_changes_nothing_and_says_why_there_is_no_draft(
    mailbox: Mailbox,
) -> None:
    mailbox.gets("Message-ID: <m1@example.com>")
    mailbox.path.draft()
    waiting = mailbox.one(Conversation)
    mailbox.gets("In-Reply-To: <m1@example.com>", "Auto-Submitted: auto-replied", body="Away.")
    now = mailbox.one(Conversation)
    assert mailbox.all(Draft.status) == ["pending"]
    assert now.latest_message_id == waiting.latest_message_id
    assert mailbox.all(DraftRequest.reason) == [None, "auto_reply"]
    assert mailbox.all(DraftRequest.status) == ["drafted", "abstained"]
    with mailbox.path.tenant_session() as session:
        session.execute(update(Conversation).values(status="closed", waiting_since=None))
    mailbox.gets("In-Reply-To: <m1@example.com>", "Auto-Submitted: auto-replied", body="Away!")
    assert mailbox.all(Conversation.status) == ["closed"]


def test_a_newsletter_waits_for_a_person_without_a_draft(mailbox: Mailbox) -> None:
    mailbox.gets("List-Id: <news.example.com>", "Precedence: list")
    assert mailbox.all(DraftRequest.reason) == ["list"]
    assert mailbox.one(Conversation).waiting_since is not None


def test_a_reply_goes_to_who_wrote_and_copies_whom_they_copied(mailbox: Mailbox) -> None:
    """Never to whoever was copied in another mail, and never to ourselves."""
    mailbox.gets("Message-ID: <m1@example.com>", "Cc: boss@example.com")
    mailbox.gets(
        "In-Reply-To: <m1@example.com>",
        "Reply-To: Ada at home <ada@home.example>",
        f"To: {SUPPORT.upper()}, carl@example.com",
        "Cc: CARL@example.com, Dora <dora@example.com>, support+tag@shop.example",
    )
    with mailbox.path.tenant_session() as session:
        conversation = session.scalars(select(Conversation)).one()
        found = recipients.answering(session, conversation)
        answered = recipients.answered_message(session, conversation)
        differences = recipients.differences(found, answered, frozenset([SUPPORT]))
    assert [one.address for one in found.to] == ["ada@home.example"]
    assert [one.address for one in found.cc] == ["carl@example.com", "dora@example.com"]
    assert found.to[0].name == "Ada at home"
    assert differences == ([], ["ada@example.com"])


RECEIVED: dict[str, Any] = {
    "notificationType": "Received",
    "mail": {"messageId": "ses-1", "source": "ada@example.com", "destination": [SUPPORT]},
    "receipt": {
        "recipients": ["in+x@mail.shop.example"],
        "spamVerdict": {"status": "PASS"},
        "virusVerdict": {"status": "PASS"},
        "spfVerdict": {"status": "PASS"},
        "dkimVerdict": {"status": "FAIL"},
        "dmarcVerdict": {"status": "FAIL"},
        "action": {"type": "S3", "bucketName": "incoming", "objectKey": "ses/1"},
    },
}


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], bytes]:
    """S3, by bucket and key, with one mail that SES has put there."""
    raw = b"From: ada@example.com\r\nSubject: Brakes\r\nMessage-ID: <m1@x>\r\n\r\nDo they fit?\r\n"
    objects = {("incoming", "ses/1"): raw}
    monkeypatch.setattr(storage, "get", lambda bucket, key: objects[bucket, key])
    monkeypatch.setattr(
        storage, "put", lambda bucket, key, raw: objects.update({(bucket, key): raw})
    )
    monkeypatch.setattr(secrets, "secret", lambda _: secrets.Secret(KEY))
    return objects


def of_topic(message: dict[str, Any] | str) -> str:
    """A queue message as SNS makes it."""
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "sns-1",
            "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mail",
            "Message": message if isinstance(message, str) else json.dumps(message),
            "Timestamp": "2026-05-01T12:00:00.000Z",
        }
    )


def test_a_mail_that_ses_took_in_finds_its_channel_by_its_address(
    mailbox: Mailbox, stored: dict[tuple[str, str], bytes]
) -> None:
    with mailbox.path.tenant_session() as session:
        session.execute(update(Channel).values(inbound_address="in@mail.shop.example"))
    records = [("1", of_topic(RECEIVED)), ("2", of_topic(RECEIVED))]
    assert ingest(mailbox.path.outbox, records, world.INGEST_SETTINGS) == []
    message = mailbox.one(Message)
    assert message.body_text == "Do they fit?"
    assert message.metadata_["authentication"]["dmarc"] == "fail"
    assert stored["messages", message.raw_key] == stored["incoming", "ses/1"]


def test_what_is_for_nobody_here_is_not_tried_for_ever(
    mailbox: Mailbox, stored: dict[tuple[str, str], bytes]
) -> None:
    stranger = {
        **RECEIVED,
        "receipt": {**RECEIVED["receipt"], "recipients": ["x@elsewhere.example"]},
    }
    setup = "Successfully validated SNS topic."
    told: list[dict[str, Any] | str] = [stranger, setup, "what?", {"eventType": "Bounce"}]
    records = [(str(n), of_topic(one)) for n, one in enumerate(told)]
    assert ingest(mailbox.path.outbox, records, world.INGEST_SETTINGS) == []
    assert mailbox.all(Message.id) == []


def test_an_event_of_ses_names_its_channel_by_a_tag_that_proves_itself(
    mailbox: Mailbox, stored: dict[tuple[str, str], bytes]
) -> None:
    mailbox.gets()
    mailbox.path.draft()
    delivery_id = mailbox.path.approve().delivery_id
    tenant = mailbox.path.tenant
    key = keys.make(ChannelKey("ses", tenant.channel_id, tenant.organization_id), KEY)
    with mailbox.path.tenant_session() as session:
        attempt = DeliveryAttempt(
            organization_id=tenant.organization_id,
            id=new_id(),
            delivery_id=delivery_id,
            number=1,
            started_at=mailbox.now,
        )
        session.add(attempt)
        attempt_id = attempt.id
        session.execute(update(Delivery).values(status="sending", fence=1, attempts=1))
    event = {
        "eventType": "Delivery",
        "mail": {
            "messageId": "ses-9",
            "tags": {"channel": [key.removeprefix("ses.")], "attempt": [str(attempt_id)]},
        },
        "delivery": {"timestamp": "2026-05-01T12:00:00Z", "recipients": ["ada@example.com"]},
    }
    forged = json.loads(json.dumps(event))
    forged["mail"]["tags"]["channel"] = ["A" * 64]
    for told, status in ((forged, "sending"), (event, "delivered")):
        assert ingest(mailbox.path.outbox, [("1", of_topic(told))], world.INGEST_SETTINGS) == []
        assert mailbox.one(Delivery).status == status


def approved(mailbox: Mailbox) -> Delivery:
    mailbox.path.draft()
    mailbox.path.approve()
    delivery: Delivery = mailbox.one(Delivery)
    return delivery


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
    assert replies.find([reply_to.address], [KEY]) == conversation_id
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


def test_two_programs_that_write_to_each_other_are_left_alone(mailbox: Mailbox) -> None:
    for number in range(5):
        mailbox.gets(body="Thank you for your mail." if number else "Hello")
    assert mailbox.all(DraftRequest.reason)[-1] == "flood"
    assert mailbox.all(DraftRequest.reason)[:4].count("flood") == 0
    # It may be a contact form that many people write by: a person looks.
    assert None not in mailbox.all(Conversation.waiting_since)


def test_who_writes_without_end_is_not_answered_without_end(mailbox: Mailbox) -> None:
    for number in range(22):
        mailbox.gets(body=f"Mail {number}")
    assert mailbox.all(DraftRequest.reason).count("flood") == 2
    mailbox.now += timedelta(hours=2)
    mailbox.gets(body="And now?")
    assert mailbox.all(DraftRequest.reason)[-1] is None
