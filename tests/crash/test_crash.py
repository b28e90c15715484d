"""Whatever goes wrong, at whichever point and in whatever order, an act has the same end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from countersign.channels import attempts
from countersign.conversations import attachments
from countersign.drafting import requests
from countersign.knowledge import moving, progress
from countersign.platform import outbox
from tests.crash.acts import ACTS, RACES, Act, handed_over, message
from tests.crash.edges import Kind, Trouble
from tests.crash.explorer import Explorer
from tests.crash.outside import APPLICATION
from tests.crash.record import faults, read
from tests.crash.stage import Order

Explore = Callable[[Act], Explorer]
MAIL = (
    "ada@example.com; bob@example.com; To: Ada <ada@example.com>; Cc: Bob <bob@example.com>;"
    " Subject: Re: My order; <m1@example.com>; <m1@example.com>"
)
"""Whom the reply to the customer's mail goes to, and what it answers."""
SENT = {"drafts": ["1 sent"], "actions": ["approve f"]}
BOUNCED = {"deliveries": ["failed"], "suppressed": ["ada@example.com bounced"]}
ORDERS: tuple[Order, ...] = ("each twice", "newest first", "all again at the end")


@pytest.mark.parametrize("name", ACTS)
def test_an_act_has_the_same_end(name: str, explore: Explore) -> None:
    explorer = explore(ACTS[name])
    in_order = {order: faults for order in ORDERS if (faults := explorer.play(order=order))}
    assert not in_order
    found = list(explorer.explore())
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("message by whatsapp", {"drafts": ["1 pending"], "media": ["image/png completed"]}),
        ("burst", {"drafts": ["1 pending"], "model calls": ["chat", "embedding"]}),
        ("rejection", {"drafts": ["1 archived"], "actions": ["reject f"]}),
        ("take back rejection", {"drafts": ["1 pending"], "actions": ["reject t"]}),
        (
            "suppression",
            {
                "drafts": ["1 superseded"],
                "requests": ["1 drafted", "2 abstained"],
                "actions": ["edit t"],
                "samples": [],
                "deliveries": ["cancelled"],
                "attempts": [],
                "conversations": ["open f t"],
                "told": ["delivery_cancelled", "draft_ready"],
            },
        ),
        (
            "message both ways",
            {
                "messages": ["inbound Can I return my order for free? f"],
                "drafts": ["1 pending"],
                "events": ["accepted", "accepted"],
            },
        ),
        (
            "messages of one id",
            {
                "messages": [
                    "inbound And without the box? f",
                    "inbound Can I return my order for free? f",
                ],
                "drafts": ["1 pending", "1 pending"],
            },
        ),
        ("reply by ses", {**SENT, "deliveries": ["delivered"], "mails": [f"{MAIL} ours"]}),
        ("reply by sendgrid", {**SENT, "deliveries": ["delivered"], "mails": [f"{MAIL} ours"]}),
        (
            "answered reply",
            {
                "conversations": ["open f t"],
                "deliveries": ["sent"],
                "drafts": ["1 pending", "1 sent"],
                "mails": [MAIL],
            },
        ),
        ("bounced reply", {**SENT, **BOUNCED}),
        # Of three passages in batches of two, one has changed.
        ("changed document", {"runs": ["index succeeded 3 1", "index succeeded 3 3"]}),
        (
            "move",
            {
                "letters": ["Can I return my order for free? hasher 4f20257b"],
                "runs": ["index succeeded 3 3", "re_embed succeeded 5"],
            },
        ),
        ("returned reply", {**SENT, **BOUNCED, "requests": ["1 abstained", "1 drafted"]}),
    ],
)
def test_without_trouble_an_act_ends_as_it_should(
    name: str, end: dict[str, list[str]], explore: Explore
) -> None:
    reached = explore(ACTS[name]).end
    assert reached is not None
    assert {part: reached[part] for part in end} == end


