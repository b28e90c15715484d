from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from countersign.channels.envelope import INLINE_LIMIT_BYTES, Envelope, from_message, to_message
from countersign.channels.messages import WebhookRequest
from countersign.platform import storage
from countersign.platform.errors import NotFound, Unavailable

AT = datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC)


def envelope(body: bytes = b"{}", headers: dict[str, str] | None = None) -> Envelope:
    url = "https://hooks.example/webhooks/api.k?attempt=1"
    request = WebhookRequest(
        method="POST", url=url, headers=headers or {}, body=body, received_at=AT
    )
    return Envelope(UUID(int=1), UUID(int=2), "api", "correlation", request)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    storage._client.cache_clear()
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="raw")
        yield "raw"
    storage._client.cache_clear()


@given(st.binary(max_size=2000))
def test_any_small_body_passes_within_the_message(body: bytes) -> None:
    sent = envelope(body)
    message = json.loads(json.dumps(to_message(sent, "no-bucket")))
    assert from_message(message, "no-bucket") == sent
    assert set(message) == {
        "v",
        "organization_id",
        "channel_id",
        "provider",
        "received_at",
        "correlation_id",
        "request",
    }


def test_only_headers_that_parse_reads_are_kept() -> None:
    headers = {"webhook-id": "evt_1", "authorization": "Bearer x", "webhook-signature": "v1,x"}
    message = to_message(envelope(headers=headers), "no-bucket")
    assert message["request"]["headers"] == {"webhook-id": "evt_1"}


def test_a_large_request_lies_in_the_bucket(bucket: str) -> None:
    sent = envelope(b"\xff" * INLINE_LIMIT_BYTES, {"webhook-id": "evt_1"})
    message = to_message(sent, bucket)
    assert "request" not in message
    assert len(json.dumps(message)) < 1000
    assert from_message(message, bucket) == sent


def test_two_large_requests_do_not_share_an_object(bucket: str) -> None:
    first, second = (envelope(byte * INLINE_LIMIT_BYTES) for byte in (b"a", b"b"))
    messages = [to_message(one, bucket) for one in (first, second)]
    assert [from_message(message, bucket) for message in messages] == [first, second]


def test_the_limit_counts_the_message_not_the_body() -> None:
    """Base64 makes a third more of it: the message must stay under the limit, whatever the body."""
    largest = max(
        size
        for size in range(190_000, 200_000, 100)
        if "request" in _message_or_nothing(envelope(bytes(size)))
    )
    assert len(json.dumps(to_message(envelope(bytes(largest)), ""))) < INLINE_LIMIT_BYTES + 1000


def _message_or_nothing(sent: Envelope) -> dict[str, object]:
    try:
        return to_message(sent, "no-bucket")
    except Exception:
        return {}


def test_a_missing_object_and_a_missing_bucket_are_told_apart(bucket: str) -> None:
    message = to_message(envelope(bytes(INLINE_LIMIT_BYTES)), bucket)
    boto3.client("s3").delete_object(Bucket=bucket, Key=message["s3_key"])
    with pytest.raises(NotFound, match=message["s3_key"]):
        from_message(message, bucket)
    with pytest.raises(Unavailable):
        from_message(message, "another-bucket")
    with pytest.raises(Unavailable):
        to_message(envelope(bytes(INLINE_LIMIT_BYTES)), "another-bucket")
