"""Mails, as the API shows them, and to whom a person lets the answers go."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from countersign.channels import deliveries, sending
from countersign.channels.messages import Accepted, DeliveryStatus, RawMail
from countersign.channels.tables import Delivery
from countersign.conversations.tables import Message, Participant
from countersign.mail.verdicts import Verdicts
from countersign.people import directory
from countersign.platform import verify
from tests.handlers.api.client import Answer, Api, Story
from tests.mailbox import SUPPORT, Mailbox


@pytest.fixture
def mailbox(story: Story, monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    """The story's channel, one of mail."""
    return Mailbox(story.path, monkeypatch)


FORGED = {"spoofed": True, "spf": "none", "dkim": "none", "dmarc": "fail"}


def test_a_reviewer_sees_that_a_sender_may_be_forged(
    api: Api, story: Story, mailbox: Mailbox
) -> None:
    raw = b"From: ada@example.com\r\nTo: support@shop.example\r\n\r\nCan I return it?\r\n"
    mailbox.takes(RawMail(raw=raw, verdicts=Verdicts(spf="none", dkim="none", dmarc="fail")))
    story.path.draft()
    (item,) = api.get("/feed")["items"]
    assert item["latest_inbound_message"]["authentication"] == FORGED
    (message,) = story.messages(item["conversation"]["id"])
    assert message["authentication"] == FORGED
    assert api.get(f"/drafts/{item['draft']['id']}")["authentication"] == FORGED


@pytest.mark.parametrize("body", ["Can I return it?", "> Do you want it?\nYes!\n> Both?\nNo."])
def test_a_reviewer_sees_that_a_mail_may_say_more(
    api: Api, story: Story, mailbox: Mailbox, body: str
) -> None:
    mailbox.gets(body=body)
    story.path.draft()
    (item,) = api.get("/feed")["items"]
    (message,) = story.messages(item["conversation"]["id"])
    is_cut = body.startswith(">")
    assert message["may_have_cut"] == is_cut
    assert api.get(f"/drafts/{item['draft']['id']}")["may_have_cut"] == is_cut


def test_only_of_a_mail_is_it_known_who_sent_it(api: Api, story: Story) -> None:
    """What a message of another channel says of itself is no finding of ours."""
    item = story.drafted()
    claimed: dict[str, Any] = {"authentication": {"spoofed": False}}
    with story.path.tenant_session() as session:
        session.execute(update(Message).values(metadata_=claimed))
    (shown,) = api.get("/feed")["items"]
    assert shown["latest_inbound_message"]["authentication"] is None
    (message,) = story.messages(item["conversation"]["id"])
    assert message["authentication"] is None
    assert api.get(f"/drafts/{item['draft']['id']}")["authentication"] is None


ADA = {"name": "Ada", "address": "ada@example.com"}
BOB = {"name": "Bob", "address": "bob@example.com"}
EVE = {"name": "", "address": "eve@partner.example"}


class Desk:
    """Somebody who answers the story's mails."""

    def __init__(self, story: Story) -> None:
        self.story, self.api = story, story.api

    def draft(self) -> Any:
        """The pending draft."""
        self.story.path.draft()
        (item,) = (item for item in self.api.get("/feed")["items"] if item["draft"])
        return self.api.get(f"/drafts/{item['draft']['id']}")

    def approval(self, **chosen: Any) -> Answer:
        """The answer to an approval of the pending draft."""
        draft = self.draft()
        body = {"revision_token": draft["revision_token"], **chosen}
        return self.api.call("POST", f"/drafts/{draft['id']}/approval", body)

    def approved(self, **chosen: Any) -> Any:
        answer = self.approval(**chosen)
        assert answer.status == 201, answer.text
        return answer.json

    def delivery(self, delivery_id: str) -> Delivery:
        with self.story.path.tenant_session() as session:
            return session.scalars(select(Delivery).where(Delivery.id == delivery_id)).one()


@pytest.fixture
def desk(story: Story) -> Desk:
    return Desk(story)


def addresses(of: Any, kind: str) -> list[str]:
    return [one["address"] for one in of[kind]]


