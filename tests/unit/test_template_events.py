"""The sample events: shaped as their source sends them, and signed as their providers sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from countersign.channels import envelope, keys
from countersign.channels.messages import DeliveryStatus, InboundMessage
from countersign.channels.providers import provider_module
from countersign.platform.errors import NotFound
from countersign.platform.secrets import Secret
from migrations import events as actions
from tools import events

SECRETS = json.loads((events.EVENTS / "secrets.json").read_text())
APPLICATION = events.sources(events.TEMPLATES[0])


def read(path: str) -> Any:
    return json.loads((events.EVENTS / path).read_text())


def channel_secret(event: Any) -> dict[str, str]:
    """The credentials of the channel that a webhook event is for; proves its key on the way."""
    key = keys.read(event["pathParameters"]["channel_key"], Secret(SECRETS["channel_key"]))
    found: dict[str, str] = SECRETS["channels"][str(key.channel_id)]
    return found


def url(event: Any) -> str:
    query = event["rawQueryString"]
    return str(SECRETS["public_url"] + event["rawPath"] + (f"?{query}" if query else ""))


def test_the_events_hold() -> None:
    events.main()


@pytest.mark.parametrize("case", ["sms", "whatsapp", "status"])
def test_twilio_would_have_signed_its_events(case: str) -> None:
    event = read(f"webhooks/twilio-{case}.json")
    form = dict(parse_qsl(base64.b64decode(event["body"]).decode(), keep_blank_values=True))
    validator = RequestValidator(channel_secret(event)["auth_token"])
    signature = event["headers"]["x-twilio-signature"]
    assert validator.validate(url(event), form, signature)
    assert not validator.validate(url(event), form | {"Body": "other"}, signature)


def test_the_late_message_of_the_api_channel_is_late_and_nothing_else() -> None:
    event = read("webhooks/api-message-late.json")
    webhook = Webhook(channel_secret(event)["secret"])
    headers = event["headers"]
    with pytest.raises(WebhookVerificationError, match="too old"):
        webhook.verify(event["body"], headers)
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{event['body']}"
    signed = base64.b64decode(headers["webhook-signature"].removeprefix("v1,"))
    assert signed == _hmac(channel_secret(event)["secret"], content)


def _hmac(secret: str, content: str) -> bytes:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return hmac.digest(key, content.encode(), hashlib.sha256)


def test_the_forged_key_is_forged() -> None:
    with pytest.raises(NotFound):
        channel_secret(read("webhooks/forged-key.json"))


def test_queued_requests_are_those_that_webhooks_accepts() -> None:
    batch = read("ingest/batch.json")["Records"]
    messages = [json.loads(record["body"]) for record in batch]
    unpacked = [envelope.from_message(message, "no-bucket") for message in messages]
    parsed = [provider_module(each.provider).parse(each.request) for each in unpacked]
    assert [each.provider for each in unpacked] == ["twilio", "twilio", "api"]
    assert all(isinstance(item, InboundMessage) for items in parsed for item in items)
    (status,) = read("ingest/status.json")["Records"]
    request = envelope.from_message(json.loads(status["body"]), "no-bucket").request
    (moved,) = provider_module("twilio").parse(request)
    assert isinstance(moved, DeliveryStatus)
    assert moved.status == "delivered"
    assert isinstance(moved.attempt_id, UUID)


@pytest.mark.parametrize("file", events.events("migrations"), ids=lambda file: file.stem)
def test_migrations_knows_the_actions(file: Path) -> None:
    assert actions.parse(json.loads(file.read_text())).action == file.stem


@pytest.mark.parametrize(
    ("function", "case", "change", "fault"),
    [
        ("webhooks", "twilio-sms", {"version": "1.0"}, "version is not 2.0"),
        ("webhooks", "twilio-sms", {"routeKey": "POST /hook"}, "routeKey is not"),
        ("webhooks", "twilio-sms", {"pathParameters": {}}, "pathParameters"),
        ("webhooks", "twilio-sms", {"headers": {"Host": "x"}}, "lower case"),
        ("webhooks", "twilio-sms", {"isBase64Encoded": "true"}, "isBase64Encoded"),
        ("webhooks", "twilio-sms", {"rawPath": "/other"}, "rawPath"),
        ("ingest", "sms", {"Records": []}, "no Records"),
        ("relay", "schedule", {"source": "aws.s3"}, "no scheduled event"),
    ],
)
def test_another_shape_is_found(
    function: str, case: str, change: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(read(f"{function}/{case}.json") | change))
    assert fault in " ".join(events.file_faults(file, APPLICATION[function]))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"body": "{}"}, "md5OfBody"),
        ({"eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:other"}, "source is not"),
    ],
)
def test_another_record_is_found(change: dict[str, str], fault: str, tmp_path: Path) -> None:
    event = read("ingest/sms.json")
    event["Records"][0] |= change
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))
    assert fault in " ".join(events.file_faults(file, APPLICATION["ingest"]))


def test_what_is_no_json_is_found(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text("{")
    assert "no JSON" in events.file_faults(file, APPLICATION["ingest"])[0]
