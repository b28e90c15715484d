"""Mails find their conversation: by our reply address, by what they answer, or by nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from countersign.channels import keys
from countersign.channels.keys import ChannelKey
from countersign.channels.tables import Channel, Delivery, DeliveryAttempt, WebhookDelivery
from countersign.conversations import recipients
from countersign.conversations.tables import Attachment, Conversation, Message, Participant
from countersign.drafting import effects
from countersign.drafting.batches import ingest
from countersign.drafting.tables import Draft, DraftRequest
from countersign.mail import replies
from countersign.platform import storage
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id
from tests import world
from tests.conftest import TestDatabase
from tests.mailbox import KEY, SUPPORT, Mailbox, mailbox, stored
from tests.world import Tenant, memory_queues

__all__ = ["mailbox", "memory_queues", "stored"]


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


def test_no_mail_is_lost_for_whom_it_names(mailbox: Mailbox) -> None:
    """A row holds 64 KB of them."""
    host = ".".join([letter * 60 for letter in "abcd"])
    many = ", ".join(f'"{"🙂" * 100} {n}" <{n}@{host}>' for n in range(200))
    mailbox.gets(*(f"{name}: {many}" for name in ("From", "Reply-To", "To", "Cc")))
    kept = mailbox.one(Message).recipients
    assert {name: 10 < len(kept[name]) < 100 for name in kept} == dict.fromkeys(kept, True)
    assert set(kept) == {"sent_by", "reply_to", "to", "cc"}
    assert kept["cc"][0]["address"] == f"0@{host}"


def test_an_answer_to_what_they_wrote_goes_on_with_it(mailbox: Mailbox) -> None:
    begun = mailbox.gets("Message-ID: <m1@example.com>")
    assert mailbox.gets("In-Reply-To: <m1@example.com>", "Subject: Re: Order 1001") == begun
    assert mailbox.gets("References: <x@y> <m1@example.com>", "Subject: AW: Order 1001") == begun
    assert mailbox.gets() != begun


@pytest.mark.parametrize("header", ["References", "In-Reply-To"])
def test_who_answers_first_and_who_began_are_one_conversation_in_any_order(
    mailbox: Mailbox, header: str
) -> None:
    answer = mailbox.gets(f"{header}: <m1@example.com>", "Message-ID: <m2@example.com>")
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


def test_a_stranger_who_takes_the_id_that_was_answered_does_not_get_in(mailbox: Mailbox) -> None:
    """A conversation is named by the mail that began the thread, though that is not here."""
    answer = mailbox.gets("References: <news@example.net>", "Subject: Re: News")
    eve = ("From: eve@example.org", "Subject: News")
    assert mailbox.gets(*eve, "Message-ID: <news@example.net>") != answer


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


def test_what_is_encrypted_waits_for_a_person_who_has_the_key(mailbox: Mailbox) -> None:
    mailbox.gets(
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
        body="...",
    )
    assert mailbox.all(DraftRequest.reason) == ["encrypted"]
    assert mailbox.one(Conversation).waiting_since is not None
    assert mailbox.one(Message).body_text == ""
    assert mailbox.all(Attachment.file_name) == ["smime.p7m"]


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


def test_an_address_that_no_mail_can_go_to_stops_no_reply(mailbox: Mailbox) -> None:
    mailbox.gets("Reply-To: ada@home..example", "Cc: bob@example..com, carl@example.com")
    with mailbox.path.tenant_session() as session:
        found = recipients.answering(session, session.scalars(select(Conversation)).one())
    assert [one.address for one in found.to] == ["ada@example.com"]
    assert [one.address for one in found.cc] == ["carl@example.com"]


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


def add_mail_channel(database: TestDatabase, tenant: Tenant, address: str) -> UUID:
    with database.app_rw.tenant(tenant.organization_id) as session:
        channel = Channel(
            organization_id=tenant.organization_id,
            id=new_id(),
            type="email",
            provider="smtp",
            external_id=address,
            name="Mail",
        )
        session.add(channel)
    return channel.id


def brought_to(*addresses: str) -> dict[str, Any]:
    """What SES tells of a mail: whom it was brought to, hidden copies among them."""
    return {**RECEIVED, "receipt": {**RECEIVED["receipt"], "recipients": list(addresses)}}


def messages_of(database: TestDatabase, tenant: Tenant) -> list[Message]:
    with database.app_rw.tenant(tenant.organization_id) as session:
        return list(session.scalars(select(Message).order_by(Message.id)))


def test_a_mail_to_several_channels_reaches_each_of_them_once(
    mailbox: Mailbox,
    stored: dict[tuple[str, str], bytes],
    database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, other = mailbox.path, world.add_tenant(database, "other")
    channels = {
        path.tenant.channel_id,
        add_mail_channel(database, path.tenant, "Sales@shop.example"),
        add_mail_channel(database, other, "help@other.example"),
    }
    read: list[str] = []
    get = storage.get
    monkeypatch.setattr(storage, "get", lambda bucket, key: read.append(key) or get(bucket, key))  # type: ignore[func-returns-value]
    told = brought_to(
        "x@nowhere.example",
        "sales@shop.example",
        SUPPORT,
        "sales+x@SHOP.example",
        "help@other.example",
    )
    for number in ("1", "2"):
        assert ingest(path.outbox, [(number, of_topic(told))], world.INGEST_SETTINGS) == []
    assert read == ["ses/1", "ses/1"]
    messages = messages_of(database, path.tenant) + messages_of(database, other)
    assert {one.channel_id for one in messages} == channels
    assert len(messages) == 3
    for message in messages:
        assert message.raw_key
        assert str(message.channel_id) in message.raw_key
        assert stored["messages", message.raw_key] == stored["incoming", "ses/1"]


def test_a_mail_to_many_channels_is_no_flood(
    mailbox: Mailbox, stored: dict[tuple[str, str], bytes], database: TestDatabase
) -> None:
    addresses = [f"shop-{number}@shop.example" for number in range(5)]
    for address in addresses:
        add_mail_channel(database, mailbox.path.tenant, address)
    records = [("1", of_topic(brought_to(*addresses)))]
    assert ingest(mailbox.path.outbox, records, world.INGEST_SETTINGS) == []
    assert mailbox.all(DraftRequest.reason) == [None] * 5


def test_a_channel_that_fails_takes_the_mail_from_no_other(
    mailbox: Mailbox,
    stored: dict[tuple[str, str], bytes],
    database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, other = mailbox.path, world.add_tenant(database, "other")
    add_mail_channel(database, other, "help@other.example")
    records = [("1", of_topic(brought_to("help@other.example", SUPPORT)))]
    take_effect = effects.take_effect

    def failing(session: TenantSession, *rest: Any) -> None:
        if session.organization_id == other.organization_id:
            raise RuntimeError("down")
        take_effect(session, *rest)

    monkeypatch.setattr(effects, "take_effect", failing)
    assert ingest(path.outbox, records, world.INGEST_SETTINGS) == ["1"]
    assert len(messages_of(database, path.tenant)) == 1
    assert messages_of(database, other) == []
    monkeypatch.setattr(effects, "take_effect", take_effect)
    assert ingest(path.outbox, records, world.INGEST_SETTINGS) == []
    assert len(messages_of(database, path.tenant)) == len(messages_of(database, other)) == 1


def test_one_that_fails_for_all_its_channels_comes_back_once(
    mailbox: Mailbox,
    stored: dict[tuple[str, str], bytes],
    database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_mail_channel(database, mailbox.path.tenant, "sales@shop.example")
    records = [("1", of_topic(brought_to(SUPPORT, "sales@shop.example")))]
    monkeypatch.setattr(effects, "take_effect", None)
    assert ingest(mailbox.path.outbox, records, world.INGEST_SETTINGS) == ["1"]


def test_each_channel_finds_its_own_of_several_reply_addresses(
    mailbox: Mailbox, stored: dict[tuple[str, str], bytes], database: TestDatabase
) -> None:
    path = mailbox.path
    add_mail_channel(database, path.tenant, "sales@shop.example")
    records = [("1", of_topic(brought_to("sales@shop.example", SUPPORT)))]
    assert ingest(path.outbox, records, world.INGEST_SETTINGS) == []
    begun = {one.channel_id: one.conversation_id for one in messages_of(database, path.tenant)}
    at_sales, at_support = (
        replies.make(address, conversation_id, KEY)
        for address, conversation_id in zip(
            ("sales@shop.example", SUPPORT),
            sorted(begun.values(), key=lambda one: one == begun[path.tenant.channel_id]),
            strict=True,
        )
    )
    stored["incoming", "ses/1"] = (
        f"From: bob@example.org\r\nTo: {at_sales}\r\nCc: {at_support}\r\n"
        "Subject: Re: Brakes\r\nMessage-ID: <m2@x>\r\n\r\nThey do.\r\n"
    ).encode()
    told = brought_to(at_support, at_sales)
    told["mail"] = {**told["mail"], "messageId": "ses-2"}
    assert ingest(path.outbox, [("2", of_topic(told))], world.INGEST_SETTINGS) == []
    newest = messages_of(database, path.tenant)[2:]
    assert {one.channel_id: one.conversation_id for one in newest} == begun


def test_what_one_channel_writes_to_another_is_heard_there(
    mailbox: Mailbox, stored: dict[tuple[str, str], bytes], database: TestDatabase
) -> None:
    """Though it came to both: the other's address is none of its own."""
    path = mailbox.path
    add_mail_channel(database, path.tenant, "sales@shop.example")
    stored["incoming", "ses/1"] = (
        f"From: sales@shop.example\r\nTo: {SUPPORT}\r\nCc: sales@shop.example\r\n"
        "Message-ID: <m1@x>\r\n\r\nCan you help them?\r\n"
    ).encode()
    records = [("1", of_topic(brought_to(SUPPORT, "sales@shop.example")))]
    assert ingest(path.outbox, records, world.INGEST_SETTINGS) == []
    with path.tenant_session() as session:
        reasons = select(Message.channel_id, DraftRequest.reason).join(
            DraftRequest, DraftRequest.trigger_message_id == Message.id
        )
        found = {row.channel_id: row.reason for row in session.execute(reasons)}
    assert found.pop(path.tenant.channel_id) is None
    assert list(found.values()) == ["own_address"]


