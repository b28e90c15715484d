"""Whatever goes wrong, at whichever point and in whatever order, an act has the same end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from countersign.channels import deliveries
from countersign.drafting import requests
from tests.crash.acts import ACTS, RACE, Act
from tests.crash.edges import Kind, Trouble
from tests.crash.explorer import Explorer
from tests.crash.stage import Order
from tools import template

Explore = Callable[[Act], Explorer]
ORDERS: tuple[Order, ...] = ("each twice", "newest first", "all again at the end")


@pytest.mark.parametrize("name", ACTS)
def test_an_act_has_the_same_end(name: str, explore: Explore) -> None:
    explorer = explore(ACTS[name])
    in_order = {order: faults for order in ORDERS if (faults := explorer.play(order=order))}
    assert not in_order
    found = list(explorer.explore())
    assert not found, "\n".join(map(str, found))


def test_a_reply_and_a_newer_message_do_not_meet_halfway(explore: Explore) -> None:
    found = list(explore(RACE).explore(["stall"]))
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("name", "kind", "by_a_person", "detours"),
    [
        # The provider's status event names the attempt.
        ("reply by sms", "crash after", 0, ["delivery.sent"]),
        # It never tells, so it is asked, and has exactly one that matches.
        ("silent reply", "crash after", 0, ["delivery.sent", "delivery.unknown"]),
        ("silent reply", "no answer", 0, ["delivery.sent", "delivery.unknown"]),
        # It has none, so a person decides.
        (
            "silent reply",
            "crash before",
            1,
            ["delivery.resolved", "delivery.sent", "delivery.unknown"],
        ),
        # It may be sent again: the receiver knows it by its id.
        ("reply by api", "crash after", 0, []),
    ],
)
def test_a_send_of_unknown_end_is_settled(
    name: str, kind: Kind, by_a_person: int, detours: list[str], explore: Explore
) -> None:
    explorer = explore(ACTS[name])
    (send,) = [n for n, point in enumerate(explorer.points()) if point.label.startswith("POST ")]
    assert explorer.play(Trouble(kind, send)) == []
    assert explorer.stage.agent.resolved == by_a_person


@pytest.mark.parametrize(
    ("lease", "function"), [(deliveries.LEASE, "Outbound"), (requests.LEASE, "Drafts")]
)
def test_a_lease_outlives_the_process_that_holds_it(lease: timedelta, function: str) -> None:
    # Else a process that froze before its call could make it after another has taken over.
    described = template.load(Path(__file__).parents[2] / "template.yaml")
    own = described["Resources"][f"{function}Function"]["Properties"].get("Timeout")
    assert lease.total_seconds() >= (own or described["Globals"]["Function"]["Timeout"])
