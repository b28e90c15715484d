"""Our requests to Twilio, against a server that answers like it."""

from __future__ import annotations

import base64
import itertools
import json
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from countersign.channels.messages import (
    Accepted,
    Outgoing,
    Refused,
    SendResult,
    Throttled,
    Unknown,
    Unreached,
)
from countersign.channels.providers import ProviderSettings, calls, twilio
from countersign.platform.errors import Unauthenticated, Unavailable
from tests.unit.channels.peer import Peer

CREDENTIALS = {"account_sid": "AC1", "auth_token": "canary-token"}
NOW = datetime.now(UTC)


def send(delivery: Outgoing, url: str) -> SendResult:
    return twilio.send(delivery, CREDENTIALS, ProviderSettings(twilio_api_url=url))


def answer(status: int, document: object, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, headers, json.dumps(document).encode()


def test_a_message_is_created_as_twilio_asks(peer: Peer, delivery: Outgoing) -> None:
    peer.answers = [answer(201, {"sid": "SM1", "status": "queued"})]
    assert send(delivery, peer.url) == Accepted("SM1")
    (call,) = peer.calls
    assert (call.method, call.path) == ("POST", "/2010-04-01/Accounts/AC1/Messages.json")
    assert dict(parse_qsl(call.body.decode(), strict_parsing=True)) == {
        "To": "+15550199",
        "From": "+15550100",
        "Body": delivery.text,
        "StatusCallback": delivery.callback_url,
    }
    user = base64.b64encode(b"AC1:canary-token").decode()
    assert call.headers["authorization"] == f"Basic {user}"


@pytest.mark.parametrize(
    ("sender", "recipient"),
    [
        ("whatsapp:+15550100", "whatsapp:+15550199"),
        ("whatsapp:+15550100", "+15550199"),
        ("+15550100", "whatsapp:+15550199"),
    ],
)
def test_whatsapp_addresses_come_in_pairs(
    peer: Peer, delivery: Outgoing, sender: str, recipient: str
) -> None:
    peer.answers = [answer(201, {"sid": "SM1"})]
    send(replace(delivery, sender=sender, recipient=recipient), peer.url)
    form = dict(parse_qsl(peer.calls[0].body.decode()))
    assert (form["From"], form["To"]) == ("whatsapp:+15550100", "whatsapp:+15550199")


def test_1600_characters_go_and_one_more_does_not(peer: Peer, delivery: Outgoing) -> None:
    peer.answers = [answer(201, {"sid": "SM1"})]
    assert send(replace(delivery, text="é" * 1600), peer.url) == Accepted("SM1")
    result = send(replace(delivery, text="é" * 1601), peer.url)
    assert result == Refused("21617", "The text is longer than 1600 characters.")
    assert len(peer.calls) == 1


def wait(peer: Peer, delivery: Outgoing, header: str) -> float:
    peer.answers = [answer(429, {"code": 20429}, **{"retry-after": header})]
    result = send(delivery, peer.url)
    assert isinstance(result, Throttled)
    assert result.retry_after is not None
    return result.retry_after


def test_throttling_says_how_long_to_wait(peer: Peer, delivery: Outgoing) -> None:
    assert wait(peer, delivery, "7") == 7
    assert wait(peer, delivery, "0") == 0
    hour = datetime.now(UTC) + timedelta(hours=1)
    assert 3500 <= wait(peer, delivery, format_datetime(hour, usegmt=True)) <= 3600
    assert wait(peer, delivery, format_datetime(NOW, usegmt=True)) == 0
    assert wait(peer, delivery, "9" * 400) <= 86_400


@pytest.mark.parametrize(
    ("status", "document", "headers"),
    [
        (429, {}, {}),
        (429, {}, {"retry-after": "soon"}),
        (400, {"code": 20429, "message": "Too many requests"}, {}),
        (500, {"code": 20500}, {}),
        (503, {"code": 20503}, {}),
        (599, "what?", {}),
    ],
)
def test_throttling_and_5xx_are_tried_again(
    peer: Peer, delivery: Outgoing, status: int, document: object, headers: dict[str, str]
) -> None:
    peer.answers = [answer(status, document, **headers)]
    result = send(delivery, peer.url)
    assert isinstance(result, Throttled)
    assert result.retry_after is None
    assert len(peer.calls) == 1, "the client must not retry by itself"


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (
            answer(400, {"code": 21211, "message": "Invalid 'To' Phone Number: +1", "status": 400}),
            Refused("21211", "Invalid 'To' Phone Number: +1"),
        ),
        ((404, {}, b"<html>"), Refused("http_404", "Twilio answered 404.")),
        ((400, {}, b"[1]"), Refused("http_400", "Twilio answered 400.")),
        ((302, {"location": "/elsewhere"}, b""), Refused("http_302", "Twilio answered 302.")),
    ],
)
def test_a_refusal_keeps_twilios_code_and_reason(
    peer: Peer, delivery: Outgoing, given: Any, result: SendResult
) -> None:
    peer.answers = [given]
    assert send(delivery, peer.url) == result
    assert len(peer.calls) == 1, "a redirect must not be followed"


