"""SQS: sending, and answering a batch. The only place that knows how a batch reports failures.

Queues are standard ones: a message may come twice and in any order, so handlers rest on row locks
and unique keys. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from countersign.platform.errors import Unavailable
from countersign.platform.log import logger

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

MAX_DELAY_SECONDS = 900
_BATCH = 10

Body = dict[str, Any]


@functools.cache
def _client() -> SQSClient:
    import boto3

    return boto3.client("sqs")


def send(queue_url: str, bodies: Sequence[Body], delay_seconds: int = 0) -> None:
    """Send each body as one message, as JSON, after `delay_seconds` (0 to 900).

    Raises `Unavailable` if any was not accepted; those that were stay sent.
    """
    send_delayed(queue_url, [(body, delay_seconds) for body in bodies])


def send_delayed(queue_url: str, messages: Sequence[tuple[Body, int]]) -> None:
    """Like `send`, with a delay in seconds of its own for each body."""
    for start in range(0, len(messages), _BATCH):
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(i), "MessageBody": _text(body), "DelaySeconds": delay}
            for i, (body, delay) in enumerate(messages[start : start + _BATCH])
        ]
        answer = _client().send_message_batch(QueueUrl=queue_url, Entries=entries)
        if answer.get("Failed"):
            reasons = {failure["Code"] for failure in answer["Failed"]}
            raise Unavailable(f"The queue refused messages: {', '.join(sorted(reasons))}.")


def _text(body: Body) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def records(event: dict[str, Any]) -> list[tuple[str, str]]:
    """The message id and the body, still text, of each record of an SQS event."""
    return [(record["messageId"], record["body"]) for record in event["Records"]]


def handle_batch(event: dict[str, Any], handle: Callable[[Body], object]) -> dict[str, Any]:
    """Call `handle` with each record's body; a record that raises is reported, the rest stand.

    The body's "correlation_id" goes with all that is logged meanwhile.

    The failed ones come back after the queue's visibility timeout, and reach its dead-letter queue
    after `maxReceiveCount` tries.
    """
    failed = []
    for record in event["Records"]:
        try:
            body = json.loads(record["body"])
            logger.set_correlation_id(body.get("correlation_id"))
            handle(body)
        except Exception:
            logger.exception("a queue message failed", message_id=record["messageId"])
            failed.append(record["messageId"])
    return batch_answer(failed)


def batch_answer(failed: Iterable[str]) -> dict[str, Any]:
    """The answer that reports `failed` message ids and settles the others."""
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
