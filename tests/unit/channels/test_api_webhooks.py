"""Standard Webhooks to us; its reference library signs, and says what must be refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from countersign.channels.messages import DeliveryStatus, InboundMessage, WebhookRequest
from countersign.channels.providers import api
from countersign.platform.errors import Invalid, Unauthenticated, Unavailable

NOW = datetime.now(UTC).replace(microsecond=0)
SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(24)).decode()
MESSAGE: dict[str, Any] = {
    "type": "message.received",
    "timestamp": "2026-03-04T05:06:07Z",
    "data": {
        "message_id": "m-1",
        "conversation_id": "thread-7",
        "sender": {"address": "ann@example.org", "name": "Ann"},
        "subject": "Radiator",
        "text": "Does it fit a ’67 Camaro?",
        "sent_at": "2026-03-04T06:06:00+01:00",
        "metadata": {"shop": {"order": 7}},
    },
}
BODY = json.dumps(MESSAGE, ensure_ascii=False).encode()


def signed(
    body: bytes = BODY, secret: str = SECRET, event_id: str = "evt_1", at: datetime = NOW
) -> dict[str, str]:
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, at, body.decode()),
    }


def request(
    body: bytes = BODY, headers: Mapping[str, str] | None = None, received_at: datetime = NOW
) -> WebhookRequest:
    return WebhookRequest(
        method="POST",
        url="https://hooks.example/webhooks/api.key",
        headers=signed(body) if headers is None else headers,
        body=body,
        received_at=received_at,
    )


def accepted(incoming: WebhookRequest, *secrets: str, now: datetime = NOW) -> bool:
    try:
        api.verify(incoming, [{"secret": secret} for secret in secrets or (SECRET,)], now)
    except Unauthenticated:
        return False
    return True


def accepted_by_reference(incoming: WebhookRequest) -> bool:
    try:
        Webhook(SECRET).verify(incoming.body, dict(incoming.headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True


@given(st.text(), st.from_regex(r"[!-\-/-~]{1,255}", fullmatch=True), st.binary(min_size=1))
def test_what_the_reference_signs_is_accepted(text: str, event_id: str, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = text.encode()
    assert accepted(request(body, signed(body, secret, event_id)), secret)
    assert accepted(request(body, signed(body, secret, event_id)), secret.rstrip("="))


@given(st.integers(0, len(BODY) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused(at: int, byte: int) -> None:
    changed = BODY[:at] + bytes([byte]) + BODY[at + 1 :]
    assert accepted(request(changed, signed())) == (changed == BODY)


@given(st.integers(0, len(BODY)), st.binary(min_size=1, max_size=3))
def test_an_inserted_byte_is_refused(at: int, more: bytes) -> None:
    assert not accepted(request(BODY[:at] + more + BODY[at:], signed()))


@given(st.sampled_from(sorted(signed())), st.text(max_size=60))
def test_a_changed_header_is_refused(name: str, value: str) -> None:
    now = datetime.now(UTC)  # the reference knows no other
    headers = {**signed(at=now), name: value}
    incoming = request(headers=headers)
    assert accepted(incoming, now=now) == (headers == signed(at=now))
    assert not accepted(incoming, now=now) or accepted_by_reference(incoming)


@pytest.mark.parametrize("name", sorted(signed()))
def test_a_missing_header_is_refused(name: str) -> None:
    headers = signed()
    del headers[name]
    assert not accepted(request(headers=headers))


def test_what_is_signed_cannot_be_parted_elsewhere() -> None:
    """`a.1700000000` + body and `a` + `1700000000.body` would be signed alike."""
    time = str(int(NOW.timestamp()))
    whole = signed(event_id=f"a.{time}")
    assert not accepted(request(headers=whole))
    parted = {**whole, "webhook-id": "a", "webhook-timestamp": time}
    assert accepted(request(f"{time}.".encode() + BODY, parted))
    with pytest.raises(Invalid):
        api.check(request(f"{time}.".encode() + BODY, parted))


@pytest.mark.parametrize(
    ("age", "fresh"),
    [(-301, False), (-300, True), (0, True), (300, True), (301, False), (86_400, False)],
)
def test_the_replay_window_is_five_minutes(age: int, fresh: bool) -> None:
    headers = signed(at=NOW - timedelta(seconds=age))
    assert accepted(request(headers=headers)) == fresh


@pytest.mark.parametrize("time", ["", "-1", "1e9", " 1", "１２", "9" * 13, "nan", "inf"])
def test_a_timestamp_that_is_no_whole_number_is_refused(time: str) -> None:
    assert not accepted(request(headers={**signed(), "webhook-timestamp": time}))


def test_one_of_several_signatures_is_enough() -> None:
    mine, other = signed()["webhook-signature"], signed(secret=OTHER)["webhook-signature"]
    for several in (f"{other} {mine}", f"v1a,xyz {mine}", f"{mine} junk", f"  {mine}"):
        assert accepted(request(headers={**signed(), "webhook-signature": several}))
    for none in ("", other, f"{other} {other}", mine.replace("v1,", "v2,"), mine[3:], mine + "="):
        assert not accepted(request(headers={**signed(), "webhook-signature": none}))


def test_the_previous_secret_is_accepted_and_an_older_one_is_not() -> None:
    assert accepted(request(), OTHER, SECRET)
    assert not accepted(request(), OTHER)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_é", "whsec_not base64!", 7, None])
def test_a_channel_without_a_secret_accepts_nothing(secret: object) -> None:
    with pytest.raises(Unavailable, match="whsec_"):
        api.verify(request(), [{"secret": secret}, {}], NOW)


def test_a_message() -> None:
    api.check(request())
    assert api.parse(request()) == [
        InboundMessage(
            provider_event_id="evt_1",
            external_id="m-1",
            conversation_external_id="thread-7",
            sender="ann@example.org",
            sender_name="Ann",
            subject="Radiator",
            text="Does it fit a ’67 Camaro?",
            sent_at=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
            metadata={"shop": {"order": 7}},
        )
    ]


def message(**data: object) -> bytes:
    kept = {name: value for name, value in {**MESSAGE["data"], **data}.items() if value != "drop"}
    return json.dumps({**MESSAGE, "data": kept}).encode()


def test_a_message_without_what_is_optional() -> None:
    body = message(subject="drop", sent_at="drop", metadata="drop", sender={"address": "ann"})
    (read,) = api.parse(request(body))
    assert isinstance(read, InboundMessage)
    assert (read.subject, read.sender_name, read.metadata) == (None, None, {})
    assert read.sent_at == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_a_time_to_come_counts_as_now() -> None:
    later = "9999-12-31T23:59:59-14:00"
    (read,) = api.parse(request(message(sent_at=later)))
    assert isinstance(read, InboundMessage)
    assert read.sent_at == NOW
    (status,) = api.parse(request(settled("message.delivered", timestamp=later)))
    assert isinstance(status, DeliveryStatus)
    assert status.occurred_at == NOW


def settled(kind: str, error: object = None, **event: object) -> bytes:
    data = {"delivery_id": str(UUID(int=9)), **({"error": error} if error else {})}
    return json.dumps({**MESSAGE, "type": kind, "data": data, **event}).encode()


def test_a_status() -> None:
    expected = DeliveryStatus(
        provider_event_id="evt_1",
        status="delivered",
        delivery_id=UUID(int=9),
        occurred_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    )
    assert api.parse(request(settled("message.delivered"))) == [expected]
    failure = {"code": "blocked", "reason": "The customer blocked us."}
    (status,) = api.parse(request(settled("message.failed", failure)))
    assert isinstance(status, DeliveryStatus)
    assert (status.status, status.error_code, status.error_reason) == (
        "failed",
        "blocked",
        "The customer blocked us.",
    )


def wrong(body: bytes) -> list[str]:
    with pytest.raises(Invalid) as caught:
        api.check(request(body, {}))
    assert all(one["what"] for one in caught.value.extra["errors"])
    return [one["where"] for one in caught.value.extra["errors"]]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", ["body"]),
        (b"\xff\xfe", ["body"]),
        (b"{", ["body"]),
        (b"null", ["body"]),
        (b"[]", ["body"]),
        (b"{}", ["body"]),
        (json.dumps({**MESSAGE, "type": "message.read"}).encode(), ["body"]),
        (json.dumps({**MESSAGE, "timestamp": 1}).encode(), ["timestamp"]),
        (json.dumps({**MESSAGE, "timestamp": "2026-03-04T05:06:07"}).encode(), ["timestamp"]),
        (json.dumps({**MESSAGE, "timestamp": "0001-01-01T00:00:00+14:00"}).encode(), ["timestamp"]),
        (json.dumps({**MESSAGE, "data": []}).encode(), ["data"]),
        (message(text=""), ["data.text"]),
        (message(text=7, message_id="", sender={}, conversation_id="drop"), [
            "data.message_id", "data.conversation_id", "data.sender.address", "data.text",
        ]),
        (message(message_id="x" * 256), ["data.message_id"]),
        (message(text="a\0b"), ["body"]),
        (message(metadata={"a": [{"b\0": 1}]}), ["body"]),
        (message(metadata={"a": float("nan")}), ["data.metadata"]),
        (message(metadata="1e999").replace(b'"1e999"', b'{"a":1e999}'), ["data.metadata"]),
        (message(metadata={"a": "x" * 32 * 1024}), ["data.metadata"]),
        (message(metadata=[]), ["data.metadata"]),
        (message(text="surrogate").replace(b"surrogate", b"\\ud800"), ["body"]),
        (message(text="big").replace(b'"big"', b"1" * 5000), ["body"]),
        (message(text="deep").replace(b'"deep"', b"[" * 9000 + b"]" * 9000), ["body"]),
        (settled("message.failed", {"code": 1}), ["data.error.code", "data.error.reason"]),
        (settled("message.failed", data={"delivery_id": "x"}), ["data.delivery_id"]),
    ],
)  # fmt: skip
def test_all_that_is_wrong_is_said_with_its_place(body: bytes, where: list[str]) -> None:
    assert wrong(body) == where


def test_a_backslash_before_u0000_is_text() -> None:
    api.check(request(message(text=r"a\u0000b"), {}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from([*MESSAGE, *MESSAGE["data"], "delivery_id", "error", "whole"]), JSON)
def test_json_of_any_shape_is_read_or_refused(name: str, value: object) -> None:
    event: Any = {**MESSAGE, "data": {**MESSAGE["data"], "delivery_id": str(UUID(int=1))}}
    if name == "whole":
        event = value
    else:
        (event if name in MESSAGE else event["data"])[name] = value
    incoming = request(json.dumps(event).encode(), {"webhook-id": "evt_1"})
    with suppress(Invalid):
        (read,) = api.parse(incoming)
        text = json.dumps(getattr(read, "metadata", {}), allow_nan=False)
        assert "\0" not in json.loads(text)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        api.check(request(body, {}))