def test_what_is_for_nobody_here_is_not_tried_for_ever(
    mailbox: Mailbox, stored: dict[tuple[str, str], bytes]
) -> None:
    stranger = brought_to("x@elsewhere.example")
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


def test_two_programs_that_write_to_each_other_are_left_alone(mailbox: Mailbox) -> None:
    for number in range(5):
        body = "Thank you for your mail." if number else "Hello"
        mailbox.gets("Date: Mon, 1 Jan 2001 00:00:00 +0000", body=body)
    assert mailbox.all(DraftRequest.reason)[-1] == "flood"
    assert mailbox.all(DraftRequest.reason)[:4].count("flood") == 0
    # It may be a contact form that many people write by: a person looks.
    assert None not in mailbox.all(Conversation.waiting_since)


def test_a_program_that_answers_into_anothers_conversation_is_left_alone(mailbox: Mailbox) -> None:
    """By the reply address of a copy, say."""
    to = f"To: {replies.make(SUPPORT, mailbox.gets(), KEY)}"
    for _ in range(4):
        mailbox.gets("From: Robot@example.org", to, body="Thank you for your mail.")
    mailbox.gets(to, body="Thank you for your mail.")
    assert len(mailbox.all(Conversation.id)) == 1
    assert mailbox.all(DraftRequest.reason)[-2:] == ["flood", None]


def test_who_writes_without_end_is_not_answered_without_end(mailbox: Mailbox) -> None:
    for number in range(22):
        mailbox.gets(body=f"Mail {number}")
    assert mailbox.all(DraftRequest.reason).count("flood") == 2
    mailbox.now += timedelta(hours=2)
    mailbox.gets(body="And now?")
    assert mailbox.all(DraftRequest.reason)[-1] is None
