"""What goes into the inbound queue: a verified request, or where it lies if it is large."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from countersign.channels.messages import WebhookRequest
from countersign.channels.providers import provider_module
from countersign.platform import storage
from countersign.platform.ids import new_id

INLINE_LIMIT_BYTES = 256 * 1024
"""Above this a request goes to S3; the queue takes 1 MiB, but ten messages to a batch."""


@dataclass(frozen=True)
class Envelope:
    """A verified request and whom it is for."""

    organization_id: UUID
    channel_id: UUID
    provider: str
    correlation_id: str
    request: WebhookRequest
    addresses: tuple[str, ...] = ()
    """Those of the channel that a mail was brought to, which may be for other channels besides."""


def to_message(envelope: Envelope, bucket: str) -> dict[str, Any]:
    """The queue message for `envelope`; a large request is stored in `bucket` first.

    `{"v": 1, "organization_id", "channel_id", "provider", "received_at", "correlation_id"}` with
    `"request": {"method", "url", "headers", "body" (base64)}`, or with `"s3_key"`, under which that
    object lies. Of the headers, those stay that the provider's `parse` reads. Raises `Unavailable`.
    """
    request = envelope.request
    message: dict[str, Any] = {
        "v": 1,
        "organization_id": str(envelope.organization_id),
        "channel_id": str(envelope.channel_id),
        "provider": envelope.provider,
        "received_at": request.received_at.isoformat(),
        "correlation_id": envelope.correlation_id,
    }
    kept = provider_module(envelope.provider).PARSED_HEADERS
    content = {
        "method": request.method,
        "url": request.url,
        "headers": {name: request.headers[name] for name in kept if name in request.headers},
        "body": base64.b64encode(request.body).decode(),
    }
    encoded = json.dumps(content).encode()
    if len(encoded) <= INLINE_LIMIT_BYTES:
        return {**message, "request": content}
    key = f"webhooks/{envelope.organization_id}/{envelope.channel_id}/{new_id()}.json"
    storage.put(bucket, key, encoded)
    return {**message, "s3_key": key}


def from_message(message: dict[str, Any], bucket: str) -> Envelope:
    """The envelope that `to_message` packed; raises `NotFound` and `Unavailable` of its object."""
    key = message.get("s3_key")
    content = json.loads(storage.get(bucket, key)) if key else message["request"]
    return Envelope(
        organization_id=UUID(message["organization_id"]),
        channel_id=UUID(message["channel_id"]),
        provider=message["provider"],
        correlation_id=message["correlation_id"],
        request=WebhookRequest(
            method=content["method"],
            url=content["url"],
            headers=content["headers"],
            body=base64.b64decode(content["body"]),
            received_at=datetime.fromisoformat(message["received_at"]),
        ),
    )
