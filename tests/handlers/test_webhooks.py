"""The way in, as API Gateway calls it, against SQS, S3 and Secrets Manager."""

from __future__ import annotations

import base64
import functools
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from countersign.channels import keys
from countersign.channels.envelope import Envelope, from_message
from countersign.platform import queues, secrets, storage
from countersign.platform.log import logger
from functions.webhooks.app import lambda_handler
from tests.handlers.webhook_requests import (
    BODY,
    CANARIES,
    CHANNEL,
    FORM,
    MAC_KEY,
    MESSAGE,
    ORGANIZATION,
    PUBLIC_URL,
    TOKEN,
    channel_key,
    credentials,
    from_api,
    from_twilio,
)


class Output:
    """What a handler prints and logs. The logger keeps the stream it was made with, hence this."""

    def __init__(self, capfd: pytest.CaptureFixture[str], log: io.StringIO) -> None:
        self._capfd, self._log = capfd, log

    def text(self) -> str:
        printed = self._capfd.readouterr()
        return printed.out + printed.err + self._log.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    return Output(capfd, log)


@dataclass
class Stack:
    """The emulated AWS of one test."""

    queue_url: str
    calls: list[str] = field(default_factory=list)
    """The ids of the secrets that were asked for, in order."""

    def queued(self) -> list[Envelope]:
        """What waits in the queue, taken out of it."""
        answer = client("sqs").receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        messages = answer.get("Messages", [])
        client("sqs").purge_queue(QueueUrl=self.queue_url)
        return [from_message(json.loads(message["Body"]), "raw") for message in messages]


@functools.cache
def client(service: str) -> Any:
    """A client, made once: making one takes as long as a test."""
    make: Any = boto3.client
    return make(service, region_name="us-east-1")


@pytest.fixture(scope="module", autouse=True)
def _own_clients() -> Iterator[None]:
    """What this module's handlers and others' keep between events stays apart."""
    cached = (client, secrets._client, storage._client, queues._client)
    for one in cached:
        one.cache_clear()
    yield
    for one in cached:
        one.cache_clear()
    secrets._cache.clear()


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "POWERTOOLS_METRICS_NAMESPACE": "Countersign",
        "RAW_BUCKET": "raw",
        "CHANNEL_KEY_SECRET_ID": "channel-key",
        "CHANNEL_SECRETS_PREFIX": "channels/",
        "PUBLIC_URL": PUBLIC_URL,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        secrets._cache.clear()
        made = Stack(client("sqs").create_queue(QueueName="inbound")["QueueUrl"])
        monkeypatch.setenv("INBOUND_QUEUE_URL", made.queue_url)
        client("s3").create_bucket(Bucket="raw")
        manager = client("secretsmanager")
        manager.create_secret(Name="channel-key", SecretString=MAC_KEY)
        manager.create_secret(Name=f"channels/{CHANNEL}", SecretString=credentials())
        read = secrets._read

        def counted(secret_id: str, stage: str) -> str | None:
            made.calls.append(secret_id)
            return read(secret_id, stage)

        monkeypatch.setattr(secrets, "_read", counted)
        yield made


