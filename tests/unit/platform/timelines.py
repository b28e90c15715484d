"""Timelines made by `audit`, as hypothesis strategies and as one fixed example."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from countersign.platform import audit
from countersign.platform.audit import Actor, Body, Event, Head

ORGANIZATION = UUID("01980000-0000-7000-8000-000000000001")
STREAM = UUID("01980000-0000-7000-8000-000000000002")
NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
START = Head(ORGANIZATION, STREAM, 0, audit.FIRST_PREVIOUS)
SALT = bytes(range(16))


def timeline(
    events: Sequence[Event], bodies: Sequence[Body] = (), head: Head = START
) -> dict[str, Any]:
    """The export of a stream of these events, as the database would give it."""
    listed = []
    for event in events:
        text = audit.canonical(head, event, NOW)
        head = Head(*head[:2], head.seq + 1, hashlib.sha256(text.encode()).hexdigest())
        listed.append({"canonical_text": text, "hash": head.hash})
    return {
        "format": "countersign.timeline/1",
        "organization_id": str(head.organization_id),
        "stream_id": str(head.stream_id),
        "events": listed,
        "bodies": [
            {
                "commitment": body.commitment,
                "salt": body.salt and body.salt.hex(),
                "text": body.text,
            }
            for body in bodies
        ],
        "next_after_seq": None,
    }


def body(text: str, salt: bytes = SALT) -> Body:
    return Body(audit.commitment(salt, text), salt, text)


def example(length: int = 5) -> dict[str, Any]:
    """A conversation of some events, the first two with bodies."""
    bodies = [body("Do you have the AN-6 fitting?"), body("Yes — two on the shelf. 👍")]
    types = [
        "message.received",
        "draft.made",
        "draft.approved",
        "message.sent",
        "message.delivered",
    ]
    events = [
        Event(types[n % 5], Actor("user", f"user-{n}"), {"message_id": f"message-{n}", "n": n})
        for n in range(length)
    ]
    for n, one in enumerate(bodies[:length]):
        events[n] = Event(
            events[n].type, events[n].actor, {**events[n].data, "commitment": one.commitment}
        )
    return timeline(events, bodies[:length])


def head_of(export: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint that a whole example stands for."""
    return {"seq": len(export["events"]), "hash": export["events"][-1]["hash"]}


def checkpoint_file(export: dict[str, Any]) -> str:
    """The checkpoint file's text for the head of `export`, among other streams."""
    head = Head(ORGANIZATION, STREAM, **head_of(export))
    other = Head(ORGANIZATION, UUID(int=7), 3, "7" * 64)
    return "".join(audit.checkpoint_lines([other, head], NOW))


words = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | words
keys = words.filter(lambda key: not key.endswith("commitment"))
json_objects = st.dictionaries(
    keys,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=8,
    ),
    max_size=4,
)
actors = st.builds(
    Actor,
    st.sampled_from(["customer", "user", "system", "api_key"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
events = st.builds(
    Event, st.from_regex(r"[a-z0-9_]+(\.[a-z0-9_]+)*", fullmatch=True), actors, json_objects
)