def test_nobody_is_chosen_unless_a_person_does(desk: Desk, mailbox: Mailbox) -> None:
    mailbox.gets("Cc: Bob <bob@example.com>")
    made = desk.approved(to=None)
    goes_to = made["recipients"]
    assert (goes_to["to"], goes_to["cc"]) == ([ADA], [BOB])
    assert (goes_to["added"], goes_to["left_out"]) == ([], [])
    assert goes_to["sent_by"] == [{"name": "API", "address": SUPPORT}]


@pytest.mark.parametrize(
    ("chosen", "to", "cc", "added", "left_out"),
    [
        ({"to": [EVE]}, [EVE], [BOB], [EVE], [ADA]),
        ({"to": [EVE, ADA], "cc": []}, [EVE, ADA], [], [EVE], [BOB]),
        ({"to": [BOB]}, [BOB], [], [], [ADA]),
        ({"cc": [EVE]}, [ADA], [EVE], [EVE], [BOB]),
        ({"cc": []}, [ADA], [], [], [BOB]),
        ({"to": [BOB], "cc": [ADA]}, [BOB], [ADA], [], []),
    ],
)
def test_a_person_says_whom_a_reply_goes_to(
    desk: Desk, mailbox: Mailbox, chosen: Any, to: Any, cc: Any, added: Any, left_out: Any
) -> None:
    conversation_id = mailbox.gets("Cc: Bob <bob@example.com>")
    made = desk.approved(**chosen)
    goes_to = made["recipients"]
    assert (goes_to["to"], goes_to["cc"]) == (to, cc)
    assert goes_to["added"] == [one["address"] for one in added]
    assert goes_to["left_out"] == [one["address"] for one in left_out]
    delivery = desk.delivery(made["delivery_id"])
    assert (delivery.payload["to"], delivery.payload["cc"]) == (to, cc)
    assert delivery.recipient == to[0]["address"]
    assert desk.story.messages(str(conversation_id))[-1]["recipients"] == goes_to


def test_so_they_do_of_a_message_of_their_own(desk: Desk, api: Api, mailbox: Mailbox) -> None:
    conversation_id = mailbox.gets()
    path = f"/conversations/{conversation_id}/messages"
    said = api.post(path, {"text": "Hi", "to": [{"address": " eve@partner.example "}], "cc": [ADA]})
    assert (said["recipients"]["to"], said["recipients"]["cc"]) == ([EVE], [ADA])
    assert said["recipients"]["added"] == ["eve@partner.example"]
    assert desk.delivery(said["delivery_id"]).recipient == "eve@partner.example"


def test_the_record_commits_to_whom_it_goes_and_names_nobody(
    desk: Desk, story: Story, api: Api, mailbox: Mailbox
) -> None:
    conversation_id = mailbox.gets("Cc: Bob <bob@example.com>")
    desk.approved(to=[EVE])
    api.post(f"/conversations/{conversation_id}/messages", {"text": "Hi", "cc": []})
    recorded = {event["type"]: event["data"] for event in story.events()}
    approved, composed = recorded["draft.approved"], recorded["message.composed"]
    assert approved["recipients"] == {"to": 1, "cc": 1, "added": 1, "left_out": 1}
    assert composed["recipients"] == {"to": 1, "cc": 0, "added": 0, "left_out": 1}
    assert "@" not in json.dumps([approved, composed])
    export = api.get(f"/conversations/{conversation_id}/export")
    report = verify.verify(export)
    assert report.problems == []
    texts = {body["commitment"]: body["text"] for body in export["bodies"]}
    assert json.loads(texts[approved["recipients_commitment"]]) == {
        "to": ["eve@partner.example"],
        "cc": ["bob@example.com"],
        "added": ["eve@partner.example"],
        "left_out": ["ada@example.com"],
    }


