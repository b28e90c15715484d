"""Our Standard Webhooks to a receiver, which verifies them with the reference library."""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from countersign.channels.messages import (
    Accepted,
    Outgoing,
    Refused,
    SendResult,
    Throttled,
    Unknown,
    Unreached,
)
from countersign.channels.providers import ProviderSettings, api
from countersign.platform.errors import Unauthenticated
from tests.unit.channels.peer import Peer

SECRET = "whsec_" + base64.b64encode(b"canary-secret-of-24-byte").decode()


def send(delivery: Outgoing, url: str) -> SendResult:
    return api.send(delivery, {"secret": SECRET, "url": url}, ProviderSettings())


def test_the_receiver_can_verify_what_it_gets(peer: Peer, delivery: Outgoing) -> None:
    peer.answers = [(202, {}, b"")]
    text = "Où ? 🚗"
    result = send(replace(delivery, text=text, html="<p>Où ?</p>"), peer.url + "/in?k=1")
    assert result == Accepted(str(delivery.delivery_id))
    (call,) = peer.calls
    assert (call.method, call.path) == ("POST", "/in?k=1")
    assert call.headers["content-type"] == "application/json"
    assert call.headers["webhook-id"] == str(delivery.delivery_id)
    event = Webhook(SECRET).verify(call.body, call.headers)
    assert event["type"] == "message.send"
    assert abs(datetime.fromisoformat(event["timestamp"]) - datetime.now(UTC)).seconds < 60
    assert event["data"] == {
        "delivery_id": str(delivery.delivery_id),
        "conversation_id": "thread-7",
        "recipient": "+15550199",
        "text": text,
        "html": "<p>Où ?</p>",
    }


def test_every_try_has_the_same_id(peer: Peer, delivery: Outgoing) -> None:
    peer.answers = [(500, {}, b""), (200, {}, b"")]
    assert isinstance(send(delivery, peer.url), Throttled)
    assert isinstance(send(delivery, peer.url), Accepted)
    assert len({call.headers["webhook-id"] for call in peer.calls}) == 1
    assert "html" not in json.loads(peer.calls[0].body)["data"]
    assert api.RESEND_IS_SAFE


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ((429, {"retry-after": "3"}, b""), Throttled(3.0, "HTTP 429")),
        ((502, {}, b""), Throttled(None, "HTTP 502", may_have_arrived=True)),
        ((410, {}, b"gone"), Refused("http_410", "The receiver answered 410: gone")),
        ((422, {}, b"a\0b\xff"), Refused("http_422", "The receiver answered 422: ab\ufffd")),
        ((302, {"location": "/x"}, b""), Refused("http_302", "The receiver answered 302: ")),
    ],
)
def test_what_an_answer_means(
    peer: Peer, delivery: Outgoing, given: Any, result: SendResult
) -> None:
    peer.answers = [given]
    assert send(delivery, peer.url) == result
    assert len(peer.calls) == 1


def test_a_receiver_that_does_not_know_the_signature(peer: Peer, delivery: Outgoing) -> None:
    peer.answers = [(401, {}, b"who?")]
    with pytest.raises(Unauthenticated, match="401: who"):
        send(delivery, peer.url)


def test_a_long_refusal_is_cut(peer: Peer, delivery: Outgoing) -> None:
    peer.answers = [(400, {}, "é".encode() * 10_000)]
    result = send(delivery, peer.url)
    assert isinstance(result, Refused)
    assert result.reason.endswith("é" * 200)
    assert len(result.reason) < 300


def test_a_2xx_counts_even_if_its_body_breaks_off(peer: Peer, delivery: Outgoing) -> None:
    peer.answers = [(200, {"content-length": "100"}, b"half")]
    assert isinstance(send(delivery, peer.url), Accepted)


def test_no_answer(peer: Peer, delivery: Outgoing) -> None:
    peer.answers = [(0, {}, b"")]
    assert isinstance(send(delivery, peer.url), Unknown)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/?token=canary"
        result = send(delivery, url)
    assert isinstance(result, Unreached)
    assert "canary" not in result.reason


def test_nothing_is_sent_unsigned(peer: Peer, delivery: Outgoing) -> None:
    for credentials in ({"url": peer.url}, {"url": peer.url, "secret": "é"}, {"secret": SECRET}):
        assert isinstance(api.send(delivery, credentials, ProviderSettings()), Unreached)
    assert not peer.calls


def test_there_is_nowhere_to_look(delivery: Outgoing) -> None:
    assert api.look_up(delivery, {}, ProviderSettings(), datetime.now(UTC)) == []
