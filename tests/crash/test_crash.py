"""Whatever goes wrong, at whichever point and in whatever order, an act has the same end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from countersign.channels import attempts
from countersign.conversations import attachments
from countersign.drafting import requests
from countersign.platform import outbox
from tests.crash.acts import ACTS, RACES, Act
from tests.crash.edges import Kind, Trouble
from tests.crash.explorer import Explorer
from tests.crash.outside import APPLICATION
from tests.crash.record import read
from tests.crash.stage import Order

Explore = Callable[[Act], Explorer]
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
    ],
)
def test_a_send_of_unknown_end_is_settled(
    name: str, kind: Kind, detours: list[str], explore: Explore
) -> None:
    explorer = explore(ACTS[name])
    (send,) = [n for n, point in enumerate(explorer.points()) if point.label.startswith("POST ")]
    assert explorer.play(Trouble(kind, send)) == []
    assert read(explorer.stage)["detours"] == detours


@pytest.mark.parametrize(
    ("time", "function"),
    [
        # Else a process that froze before its call could make it after another has taken over.
        (attempts.LEASE, "Outbound"),
        (requests.LEASE, "Drafts"),
        (attachments.LEASE, "Attachments"),
        # Else the relay could look before a process that froze has committed. Queues would bring
        # the work of other functions again, and a check with it.
        (timedelta(seconds=outbox.CHECK_AFTER_SECONDS), "Approvals"),
    ],
)
def test_what_watches_a_process_outlives_it(time: timedelta, function: str) -> None:
    own = APPLICATION["Resources"][f"{function}Function"]["Properties"].get("Timeout")
    assert time.total_seconds() >= (own or APPLICATION["Globals"]["Function"]["Timeout"])