@pytest.mark.parametrize(
    ("chosen", "where"),
    [
        ({"to": []}, {"to"}),
        ({"to": [{"address": "eve"}]}, {"to.0.address"}),
        ({"to": [ADA, {"address": "e v e@example.com"}]}, {"to.1.address"}),
        ({"to": [{"address": "eve@example.com\r\nBcc: x@example.com"}]}, {"to.0.address"}),
        ({"to": [{"address": ""}]}, {"to.0.address"}),
        ({"to": [{"address": "x" * 250 + "@example.com"}]}, {"to.0.address"}),
        ({"to": [{"name": "Eve"}]}, {"to.0.address"}),
        ({"to": ["eve@example.com"]}, {"to.0"}),
        ({"cc": [{"name": "E\nve", "address": "eve@example.com"}]}, {"cc.0.name"}),
        ({"cc": [{"name": "x" * 101, "address": "eve@example.com"}]}, {"cc.0.name"}),
        ({"cc": [{**EVE, "bcc": True}]}, {"cc.0.bcc"}),
        ({"bcc": [EVE]}, {"bcc"}),
        ({"to": [EVE, ADA, EVE]}, {"to.2.address"}),
        ({"to": [EVE], "cc": [{"address": "EVE@partner.example"}]}, {"cc.0.address"}),
        ({"cc": [ADA]}, {"cc.0.address"}),
        ({"to": [{"address": "Support@shop.example"}]}, {"to.0.address"}),
        ({"cc": [{"address": "support+x@shop.example"}]}, {"cc.0.address"}),
        ({"cc": [{"address": f"{n}@example.com"} for n in range(51)]}, {"cc"}),
        ({"cc": [{"address": f"{n}@example.com"} for n in range(50)]}, {"cc"}),
        (
            {
                "to": [{"address": f"{n}@example.com"} for n in range(26)],
                "cc": [{"address": f"{n}@example.org"} for n in range(25)],
            },
            {"cc"},
        ),
    ],
)
def test_whom_no_mail_can_go_to_is_refused_and_named(
    desk: Desk, story: Story, mailbox: Mailbox, chosen: Any, where: set[str]
) -> None:
    mailbox.gets()
    assert desk.approval(**chosen).wrong == where
    assert story.path.count(Delivery) == 0


def test_fifty_are_not_too_many(desk: Desk, mailbox: Mailbox) -> None:
    mailbox.gets("Cc: " + ", ".join(f"{n}@example.org" for n in range(40)))
    goes_to = desk.approved(to=[{"address": f"{n}@example.com"} for n in range(49)])["recipients"]
    assert len(goes_to["to"]) == 49
    assert addresses(goes_to, "cc") == ["0@example.org"], "copies that nobody chose are cut"


def test_a_text_that_leaves_no_room_for_its_recipients_is_refused(
    desk: Desk, mailbox: Mailbox
) -> None:
    mailbox.gets()
    many = [{"name": "ä" * 100, "address": f"{n}@{'x' * 60}.example"} for n in range(50)]
    assert desk.approval(to=many, cc=[], final_text="🙂" * 16_000).wrong == {"body"}


def test_other_channels_have_no_recipients_to_choose(story: Story, api: Api) -> None:
    item = story.drafted()
    draft = api.get(f"/drafts/{item['draft']['id']}")
    body = {"revision_token": draft["revision_token"]}
    path = f"/drafts/{draft['id']}/approval"
    assert api.call("POST", path, {**body, "to": [EVE], "cc": []}).wrong == {"to", "cc"}
    compose = f"/conversations/{item['conversation']['id']}/messages"
    assert api.call("POST", compose, {"text": "Hi", "cc": [EVE]}).wrong == {"cc"}
    assert api.post(path, {**body, "to": None, "cc": None})["recipients"] is None


@pytest.mark.parametrize("kind", ["to", "cc"])
def test_who_must_not_be_written_to_cannot_be_chosen(
    desk: Desk, story: Story, mailbox: Mailbox, kind: str
) -> None:
    mailbox.gets()
    with story.path.tenant_session() as session:
        directory.suppress(session, "eve@partner.example", "bounced")
    answer = desk.approval(**{kind: [{"address": "Eve@partner.example"}, BOB]})
    assert (answer.status, answer.problem) == (409, "conflict")
    assert answer.json["suppressed"] == ["Eve@partner.example"]
    assert story.path.count(Delivery) == 0


def test_others_may_be_written_to_about_a_customer_who_must_not(
    desk: Desk, story: Story, mailbox: Mailbox
) -> None:
    mailbox.gets()
    draft = desk.draft()
    with story.path.tenant_session() as session:
        directory.suppress(session, "ada@example.com", "complained")
    path, body = f"/drafts/{draft['id']}/approval", {"revision_token": draft["revision_token"]}
    assert desk.api.call("POST", path, body).problem == "conflict"
    assert desk.api.call("POST", path, {**body, "cc": [EVE]}).problem == "conflict"
    made = desk.api.post(path, {**body, "to": [EVE]})
    assert made["recipients"]["left_out"] == ["ada@example.com"]