def test_refused_credentials_are_told_from_a_refused_message(
    peer: Peer, delivery: Outgoing
) -> None:
    peer.answers = [answer(401, {"code": 20003, "message": "Authenticate"})]
    with pytest.raises(Unauthenticated, match="Authenticate"):
        send(delivery, peer.url)


def test_no_connection_is_surely_not_sent(delivery: Outgoing) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = send(delivery, f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert isinstance(result, Unreached)


@pytest.mark.parametrize(
    "given",
    [
        (0, {}, b""),
        (-1, {}, b""),
        (201, {}, b"not JSON"),
        (201, {}, b"{}"),
        (201, {"content-length": "100"}, b'{"sid":'),
    ],
)
def test_no_whole_answer_may_have_been_sent(
    peer: Peer, delivery: Outgoing, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given[0] == -1:
        monkeypatch.setattr(calls, "SECONDS", 1)
    peer.answers = [given]
    result = send(delivery, peer.url)
    assert isinstance(result, Unknown)
    assert len(peer.calls) == 1
    assert "canary-token" not in repr(result)


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_nothing_is_sent_without_credentials(peer: Peer, delivery: Outgoing, name: str) -> None:
    settings = ProviderSettings(twilio_api_url=peer.url)
    for credentials in ({**CREDENTIALS, name: ""}, {}):
        assert isinstance(twilio.send(delivery, credentials, settings), Unreached)
    assert not peer.calls


def test_an_address_that_is_none_is_refused(delivery: Outgoing) -> None:
    assert isinstance(send(delivery, "http://[bad"), Refused)


def listed(sid: str, text: str, created: datetime) -> dict[str, object]:
    return {"sid": sid, "body": text, "date_created": format_datetime(created), "date_sent": None}


def test_a_look_up_finds_what_equals_the_delivery(peer: Peer, delivery: Outgoing) -> None:
    since = NOW - timedelta(minutes=5)
    peer.answers = [
        answer(
            200,
            {
                "messages": [
                    listed("SM1", delivery.text, NOW),
                    listed("SM2", delivery.text + " ", NOW),
                ],
                "next_page_uri": "/page/2",
            },
        ),
        answer(
            200,
            {
                "messages": [
                    listed("SM3", delivery.text, since),
                    listed("SM4", delivery.text, since - timedelta(seconds=1)),
                ],
                "next_page_uri": "/page/3",
            },
        ),
        answer(
            200,
            {
                "messages": [listed("SM5", delivery.text, since - timedelta(hours=1))],
                "next_page_uri": "/page/4",
            },
        ),
        answer(200, {"messages": []}),
    ]
    settings = ProviderSettings(twilio_api_url=peer.url)
    assert twilio.look_up(delivery, CREDENTIALS, settings, since) == ["SM1", "SM3"]
    paths = [urlsplit(call.path) for call in peer.calls]
    assert [path.path for path in paths] == [
        "/2010-04-01/Accounts/AC1/Messages.json",
        "/page/2",
        "/page/3",
    ]
    assert parse_qs(paths[0].query) == {
        "To": ["+15550199"],
        "From": ["+15550100"],
        "PageSize": ["1000"],
    }
    assert all(call.headers["authorization"].startswith("Basic ") for call in peer.calls)


def test_a_look_up_of_what_never_arrived_is_empty(peer: Peer, delivery: Outgoing) -> None:
    peer.answers = [answer(200, {"messages": [], "next_page_uri": None})]
    settings = ProviderSettings(twilio_api_url=peer.url)
    assert twilio.look_up(delivery, CREDENTIALS, settings, NOW) == []


@pytest.mark.parametrize("given", [(500, {}, b""), (200, {}, b"[]"), (0, {}, b"")])
def test_a_look_up_that_fails_does_not_say_that_nothing_was_sent(
    peer: Peer, delivery: Outgoing, given: Any
) -> None:
    peer.answers = [given]
    settings = ProviderSettings(twilio_api_url=peer.url)
    with pytest.raises(Unavailable):
        twilio.look_up(delivery, CREDENTIALS, settings, NOW)


def test_a_look_up_that_is_not_answered_is_left_in_time(
    peer: Peer, delivery: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "_LOOK_UP_SECONDS", 0.3)
    peer.answers = [(-1, {}, b"")]
    with pytest.raises(Unavailable):
        twilio.look_up(delivery, CREDENTIALS, ProviderSettings(twilio_api_url=peer.url), NOW)
    assert not peer.outlasted


class Hurrying:
    """A clock that goes on by seven seconds each time that it is read."""

    def __init__(self) -> None:
        self._readings = itertools.count(0, 7)

    def monotonic(self) -> float:
        return next(self._readings)


def test_a_look_up_without_end_is_left_in_time(
    peer: Peer, delivery: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "time", Hurrying())
    page = {"messages": [listed("SM1", delivery.text, NOW)], "next_page_uri": "/more"}
    peer.answers = [answer(200, page)]
    with pytest.raises(Unavailable, match="not read in time"):
        twilio.look_up(delivery, CREDENTIALS, ProviderSettings(twilio_api_url=peer.url), NOW)
    assert len(peer.calls) == 2
