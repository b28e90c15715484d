"""Our calls to SES, against a server that answers like it."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import boto3
import pytest
from botocore.config import Config

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
from countersign.channels.providers import ProviderSettings, ses
from countersign.mail import reading
from countersign.mail.model import Address
from countersign.platform.errors import NotFound
from tests.unit.channels.peer import Peer

CREDENTIALS = {"configuration_set": "countersign", "region": "eu-central-1"}
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
ATTEMPT = UUID(int=2)
MAIL = OutgoingMail(
    subject="Größe",
    sender_name="Acme",
    to=(Address("Jo", "jo@exämple.com"),),
    cc=(Address("", "al@example.net"), Address("", "JO@exämple.com")),
    message_id="c.1@acme.example",
    in_reply_to="b@example.com",
    references=("a@example.com", "b@example.com"),
)


@pytest.fixture
def mail(delivery: Outgoing) -> Outgoing:
    return replace(
        delivery,
        sender="support@acme.example",
        recipient="jo@exämple.com",
        mail=MAIL,
        callback_url="https://hooks.example/webhooks/ses.AbC-_d?attempt=2",
    )


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    ses._client.cache_clear()
    yield
    ses._client.cache_clear()


def send(
    delivery: Outgoing, url: str, monkeypatch: pytest.MonkeyPatch, **changed: str
) -> SendResult:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return ses.send(delivery, {**CREDENTIALS, **changed}, ProviderSettings())


def answer(status: int, code: str = "", message: str = "") -> tuple[int, dict[str, str], bytes]:
    headers = {"x-amzn-errortype": code} if code else {}
    return (
        status,
        headers,
        json.dumps({"message": message} if code else {"MessageId": "m1"}).encode(),
    )


def test_the_raw_mail_goes_as_it_was_written(
    peer: Peer, mail: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.answers = [answer(200)]
    assert send(mail, peer.url, monkeypatch) == Accepted("m1")
    (call,) = peer.calls
    assert (call.method, call.path) == ("POST", "/v2/email/outbound-emails")
    body = json.loads(call.body)
    raw = base64.b64decode(body["Content"].pop("Raw")["Data"])
    assert body == {
        "FromEmailAddress": "support@acme.example",
        "Destination": {
            "ToAddresses": ["jo@xn--exmple-cua.com"],
            "CcAddresses": ["al@example.net"],
        },
        "Content": {},
        "ConfigurationSetName": "countersign",
        "EmailTags": [
            {"Name": "channel", "Value": "AbC-_d"},
            {"Name": "attempt", "Value": str(ATTEMPT)},
        ],
    }
    found = reading.read(raw)
    assert found.subject == "Größe"
    assert found.message_id == "c.1@acme.example"
    # SES replaces the Message-ID, and keeps this.
    assert found.references == ("a@example.com", "b@example.com", "c.1@acme.example")
    assert b"eu-central-1" in call.headers["authorization"].encode()


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (answer(429, "TooManyRequestsException"), Throttled(None, "TooManyRequestsException: ")),
        (answer(400, "ThrottlingException", "rate"), Throttled(None, "ThrottlingException: rate")),
        (answer(400, "LimitExceededException"), Throttled(1800, "LimitExceededException: ")),
        (answer(400, "SendingPausedException", "p"), Throttled(1800, "SendingPausedException: p")),
        (answer(400, "AccountSuspendedException"), Throttled(1800, "AccountSuspendedException: ")),
        (answer(404, "NotFoundException", "set"), Unreached("NotFoundException: set")),
        (answer(403, "AccessDeniedException", "no"), Unreached("AccessDeniedException: no")),
        (
            answer(400, "MailFromDomainNotVerifiedException", "d"),
            Unreached("MailFromDomainNotVerifiedException: d"),
        ),
        (answer(400, "MessageRejected", "bad"), Refused("MessageRejected", "MessageRejected: bad")),
        (
            answer(400, "BadRequestException", "dup"),
            Refused("BadRequestException", "BadRequestException: dup"),
        ),
        (answer(500, "InternalFailure", "oops"), Unknown("InternalFailure: oops")),
        (answer(503, "ServiceUnavailable", "oops"), Unknown("ServiceUnavailable: oops")),
    ],
)  # fmt: skip
def test_what_an_error_means(
    peer: Peer, mail: Outgoing, monkeypatch: pytest.MonkeyPatch, given: Any, result: SendResult
) -> None:
    peer.answers = [given]
    assert send(mail, peer.url, monkeypatch) == result
    assert len(peer.calls) == 1, "the client must not retry by itself"


@pytest.mark.parametrize(
    "given", [(0, {}, b""), (-1, {}, b""), (200, {}, b"not JSON"), (502, {}, b"<html>")]
)
def test_no_answer_may_have_been_sent(
    peer: Peer, mail: Outgoing, monkeypatch: pytest.MonkeyPatch, given: Any
) -> None:
    if given[0] == -1:
        monkeypatch.setattr(ses, "READ_SECONDS", 1)
    peer.answers = [given]
    result = send(mail, peer.url, monkeypatch)
    assert isinstance(result, Unknown)
    assert len(peer.calls) == 1
    assert "canary" not in repr(result)


def test_no_connection_is_surely_not_sent(mail: Outgoing, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert isinstance(send(mail, url, monkeypatch), Unreached)


def test_without_rights_nothing_is_sent(
    peer: Peer, mail: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert send(mail, peer.url, monkeypatch) == Unreached(
        "SES cannot be called: NoCredentialsError."
    )


def test_the_client_tries_once_and_not_for_long() -> None:
    config: Config = ses._client("us-east-1").meta.config
    assert config.retries["total_max_attempts"] == 1  # type: ignore[attr-defined]
    assert config.read_timeout == ses.READ_SECONDS  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mail": None}, "invalid_mail"),
        ({"mail": replace(MAIL, subject="a\r\nBcc: x@y.example")}, "invalid_mail"),
        ({"mail": replace(MAIL, to=(Address("", "jörg@example.com"),))}, "smtputf8"),
        ({"text": "x" * (40 * 1024 * 1024 + 1)}, "too_large"),
        (
            {"mail": replace(MAIL, cc=tuple(Address("", f"{n}@a.example") for n in range(50)))},
            "recipients",
        ),
    ],
)
def test_what_ses_would_not_take_is_not_tried(
    peer: Peer, mail: Outgoing, monkeypatch: pytest.MonkeyPatch, change: Any, code: str
) -> None:
    result = send(replace(mail, **change), peer.url, monkeypatch)
    assert isinstance(result, Refused)
    assert result.code == code
    assert not peer.calls


def test_webhooks_bring_nothing(mail: Outgoing) -> None:
    body = json.dumps({"eventType": "Send", "mail": {"messageId": "m1"}}).encode()
    request = WebhookRequest(method="POST", url="", headers={}, body=body, received_at=NOW)
    with pytest.raises(NotFound):
        ses.verify(request, [CREDENTIALS], NOW)
    (one,) = ses.parse(request)
    assert isinstance(one, DeliveryStatus)
    assert one.status == "sent"
    assert ses.look_up(mail, CREDENTIALS, ProviderSettings(), NOW) == []