@pytest.mark.parametrize(
    "suppressed",
    ["ada@example.com", "eve@partner.example", "bob@example.com", "copied@example.com"],
)
def test_at_the_hand_over_everyone_counts_who_would_get_it(
    desk: Desk,
    story: Story,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    suppressed: str,
) -> None:
    """The customer's own suppression stops no mail that goes to others."""
    mailbox.gets()
    copied = {"name": "", "address": "copied@example.com"}
    made = desk.approved(to=[BOB, EVE], cc=[copied])
    with story.path.tenant_session() as session:
        directory.suppress(session, suppressed, "bounced")
    monkeypatch.setattr(sending, "send", lambda claim, settings: Accepted("1"))
    mailbox.now += timedelta(minutes=1)
    story.path.send()
    delivery = desk.delivery(made["delivery_id"])
    expected = ("sent", None) if suppressed == "ada@example.com" else ("cancelled", "suppressed")
    assert (delivery.status, delivery.reason_code) == expected


@pytest.mark.parametrize(
    ("recipient", "status"),
    [("bob@example.com", "failed"), ("eve@partner.example", "sent"), ("ada@example.com", "sent")],
)
def test_what_comes_back_counts_for_whom_it_was_brought_to(
    desk: Desk, story: Story, mailbox: Mailbox, recipient: str, status: str
) -> None:
    mailbox.gets()
    made = desk.approved(to=[BOB, EVE])
    story.becomes(made["delivery_id"], "sent")
    told = DeliveryStatus(
        provider_event_id="e1",
        status="bounced",
        recipient=recipient,
        suppress="bounced",
        occurred_at=mailbox.now,
    )
    delivery = desk.delivery(made["delivery_id"])
    with story.path.tenant_session() as session:
        deliveries.apply_status(session, delivery.id, told)
        was_written_to = recipient != "ada@example.com"
        assert directory.is_suppressed(session, recipient) is was_written_to
    assert desk.delivery(made["delivery_id"]).status == status


def test_who_was_added_takes_part_from_then_on(desk: Desk, story: Story, mailbox: Mailbox) -> None:
    conversation_id = mailbox.gets("Message-ID: <m1@example.com>")
    made = desk.approved(cc=[EVE])
    with story.path.tenant_session() as session:
        found = session.execute(select(Participant.address, Participant.role)).all()
    roles = {row.address: row.role for row in found}
    assert roles == {"ada@example.com": "customer", "eve@partner.example": "copied"}
    sent = f"In-Reply-To: <{made['message_id']}@shop.example>"
    subject = "Subject: Re: Order 1001"
    assert mailbox.gets(f"From: {EVE['address']}", sent, subject) == conversation_id
    assert mailbox.gets("From: carl@example.com", sent, subject) != conversation_id


def test_who_was_added_gets_no_later_mail_unless_the_customer_copies_them(
    desk: Desk, story: Story, mailbox: Mailbox
) -> None:
    """Neither in this conversation nor in another one of the same customer."""
    begun = mailbox.gets("Message-ID: <m1@example.com>")
    made = desk.approved(cc=[EVE, BOB])
    sent = f"In-Reply-To: <{made['message_id']}@shop.example>"
    other = mailbox.gets("Subject: Something else")
    assert other != begun
    recipients = desk.approved()["recipients"]
    assert (addresses(recipients, "to"), recipients["cc"]) == (["ada@example.com"], [])
    assert mailbox.gets(sent, "Subject: Re: Order 1001", "Cc: bob@example.com") == begun
    recipients = desk.approved()["recipients"]
    assert addresses(recipients, "to") == ["ada@example.com"]
    assert addresses(recipients, "cc") == ["bob@example.com"]


def test_an_approval_with_recipients_of_ones_own_is_bound_to_what_was_seen(
    desk: Desk, story: Story, api: Api, mailbox: Mailbox
) -> None:
    mailbox.gets()
    draft = desk.draft()
    with story.path.tenant_session() as session:
        message = session.scalars(select(Message)).one()
        message.recipients = {**message.recipients, "reply_to": [BOB]}
    body = {"revision_token": draft["revision_token"], "to": [EVE]}
    answer = api.call("POST", f"/drafts/{draft['id']}/approval", body)
    assert (answer.status, answer.problem) == (409, "stale")
    assert answer.json["changed"] == ["recipients"]
