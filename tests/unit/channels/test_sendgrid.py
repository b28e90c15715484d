"""Our calls to SendGrid, against a simulator that refuses what it refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from countersign.channels.messages import (
    Accepted,
    DeliveryStatus,
    Outgoing,
    OutgoingMail,
    Refused,
    SendResult,
    Throttled,
    Unknown,
    Unreached,
    WebhookRequest,
)
from countersign.channels.providers import ProviderSettings, calls, sendgrid
from countersign.mail.model import Address
from countersign.mail.writing import File
from countersign.platform.errors import Unauthenticated
from local.providers.faults import Fault
from local.providers.sendgrid import Account, SigningKey
from local.providers.simulator import Simulator
from tests.unit.channels.peer import Peer

ATTEMPT = UUID(int=2)
EVENT_KEY, PARSE_KEY = SigningKey(), SigningKey()
CREDENTIALS = {
    "api_key": "SG.canary",
    "event_key": EVENT_KEY.public,
    "parse_key": PARSE_KEY.public,
}
MAIL = OutgoingMail(
    subject="Größe",
    sender_name="Acme Ä",
    to=(Address("Jörg", "jo@exämple.com"),),
    cc=(Address("", "al@example.net"), Address("", "JO@exämple.com")),
    reply_to=(Address("", "support+x@acme.example"),),
    message_id="c.1@acme.example",
    in_reply_to="b@example.com",
    references=("a" * 90 + "@example.com", "b@example.com"),
    headers={"Auto-Submitted": "auto-replied"},
    attachments=(
        File("logo.png", "image/png", b"PNG", "logo"),
        File("Übersicht.pdf", "application/pdf", b"%PDF"),
    ),
)


@pytest.fixture
def mail(delivery: Outgoing) -> Outgoing:
    return replace(
        delivery,
        sender="support@acme.example",
        recipient="jo@exämple.com",
        html='<p><img src="cid:logo"></p>',
        mail=MAIL,
    )


@pytest.fixture
def simulator(peer: Peer) -> Iterator[Simulator]:
    peer.answers = [(200, {}, b"")]
    with Simulator(pace=0) as running:
        account = Account(
            "SG.canary",
            event_url=f"{peer.url}/webhooks/sendgrid.key",
            event_key=EVENT_KEY,
            domains=frozenset({"acme.example"}),
        )
        running.sendgrid.accounts.append(account)
        yield running


def send(delivery: Outgoing, url: str, **changed: str) -> SendResult:
    settings = ProviderSettings(sendgrid_api_url=url)
    return sendgrid.send(delivery, {**CREDENTIALS, **changed}, settings)


def test_a_mail_is_asked_for_as_sendgrid_wants_it(simulator: Simulator, mail: Outgoing) -> None:
    result = send(mail, simulator.url)
    (taken,) = simulator.sendgrid.mails
    assert result == Accepted(taken.message_id)
    assert taken.request == {
        "personalizations": [
            {
                "to": [{"email": "jo@xn--exmple-cua.com", "name": "Jörg"}],
                "cc": [{"email": "al@example.net"}],
            }
        ],
        "from": {"email": "support@acme.example", "name": "Acme Ä"},
        "reply_to_list": [{"email": "support+x@acme.example"}],
        "subject": "Größe",
        "content": [
            {"type": "text/plain", "value": mail.text},
            {"type": "text/html", "value": mail.html},
        ],
        "headers": {
            "Message-ID": "<c.1@acme.example>",
            "In-Reply-To": "<b@example.com>",
            "References": f"<{'a' * 90}@example.com> <b@example.com> <c.1@acme.example>",
            "Auto-Submitted": "auto-replied",
        },
        "custom_args": {"cs_attempt": str(ATTEMPT)},
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        },
        "attachments": [
            {
                "content": "UE5H",
                "type": "image/png",
                "filename": "logo.png",
                "disposition": "inline",
                "content_id": "logo",
            },
            {
                "content": "JVBERg==",
                "type": "application/pdf",
                "filename": "Übersicht.pdf",
                "disposition": "attachment",
            },
        ],
    }
    (recorded,) = simulator.requests
    assert recorded.request.header("authorization") == "Bearer SG.canary"


def test_what_became_of_it_comes_back_signed(
    simulator: Simulator, peer: Peer, mail: Outgoing
) -> None:
    simulator.order(Fault(statuses=("processed", "deferred", "bounce"), early=True))
    accepted = send(mail, simulator.url)
    assert isinstance(accepted, Accepted)
    seen: list[tuple[str, str | None, str | None]] = []
    for call in peer.calls:
        request = WebhookRequest(
            method="POST", url="", headers=call.headers, body=call.body, received_at=now()
        )
        sendgrid.verify(request, [CREDENTIALS], now())
        for one in sendgrid.parse(request):
            assert isinstance(one, DeliveryStatus)
            assert one.attempt_id == ATTEMPT
            assert one.provider_message_id == accepted.provider_message_id
            seen.append((one.status, one.recipient, one.suppress))
    people = ("jo@xn--exmple-cua.com", "al@example.net")
    assert seen == [
        *(("sent", one, None) for one in people),
        *(("deferred", one, None) for one in people),
        *(("bounced", one, "bounced") for one in people),
    ]


def now() -> datetime:
    return datetime.now(UTC)


def test_a_wrong_api_key_is_told_from_a_refused_mail(simulator: Simulator, mail: Outgoing) -> None:
    with pytest.raises(Unauthenticated, match="authorization grant"):
        send(mail, simulator.url, api_key="wrong")


def test_a_sender_who_is_not_verified_is_no_fault_of_the_mail(
    simulator: Simulator, mail: Outgoing
) -> None:
    result = send(replace(mail, sender="support@other.example"), simulator.url)
    assert isinstance(result, Unreached)
    assert "verified Sender Identity" in result.reason


def test_a_refusal_says_what_and_where(simulator: Simulator, mail: Outgoing) -> None:
    result = send(replace(mail, mail=replace(MAIL, subject="")), simulator.url)
    assert result == Refused("http_400", "SendGrid answered 400: The subject is required. subject")


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ((413, {}, b"<html>"), Refused("http_413", "SendGrid answered 413")),
        ((400, {}, b'{"errors":[]}'), Refused("http_400", "SendGrid answered 400")),
        ((429, {"retry-after": "7"}, b""), Throttled(7, "HTTP 429")),
        ((500, {}, b""), Unknown("HTTP 500")),
        ((503, {}, b""), Unknown("HTTP 503")),
        ((0, {}, b""), Unknown("The connection broke before an answer: ProtocolError.")),
        ((202, {"x-message-id": "m1"}, b""), Accepted("m1")),
        ((202, {}, b""), Accepted("c.1@acme.example")),
    ],
)
def test_what_an_answer_means(peer: Peer, mail: Outgoing, given: Any, result: SendResult) -> None:
    peer.answers = [given]
    assert send(mail, peer.url) == result
    assert len(peer.calls) == 1


def test_no_answer_in_time_may_have_been_sent(
    peer: Peer, mail: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "SECONDS", 1)
    peer.answers = [(-1, {}, b"")]
    assert isinstance(send(mail, peer.url), Unknown)


def test_no_connection_is_surely_not_sent(mail: Outgoing) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = send(mail, f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert isinstance(result, Unreached)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mail": None}, "invalid_mail"),
        ({"mail": replace(MAIL, subject="a\r\nBcc: x@y.example")}, "invalid_mail"),
        ({"mail": replace(MAIL, headers={"To": "x@y.example"})}, "invalid_mail"),
        ({"mail": replace(MAIL, cc=(Address("", "jörg@example.com"),))}, "smtputf8"),
        ({"text": "x" * (30 * 1024 * 1024)}, "too_large"),
    ],
)
def test_what_sendgrid_would_not_take_is_not_asked_for(
    peer: Peer, mail: Outgoing, change: Any, code: str
) -> None:
    result = send(replace(mail, **change), peer.url)
    assert isinstance(result, Refused)
    assert result.code == code
    assert not peer.calls


def test_nothing_is_empty(simulator: Simulator, mail: Outgoing) -> None:
    bare = replace(mail, text="", html="", mail=replace(MAIL, cc=(), reply_to=(), attachments=()))
    assert isinstance(send(bare, simulator.url), Accepted)
    (taken,) = simulator.sendgrid.mails
    assert taken.request["content"] == [{"type": "text/plain", "value": "\n"}]
    assert taken.request["personalizations"] == [
        {"to": [{"email": "jo@xn--exmple-cua.com", "name": "Jörg"}]}
    ]


def test_nothing_is_looked_up(mail: Outgoing) -> None:
    assert sendgrid.look_up(mail, CREDENTIALS, ProviderSettings(), now()) == []
