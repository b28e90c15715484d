"""Requests to the way in, signed by the providers' own libraries, as API Gateway hands them on."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from standardwebhooks import Webhook
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from countersign.channels import keys

ORGANIZATION, CHANNEL = UUID(int=1), UUID(int=2)
PUBLIC_URL = "https://hooks.example"
MAC_KEY = "canary-mac-key"
TOKEN = "canary-auth-token"
SIGNING_SECRET = "whsec_" + base64.b64encode(b"canary-signing-secret-24").decode()
CANARIES = (MAC_KEY, TOKEN, SIGNING_SECRET, SIGNING_SECRET[6:], "canary-text")
FORM = {"MessageSid": "SM1", "From": "+15550199", "To": "+15550100", "Body": "canary-text"}
MESSAGE = {
    "type": "message.received",
    "timestamp": "2026-03-04T05:06:07Z",
    "data": {
        "message_id": "m-1",
        "conversation_id": "t-1",
        "sender": {"address": "ann@example.org"},
        "text": "canary-text",
    },
}
BODY = json.dumps(MESSAGE).encode()


def credentials(token: str = TOKEN, secret: str = SIGNING_SECRET) -> str:
    """One secret that serves both providers, so that a test may choose by its key alone."""
    return json.dumps(
        {"account_sid": "AC1", "auth_token": token, "secret": secret, "url": PUBLIC_URL}
    )


def channel_key(provider: str, channel: UUID = CHANNEL) -> str:
    return keys.make(keys.ChannelKey(provider, channel, ORGANIZATION), MAC_KEY)


def event(
    key: str, body: bytes, headers: dict[str, str], query: str = "", encoded: bool = True
) -> dict[str, Any]:
    """An event of the HTTP API, payload version 2.0."""
    return {
        "version": "2.0",
        "routeKey": "POST /webhooks/{channel_key}",
        "rawPath": f"/webhooks/{key}",
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "domainName": "abc.execute-api.us-east-1.amazonaws.com",
            "http": {"method": "POST", "path": f"/webhooks/{key}"},
            "requestId": "request-1",
        },
        "pathParameters": {"channel_key": key},
        "body": base64.b64encode(body).decode() if encoded else body.decode(),
        "isBase64Encoded": encoded,
    }


def from_twilio(
    form: dict[str, str] = FORM,
    query: str = "",
    token: str = TOKEN,
    channel: UUID = CHANNEL,
    base: str = PUBLIC_URL,
    encoded: bool = True,
) -> dict[str, Any]:
    key = channel_key("twilio", channel)
    url = f"{base}/webhooks/{key}" + (f"?{query}" if query else "")
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": RequestValidator(token).compute_signature(url, form),
    }
    return event(key, urlencode(form).encode(), headers, query, encoded)


def from_api(
    body: bytes = BODY, at: datetime | None = None, secret: str = SIGNING_SECRET
) -> dict[str, Any]:
    at = at or datetime.now(UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": _sign(secret, at, body),
    }
    return event(channel_key("api"), body, headers)


def _sign(secret: str, at: datetime, body: bytes) -> str:
    """The reference library signs text alone; other bytes are signed here."""
    try:
        return Webhook(secret).sign("evt_1", at, body.decode())
    except UnicodeDecodeError:
        signed = f"evt_1.{int(at.timestamp())}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