@pytest.mark.parametrize("name", RACES)
def test_two_who_race_do_not_meet_halfway(name: str, explore: Explore) -> None:
    found = list(explore(RACES[name]).explore(["stall"]))
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("name", "kind", "detours"),
    [
        # The provider's status event names the attempt.
        ("reply by sms", "crash after", ["delivery.sent"]),
        # It never tells, so it is asked, and has exactly one that matches.
        ("silent reply", "crash after", ["delivery.sent", "delivery.unknown"]),
        ("silent reply", "no answer", ["delivery.sent", "delivery.unknown"]),
        # It has none, so a person decides.
        (
            "silent reply",
            "crash before",
            ["delivery.resolved", "delivery.sent", "delivery.unknown"],
        ),
        # It may be sent again: the receiver knows it by its id.
        ("silent reply by api", "crash after", ["delivery.sent"]),
        # The events of SES and of SendGrid name the attempt, before or after it is given up.
        ("reply by ses", "crash after", ["delivery.sent"]),
        ("reply by ses", "no answer", ["delivery.sent", "delivery.unknown"]),
        ("reply by sendgrid", "crash after", ["delivery.sent"]),
        ("reply by sendgrid", "no answer", ["delivery.sent", "delivery.unknown"]),
        # A mail that came back proves that it was sent.
        ("returned reply", "crash after", []),
        ("returned reply", "no answer", ["delivery.unknown"]),
        # Nothing tells of what a mail server took: a person decides.
        ("answered reply", "crash after", ["delivery.resolved", "delivery.unknown"]),
        ("answered reply", "no answer", ["delivery.resolved", "delivery.unknown"]),
    ],
)
def test_a_send_of_unknown_end_is_settled(
    name: str, kind: Kind, detours: list[str], explore: Explore
) -> None:
    explorer = explore(ACTS[name])
    assert explorer.play(Trouble(kind, _send(explorer))) == []
    assert read(explorer.stage)["detours"] == detours


def _send(explorer: Explorer) -> int:
    """The number of the point at which a provider takes the reply."""
    labels = [point.label for point in explorer.points() if point.process == "outbound"]
    (send,) = [label for label in labels if label.startswith(("POST ", "SMTP ."))]
    return _number(explorer, send)


def _number(explorer: Explorer, label: str) -> int:
    return [point.label for point in explorer.points()].index(label)


@pytest.mark.parametrize("kind", ["crash after", "no answer"])
def test_nobody_but_a_person_settles_what_a_mail_server_may_have_taken(
    kind: Kind, explore: Explore
) -> None:
    explorer = explore(Act(handed_over, "smtp", before=(message,)))
    explorer.play(Trouble(kind, _send(explorer)))
    stage, left = explorer.stage, read(explorer.stage)
    assert (left["deliveries"], left["attempts"]) == (["unknown"], ["unknown"])
    assert (left["conversations"], left["mails"]) == (["open f f"], [MAIL])
    stage.agent.resolves()
    stage.rest()
    assert faults(stage, explorer.end) == []


@pytest.mark.parametrize("said", ["EHLO", "MAIL", "RCPT", "DATA", "mail"])
def test_what_breaks_before_the_last_dot_is_sent_again(said: str, explore: Explore) -> None:
    explorer = explore(ACTS["answered reply"])
    assert explorer.play(Trouble("no answer", _number(explorer, f"SMTP {said}"))) == []
    ended = read(explorer.stage)
    assert ended["attempts"] == ["accepted", "unreached"]
    assert ended["detours"] == ["delivery.sent"]


@pytest.mark.parametrize(
    ("time", "function"),
    [
        # Else a process that froze before its call could make it after another has taken over.
        (attempts.LEASE, "Outbound"),
        (requests.LEASE, "Drafts"),
        (attachments.LEASE, "Attachments"),
        (progress.LEASE, "Index"),
        (moving.LEASE, "Index"),
        # Else the relay could look before a process that froze has committed. Queues would bring
        # the work of other functions again, and a check with it.
        (timedelta(seconds=outbox.CHECK_AFTER_SECONDS), "Approvals"),
    ],
)
def test_what_watches_a_process_outlives_it(time: timedelta, function: str) -> None:
    own = APPLICATION["Resources"][f"{function}Function"]["Properties"].get("Timeout")
    assert time.total_seconds() >= (own or APPLICATION["Globals"]["Function"]["Timeout"])
