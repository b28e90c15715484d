"""Dead letters back to their queue.

The emulator lacks StartMessageMoveTask, so each message is received and sent again. It is deleted
from the dead letters only after it was sent: a crash between the two sends it twice, which every
handler must bear anyway.
"""

from typing import Any

from local.aws import Aws
from local.deploy import outputs

QUEUES = ("inbound", "drafts", "outbound", "attachments", "index", "crawl", "relay")


def redrive(aws: Aws, stack: str, queue: str) -> int:
    """Send the dead letters of one of `QUEUES` again; their number."""
    urls = outputs(aws, stack)
    target = urls[f"{queue.capitalize()}QueueUrl"]
    source = urls[f"{queue.capitalize()}DeadLetterQueueUrl"]
    client = aws.client("sqs")
    moved = 0
    while messages := _receive(client, source):
        for message in messages:
            client.send_message(
                QueueUrl=target,
                MessageBody=message["Body"],
                MessageAttributes=message.get("MessageAttributes", {}),
            )
            client.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def _receive(client: Any, url: str) -> list[dict[str, Any]]:
    answer = client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=60
    )
    messages: list[dict[str, Any]] = answer.get("Messages", [])
    return messages
