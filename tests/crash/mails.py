"""What others write: a customer's mail, an answer to ours, a report that ours did not arrive."""

from __future__ import annotations

from tests.crash.ground import CUSTOMERS_ADDRESS, SUPPORT
from tests.crash.postoffice import Taken


def of_customer(text: str, message_id: str, way: str, answered_id: str) -> bytes:
    """A mail of the customer to us, who copies a friend; each way that it comes leaves a mark."""
    answers = [f"In-Reply-To: <{answered_id}@example.com>"] if answered_id else []
    return _written(
        *answers,
        f"Received: by {way}.example with ESMTP",
        f"From: Ada <{CUSTOMERS_ADDRESS}>",
        f"To: {SUPPORT}",
        "Cc: Bob <bob@example.com>",
        "Subject: My order",
        f"Message-ID: <{message_id}@example.com>",
        body=text,
    )


def answer(taken: Taken, text: str) -> bytes:
    """An answer to a mail of ours by somebody whom we do not know: only its address tells."""
    return _written(
        "From: Carl <carl@example.org>",
        f"To: {taken.reply_address}",
        f"Subject: {taken.message['Subject']}",
        "Message-ID: <answer@example.org>",
        body=f"{text}\r\n\r\nOn 1 May 2026 Shop wrote:\r\n> {taken.text}",
    )


def report(taken: Taken) -> bytes:
    """A mail server's report that a mail of ours did not reach the customer (RFC 3464)."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in taken.message.items())
    return _written(
        "From: MAILER-DAEMON@mx.example",
        f"To: {SUPPORT}",
        "Subject: Undelivered Mail Returned to Sender",
        "Message-ID: <report@mx.example>",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"',
        body="--b\r\n\r\nIt did not arrive.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; {CUSTOMERS_ADDRESS}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{headers}\r\n--b--",
    )


def _written(*head: str, body: str) -> bytes:
    return "\r\n".join([*head, "", body, ""]).encode()
