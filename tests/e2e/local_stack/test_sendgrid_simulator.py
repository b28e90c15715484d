"""The simulated SendGrid: what the real one refuses it refuses, and what it posts is signed."""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from ecdsa import VerifyingKey
from ecdsa.util import sigdecode_der

from local.http_server import Request
from local.providers.faults import Fault
from local.providers.sendgrid import Account, SigningKey
from local.providers.simulator import Simulator
from tests.e2e.local_stack.webhook import webhook

KEY = "SG.key-of-the-account"
MAIL: dict[str, Any] = {
    "personalizations": [{"to": [{"email": "jo@example.com"}]}],
    "from": {"email": "support@acme.example", "name": "Acme"},
    "subject": "Hello",
    "content": [{"type": "text/plain", "value": "Hi."}],
    "headers": {"References": "<a@example.com>"},
    "custom_args": {"cs_attempt": "1"},
}


@pytest.fixture
def posted() -> Iterator[tuple[str, list[Request]]]:
    with webhook() as address:
        yield address


@pytest.fixture
def simulator(posted: tuple[str, list[Request]]) -> Iterator[Simulator]:
    with Simulator(pace=0.01) as running:
        domains = frozenset({"acme.example"})
        account = Account(KEY, event_url=posted[0], domains=domains, parse_url=posted[0])
        running.sendgrid.accounts.append(account)
        yield running


def post(
    simulator: Simulator, mail: Any, key: str = KEY, path: str = "/v3/mail/send"
) -> tuple[int, Any, str | None]:
    answer = urllib3.request(
        "POST",
        simulator.url + path,
        body=mail if isinstance(mail, bytes) else json.dumps(mail).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    body = answer.json() if answer.data else None
    return answer.status, body, answer.headers.get("X-Message-Id")


def is_signed(key: SigningKey, request: Request) -> bool:
    signed = request.header("X-Twilio-Email-Event-Webhook-Timestamp").encode() + request.body
    return bool(
        VerifyingKey.from_der(b64decode(key.public)).verify(
            b64decode(request.header("X-Twilio-Email-Event-Webhook-Signature")),
            signed,
            hashfunc=hashlib.sha256,
            sigdecode=sigdecode_der,
        )
    )


def test_a_mail_is_taken_and_its_events_are_signed(
    simulator: Simulator, posted: tuple[str, list[Request]]
) -> None:
    simulator.order(Fault(statuses=("processed", "bounce"), early=True))
    status, body, message_id = post(simulator, MAIL)
    assert (status, body) == (202, None)
    assert [mail.message_id for mail in simulator.sendgrid.mails] == [message_id]
    _, got = posted
    (account,) = simulator.sendgrid.accounts
    assert all(is_signed(account.event_key, request) for request in got)
    assert all(request.body.endswith(b"]\r\n") for request in got)
    events = [json.loads(request.body)[0] for request in got]
    assert [event["event"] for event in events] == ["processed", "bounce"]
    for event in events:
        assert event["cs_attempt"] == "1"
        assert event["sg_message_id"].startswith(f"{message_id}.")
        assert event["smtp-id"].startswith(f"<{message_id}@")


@pytest.mark.parametrize(
    ("change", "status", "where"),
    [
        ({"personalizations": []}, 400, "personalizations"),
        ({"personalizations": [{"to": []}]}, 400, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "jo"}]}]}, 400, "personalizations.0.to.email"),
        (
            {"personalizations": [{**MAIL["personalizations"][0], "cc": []}]},
            400,
            "personalizations.0.cc",
        ),
        (
            {"personalizations": [{"to": [{"email": e} for e in ("j@a.example", "J@a.example")]}]},
            400,
            "personalizations.0",
        ),
        ({"from": {}}, 400, "from"),
        ({"from": {"email": "support@other.example"}}, 403, "from"),
        ({"subject": ""}, 400, "subject"),
        ({"content": []}, 400, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, 400, "content.0.value"),
        (
            {"content": [{"type": t, "value": "x"} for t in ("text/html", "text/plain")]},
            400,
            "content",
        ),
        ({"headers": {"To": "x@example.com"}}, 400, "headers.To"),
        ({"headers": {"X-Note": "é"}}, 400, "headers.X-Note"),
        ({"custom_args": {"a": "x" * 10_000}}, 400, "custom_args"),
        ({"attachments": [{"filename": "a"}]}, 400, "attachments.0"),
    ],
)  # fmt: skip
def test_what_the_real_one_refuses_is_refused(
    simulator: Simulator, change: dict[str, Any], status: int, where: str
) -> None:
    answered, body, _ = post(simulator, {**MAIL, **change})
    assert (answered, body["errors"][0]["field"]) == (status, where)
    assert not simulator.sendgrid.mails


def test_a_wrong_key_no_json_and_too_much_are_refused(simulator: Simulator) -> None:
    assert post(simulator, MAIL, key="SG.other")[0] == 401
    assert post(simulator, b"no JSON")[0] == 400
    assert post(simulator, b" " * (41 * 1024 * 1024))[0] == 413


def test_faults_are_answered_in_its_shape(simulator: Simulator) -> None:
    simulator.order(Fault(status=429, retry_after=7))
    status, body, _ = post(simulator, MAIL)
    assert (status, body["errors"][0]["message"]) == (429, "ordered by a test")
    simulator.order(Fault(answered=False))
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.PoolManager(retries=False).request(
            "POST",
            simulator.url + "/v3/mail/send",
            json=MAIL,
            headers={"Authorization": f"Bearer {KEY}"},
        )
    assert len(simulator.sendgrid.mails) == 1


def test_a_mail_that_came_in_is_posted_signed(
    simulator: Simulator, posted: tuple[str, list[Request]]
) -> None:
    for recipient, status in (("r+1@acme.example", 200), ("r@other.example", 404)):
        query = urlencode({"from": "a@example.com", "to": recipient})
        url = f"{simulator.url}/_mail?{query}"
        assert urllib3.request("POST", url, body=b"From: a@b\r\n\r\nHi").status == status
    (request,) = posted[1]
    (account,) = simulator.sendgrid.accounts
    assert is_signed(account.parse_key, request)
    assert b'name="email"\r\n\r\nFrom: a@b\r\n\r\nHi\r\n--' in request.body
    assert b'{"to": ["r+1@acme.example"], "from": "a@example.com"}' in request.body


def test_a_mail_that_is_not_taken_in_comes_again() -> None:
    with Simulator() as simulator:
        nowhere = "http://127.0.0.1:1/"
        domains = frozenset({"acme.example"})
        simulator.sendgrid.accounts.append(Account(KEY, domains=domains, parse_url=nowhere))
        url = f"{simulator.url}/_mail?from=a@example.com&to=r@acme.example"
        assert urllib3.request("POST", url, body=b"From: a@b\r\n\r\nHi").status == 502


def test_a_secret_makes_the_same_key_again() -> None:
    keys = [SigningKey("a"), SigningKey("a"), SigningKey("b"), SigningKey(), SigningKey()]
    assert len({key.public for key in keys}) == 4
    body = b"[]"
    headers = tuple(keys[0].headers(body).items())
    assert is_signed(keys[1], Request("POST", "/", headers, body))
