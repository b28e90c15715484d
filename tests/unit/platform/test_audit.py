from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from countersign.platform import audit
from countersign.platform.audit import Actor, Event, UnrecordableError, canonical
from tests.unit.platform.timelines import NOW, ORGANIZATION, START, STREAM, events

SYSTEM = Actor("system", "ingest")


def written(data: dict[str, Any]) -> str:
    return canonical(START, Event("message.received", SYSTEM, data), NOW)


ENVELOPE = len(written({"text": ""}))


def test_the_canonical_text_is_the_one_that_is_specified() -> None:
    data = {
        "b": "café 👍\n\u2028",
        "a": [1, -2, True, None, {"é": {}, "z": ""}],
        "Z": '"\\/\x01\x7f',
    }
    assert written(data) == (
        '{"actor":{"id":"ingest","type":"system"},"data":{"Z":"\\"\\\\/\\u0001\x7f",'
        '"a":[1,-2,true,null,{"z":"","é":{}}],"b":"café 👍\\n\u2028"},'
        '"occurred_at":"2026-03-04T05:06:07.000089Z",'
        '"organization_id":"01980000-0000-7000-8000-000000000001","previous":"'
        + "0"
        * 64
        + '","seq":1,"stream_id":"01980000-0000-7000-8000-000000000002",'
        '"type":"message.received","v":1}'
    )


@given(events)
def test_any_event_reads_back_as_it_was(event: Event) -> None:
    head = audit.Head(ORGANIZATION, STREAM, 41, "a" * 64)
    assert json.loads(canonical(head, event, NOW).encode()) == {
        "v": 1,
        "organization_id": str(ORGANIZATION),
        "stream_id": str(STREAM),
        "seq": 42,
        "occurred_at": "2026-03-04T05:06:07.000089Z",
        "type": event.type,
        "actor": {"type": event.actor.type, "id": event.actor.id},
        "data": event.data,
        "previous": "a" * 64,
    }


def test_text_is_not_normalised() -> None:
    assert "e\u0301" in written({"text": "e\u0301"})
    assert "\u00e9" in written({"text": "\u00e9"})


def test_the_time_is_written_in_utc_whatever_its_zone() -> None:
    moment = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    text = canonical(START, Event("a", SYSTEM, {}), moment)
    assert json.loads(text)["occurred_at"] == "2025-12-31T22:30:00.000000Z"


def nested(levels: int) -> Any:
    return {} if levels == 1 else {"in": nested(levels - 1)}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"score": 0.5}, r"data\.score is the float 0\.5: record an integer"),
        ({"a": [{"b": float("nan")}]}, r"data\.a\[0\]\.b is the float nan"),
        ({"a": 2**53}, r"data\.a is beyond 2\^53 - 1"),
        ({"a": -(2**53)}, r"data\.a is beyond 2\^53 - 1"),
        ({"a": {1: "x"}}, r"data\.a has the key 1: keys are text"),
        ({"id": UUID(int=1)}, r"data\.id is of type UUID: record str\(\) of it"),
        ({"price": Decimal("1.5")}, r"data\.price is of type Decimal"),
        ({"text": "a\ud800"}, r"lone surrogate '\\ud800'"),
        ({"\udfff": 1}, "lone surrogate"),
        ({"commitment": "the text itself"}, r"data\.commitment is not a commitment"),
        ({"draft": {"body_commitment": "AB" * 32}}, r"body_commitment is not a commitment"),
        ({"commitment": None}, "is not a commitment"),
        ({"text": "x" * (65_537 - ENVELOPE)}, "takes 65537 bytes, more than 65536"),
        ({"text": "é" * ((65_538 - ENVELOPE) // 2)}, "bytes, more than 65536"),
        (nested(16), "deeper than 16 levels"),
    ],
)
def test_what_has_no_canonical_text_is_refused(data: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UnrecordableError, match=complaint):
        written(data)


def test_the_limits_themselves_are_recordable() -> None:
    assert written({"a": 2**53 - 1, "b": -(2**53) + 1})
    assert written(nested(15))
    assert len(written({"text": "x" * (65_536 - ENVELOPE)})) == 65_536


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        (Event("Message received", SYSTEM, {}), "is not an event type"),
        (Event("message.", SYSTEM, {}), "is not an event type"),
        (Event("a", Actor("robot", "1"), {}), "'robot' is none of the actor types"),  # type: ignore[arg-type]
        (Event("a", Actor("user", ""), {}), r"actor\.id must be text"),
        (Event("a", Actor("user", UUID(int=1)), {}), r"actor\.id must be text"),  # type: ignore[arg-type]
        (Event("a", SYSTEM, []), "data must be an object"),  # type: ignore[arg-type]
    ],
)
def test_an_event_of_wrong_words_is_refused(event: Event, complaint: str) -> None:
    with pytest.raises(UnrecordableError, match=complaint):
        canonical(START, event, NOW)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(UnrecordableError, match="no time zone"):
        canonical(START, Event("a", SYSTEM, {}), NOW.replace(tzinfo=None))


def test_a_commitment_hashes_salt_and_utf8_text() -> None:
    salt = bytes(range(16))
    assert audit.commitment(salt, "né") == hashlib.sha256(salt + b"n\xc3\xa9").hexdigest()


def test_salts_are_sixteen_bytes_and_differ() -> None:
    salts = {audit.new_salt() for _ in range(100)}
    assert len(salts) == 100
    assert {len(salt) for salt in salts} == {16}


def test_a_checkpoint_line_says_what_it_is_about() -> None:
    [line] = audit.checkpoint_lines(
        [audit.Head(ORGANIZATION, STREAM, 9, "b" * 64)], datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "format": "countersign.checkpoint/1",
        "taken_at": "2026-01-02T00:00:00.000000Z",
        "organization_id": str(ORGANIZATION),
        "stream_id": str(STREAM),
        "seq": 9,
        "hash": "b" * 64,
    }
