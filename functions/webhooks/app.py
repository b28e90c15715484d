"""POST /webhooks/{channel_key}: what providers send, verified and queued before it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from countersign import start
from countersign.channels.messages import WebhookRequest
from countersign.channels.receiving import ReceivingSettings, receive
from countersign.platform import clock
from countersign.platform.errors import CountersignError
from countersign.platform.http import Response, problem, raw_body, response
from countersign.platform.log import logger
from countersign.platform.settings import load


@dataclass(frozen=True, kw_only=True)
class Settings(ReceivingSettings):
    """`public_url` is what providers call and Twilio signs; if empty, the event's own host."""

    public_url: str = ""


def lambda_handler(event: dict[str, Any], context: object) -> Response:
    """Answer an event of the HTTP API; the body of a refusal is a problem document."""
    correlation_id: str = event["requestContext"]["requestId"]
    logger.set_correlation_id(correlation_id)
    try:
        settings = load(Settings)
        request = _request(event, settings.public_url)
        key = event["pathParameters"]["channel_key"]
        content_type, body = receive(key, request, settings, correlation_id)
    except Exception as error:
        _count(error)
        return problem(error)
    return response(200, body, content_type)


def _request(event: dict[str, Any], public_url: str) -> WebhookRequest:
    query = event.get("rawQueryString")
    base = public_url or f"https://{event['requestContext']['domainName']}"
    path = f"/webhooks/{event['pathParameters']['channel_key']}"
    return WebhookRequest(
        method=event["requestContext"]["http"]["method"],
        url=base + path + (f"?{query}" if query else ""),
        headers={name.lower(): value for name, value in event["headers"].items()},
        body=raw_body(event),
        received_at=clock.now(),
    )


def _count(error: Exception) -> None:
    """Count and log a refusal by its code alone: its detail may quote what was sent."""
    code = error.code if isinstance(error, CountersignError) else "internal"
    logger.warning("a webhook was refused", code=code)
    with single_metric("WebhooksRefused", MetricUnit.Count, 1) as metric:
        metric.add_dimension("code", code)


start.over()