def call(given_event: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The status and the document of the answer; a problem document has all of its members."""
    answer = lambda_handler(given_event, None)
    if answer["statusCode"] == 200:
        return 200, answer
    assert answer["headers"]["content-type"] == "application/problem+json"
    document = json.loads(answer["body"])
    assert document["status"] == answer["statusCode"]
    assert {"type", "title", "detail"} <= set(document)
    return answer["statusCode"], document


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("query", ["", "attempt=00000000-0000-0000-0000-000000000007"])
def test_what_twilio_sends_is_queued_and_answered_in_twiml(
    stack: Stack, encoded: bool, query: str
) -> None:
    given_event = from_twilio(query=query, encoded=encoded)
    status, answer = call(given_event)
    assert (status, answer["headers"]["content-type"]) == (200, "text/xml")
    assert answer["body"] == "<Response/>"
    (envelope,) = stack.queued()
    assert (envelope.organization_id, envelope.channel_id) == (ORGANIZATION, CHANNEL)
    assert (envelope.provider, envelope.correlation_id) == ("twilio", "request-1")
    assert envelope.request.body == urlencode(FORM).encode()
    path = given_event["rawPath"] + (f"?{query}" if query else "")
    assert envelope.request.url == PUBLIC_URL + path
    assert datetime.now(UTC) - envelope.request.received_at < timedelta(minutes=1)


def test_a_channel_that_is_refused_can_be_found_in_the_log(stack: Stack, output: Output) -> None:
    assert call(from_twilio(token="wrong"))[0] == 401
    arrived, refused = (line for line in output.lines() if "level" in line)
    assert (arrived["provider"], arrived["channel_id"]) == ("twilio", str(CHANNEL))
    assert arrived["correlation_id"] == refused["correlation_id"] == "request-1"


def test_what_another_system_sends_is_queued(stack: Stack) -> None:
    status, answer = call(from_api())
    assert (status, json.loads(answer["body"])) == (200, {"status": "accepted"})
    (envelope,) = stack.queued()
    assert envelope.request.headers == {"webhook-id": "evt_1"}
    assert envelope.request.body == BODY


def test_without_a_public_url_the_events_own_host_counts(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "")
    assert call(from_twilio(base="https://abc.execute-api.us-east-1.amazonaws.com"))[0] == 200
    assert call(from_twilio())[0] == 401


def test_a_large_request_waits_in_the_bucket(stack: Stack) -> None:
    body = json.dumps({**MESSAGE, "data": {**MESSAGE["data"], "text": "x" * 300_000}}).encode()  # type: ignore[dict-item]
    assert call(from_api(body))[0] == 200
    assert len(client("s3").list_objects_v2(Bucket="raw")["Contents"]) == 1
    (envelope,) = stack.queued()
    assert envelope.request.body == body


def test_what_twilio_sends_but_cannot_be_read_is_queued_all_the_same(stack: Stack) -> None:
    assert call(from_twilio({"MessageSid": "SM1", "MessageStatus": "lost"}))[0] == 200
    assert len(stack.queued()) == 1


def changed(given_event: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {**given_event, **members}


def other_key(given_event: dict[str, Any], key: str) -> dict[str, Any]:
    return changed(given_event, pathParameters={"channel_key": key})


REFUSED: dict[str, tuple[int, str, Callable[[], dict[str, Any]]]] = {
    "unsigned": (401, "unauthenticated", lambda: changed(from_twilio(), headers={})),
    "wrongly signed": (401, "unauthenticated", lambda: from_twilio(token="other")),
    "another query": (401, "unauthenticated", lambda: changed(from_twilio(), rawQueryString="a=1")),
    "another body": (
        401,
        "unauthenticated",
        lambda: changed(from_twilio(), body=from_twilio({"Body": "canary-text"})["body"]),
    ),
    "empty body": (401, "unauthenticated", lambda: changed(from_twilio(), body="")),
    "no body": (401, "unauthenticated", lambda: changed(from_twilio(), body=None)),
    "non-UTF-8 form": (401, "unauthenticated", lambda: changed(from_twilio(), body="/////w==")),
    "non-UTF-8 JSON": (422, "invalid", lambda: from_api(b"\xff\xfe")),
    "not base64": (422, "invalid", lambda: changed(from_api(), body="*")),
    "empty JSON": (422, "invalid", lambda: from_api(b"")),
    "unsigned JSON": (401, "unauthenticated", lambda: changed(from_api(), headers={})),
    "wrongly signed JSON": (
        401,
        "unauthenticated",
        lambda: from_api(secret="whsec_" + base64.b64encode(bytes(24)).decode()),
    ),
    "replayed JSON": (
        401,
        "unauthenticated",
        lambda: from_api(at=datetime.now(UTC) - timedelta(minutes=6)),
    ),
    "JSON of wrong shape": (422, "invalid", lambda: from_api(b'{"type":"canary"}')),
    "unknown key": (404, "not-found", lambda: other_key(from_api(), "api.nothing")),
    "empty key": (404, "not-found", lambda: other_key(from_api(), "")),
    "forged key": (
        404,
        "not-found",
        lambda: other_key(
            from_api(), keys.make(keys.ChannelKey("api", CHANNEL, ORGANIZATION), "guessed")
        ),
    ),
    "key of a channel without a secret": (
        404,
        "not-found",
        lambda: from_twilio(channel=UUID(int=99)),
    ),
    "key of no provider": (404, "not-found", lambda: other_key(from_api(), channel_key("fax"))),
    "too large": (413, "too-large", lambda: from_api(b"x" * (4 * 1024 * 1024 + 1))),
    "too large, forged": (
        413,
        "too-large",
        lambda: changed(from_api(), pathParameters={"channel_key": "x"}, body="A" * 5_600_000),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_counted_and_leaves_nothing_behind(
    stack: Stack, case: str, output: Output
) -> None:
    status, code, make = REFUSED[case]
    answered, document = call(make())
    assert (answered, document["type"]) == (status, f"https://countersign.dev/problems/{code}")
    assert stack.queued() == []
    assert "Contents" not in client("s3").list_objects_v2(Bucket="raw")
    lines = output.lines()
    (metric,) = [line for line in lines if "_aws" in line]
    assert (metric["WebhooksRefused"], metric["code"]) == ([1.0], code)
    (entry,) = [line for line in lines if line.get("level") == "WARNING"]
    assert (entry["code"], entry["correlation_id"]) == (code, "request-1")


def test_no_secret_and_no_text_reaches_a_log_or_an_answer(stack: Stack, output: Output) -> None:
    answers = [lambda_handler(make(), None) for _, _, make in REFUSED.values()]
    answers += [lambda_handler(from_twilio(), None), lambda_handler(from_api(), None)]
    client("sqs").delete_queue(QueueUrl=stack.queue_url)
    answers.append(lambda_handler(from_twilio(), None))
    assert answers[-1]["statusCode"] == 503
    said = json.dumps(answers) + output.text()
    assert "WebhooksRefused" in said
    assert "a webhook was refused" in said
    tails = [channel_key(provider).split(".")[1] for provider in ("twilio", "api")]
    assert [canary for canary in (*CANARIES, *tails) if canary in said] == []


def test_a_forged_key_costs_no_look_up_of_a_channel(stack: Stack) -> None:
    for case in ("unknown key", "forged key", "empty key"):
        call(REFUSED[case][2]())
    assert set(stack.calls) == {"channel-key"}


def test_what_is_too_large_costs_no_look_up_at_all(stack: Stack) -> None:
    call(REFUSED["too large"][2]())
    assert stack.calls == []


def test_all_that_is_wrong_in_json_is_said(stack: Stack) -> None:
    body = json.dumps({**MESSAGE, "timestamp": 1, "data": {"text": 7}}).encode()
    _, document = call(from_api(body))
    assert [one["where"] for one in document["errors"]] == [
        "timestamp",
        "data.message_id",
        "data.conversation_id",
        "data.sender",
        "data.text",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    body=st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({**MESSAGE, "data": value}).encode())
)
def test_signed_bodies_of_any_kind_are_a_422(stack: Stack, body: bytes) -> None:
    assert call(from_api(body))[0] == 422


def rotate(token: str) -> None:
    client("secretsmanager").put_secret_value(
        SecretId=f"channels/{CHANNEL}", SecretString=credentials(token)
    )


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(secrets, "time", clock)
    return clock


def test_a_rotated_secret_is_accepted_beside_the_previous_one(stack: Stack) -> None:
    rotate("newer")
    assert call(from_twilio(token="newer"))[0] == 200
    assert call(from_twilio(token=TOKEN))[0] == 200
    rotate("newest")
    secrets._cache.clear()
    assert call(from_twilio(token=TOKEN))[0] == 401


def test_a_rotation_is_noticed_within_a_minute(stack: Stack, clock: Clock) -> None:
    assert call(from_twilio())[0] == 200
    rotate("newer")
    assert call(from_twilio(token="newer"))[0] == 401
    clock.now += secrets.RECHECK_SECONDS + 1
    assert call(from_twilio(token="newer"))[0] == 200


def test_forgeries_cost_one_look_up_a_minute(stack: Stack, clock: Clock) -> None:
    for _ in range(50):
        assert call(from_twilio(token="wrong"))[0] == 401
        assert call(from_twilio(channel=UUID(int=99)))[0] == 404
    assert stack.calls.count(f"channels/{CHANNEL}") == 2, "current and previous, once"
    assert stack.calls.count(f"channels/{UUID(int=99)}") == 1
    clock.now += secrets.RECHECK_SECONDS + 1
    for _ in range(50):
        assert call(from_twilio(token="wrong"))[0] == 401
    assert stack.calls.count(f"channels/{CHANNEL}") == 4


def test_a_channel_key_outlives_one_rotation_of_its_secret(stack: Stack) -> None:
    manager = client("secretsmanager")
    manager.put_secret_value(SecretId="channel-key", SecretString="newer")
    assert call(from_api())[0] == 200
    manager.put_secret_value(SecretId="channel-key", SecretString="newest")
    secrets._cache.clear()
    assert call(from_api())[0] == 404


def test_a_secret_without_credentials_asks_to_try_again(stack: Stack) -> None:
    client("secretsmanager").update_secret(SecretId=f"channels/{CHANNEL}", SecretString="not JSON")
    client("secretsmanager").update_secret(SecretId=f"channels/{CHANNEL}", SecretString="{}")
    assert call(from_twilio())[0] == 503
    assert call(from_api())[0] == 503


def test_what_cannot_be_queued_is_to_be_sent_again(stack: Stack) -> None:
    client("sqs").delete_queue(QueueUrl=stack.queue_url)
    assert call(from_twilio())[0] == 503


def test_what_cannot_be_stored_is_to_be_sent_again(stack: Stack) -> None:
    client("s3").delete_bucket(Bucket="raw")
    body = json.dumps({**MESSAGE, "data": {**MESSAGE["data"], "text": "x" * 300_000}}).encode()  # type: ignore[dict-item]
    assert call(from_api(body))[0] == 503
    assert stack.queued() == []


def test_a_missing_setting_is_our_fault_and_named_in_the_log(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, output: Output
) -> None:
    monkeypatch.delenv("RAW_BUCKET")
    status, document = call(from_twilio())
    assert (status, document["detail"]) == (
        500,
        "Something went wrong here. It is logged; try again.",
    )
    assert "RAW_BUCKET" in output.text()


def test_a_fault_of_ours_is_a_500_that_says_nothing_of_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, output: Output
) -> None:
    def receive(*_: object) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr("functions.webhooks.app.receive", receive)
    status, document = call(from_twilio())
    assert status == 500
    assert "inside" not in json.dumps(document)
    assert "inside" in output.text()


def test_starting_and_a_twilio_request_import_little() -> None:
    """No ORM or driver ever; pydantic for the api channel alone; boto3 with the first call."""
    root = Path(__file__).parents[2]
    program = (
        "import sys, functions.webhooks.app, countersign.channels.providers as p;"
        "print('boto3' in sys.modules, 'countersign.channels.providers.api' in sys.modules);"
        "p.provider_module('twilio');"
        "print([m for m in ('pydantic', 'sqlalchemy', 'psycopg', 'twilio') if m in sys.modules]);"
        "p.provider_module('api'); print('pydantic' in sys.modules)"
    )
    environment = {"PYTHONPATH": f"{root / 'layers/shared'}:{root}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:3] == ["False False", "[]", "True"]
