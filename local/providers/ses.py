"""SES: raw mails out by its API v2, mails in by a receipt rule, and the events of both by SNS.

The emulated AWS keeps no raw mail, tells no events and has no receipt rules. It does keep what the
template says of them: an owner's setup is read from there. Rights are not asked for: the emulated
IAM knows no resources of SendEmail.

Shapes, limits and errors are those of
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html,
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html and
https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html.
"""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import parseaddr
from threading import Lock
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from local.http_server import Request, Response
from local.providers.callbacks import Callbacks, Event, Sent
from local.providers.faults import Fault

PATH = "/v2/email/outbound-emails"
STATUSES = ("Send", "Delivery")
MOST_BYTES = 40 * 1024 * 1024
MOST_RECIPIENTS = 50
PREFIX = "ses/"

_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True)
class Topic:
    """An SNS topic: its name, and what signs a request to the SNS at `url`."""

    arn: str
    url: str
    signed: Callable[[bytes], Mapping[str, str]]

    def publication(self, message: Mapping[str, Any]) -> Event:
        """The request that publishes a message."""
        form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": self.arn}
        body = urlencode(form | {"Message": json.dumps(message)}).encode()
        return Event(self.url, body, lambda: self.signed(body))


@dataclass(frozen=True)
class ConfigurationSet:
    """Where the events of its mails go, and which: `SEND`, `DELIVERY`, …"""

    topic: Topic
    kinds: frozenset[str]


@dataclass(frozen=True)
class ReceiptRule:
    """Mail for the owner's domains is put into the bucket under `PREFIX`, and the topic is told."""

    bucket: str
    put: Callable[[str, bytes], object]
    topic: Topic


@dataclass(frozen=True)
class Mail:
    """An accepted mail: SES's id of it, and what was asked for with the raw mail decoded."""

    message_id: str
    raw: bytes
    request: dict[str, Any]

    @property
    def recipients(self) -> list[str]:
        """The envelope's, in their order."""
        return _recipients(self.request)


class Refused(Exception):
    """An error of the API: HTTP status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Ses:
    """What the owner of an account set up, and all mails that were accepted."""

    callbacks: Callbacks
    domains: set[str] = field(default_factory=set)
    configuration_sets: dict[str, ConfigurationSet] = field(default_factory=dict)
    rule: ReceiptRule | None = None
    mails: list[Mail] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def answer(self, request: Request, fault: Fault) -> Response:
        """Take a mail, or refuse it."""
        try:
            if (request.method, request.path) != ("POST", PATH):
                raise Refused(404, "NotFoundException", f"no {request.method} {request.path}")
            mail = self._checked(request)
        except Refused as error:
            return refusal(error.status, error.code, error.message)
        with self._lock:
            self.mails.append(mail)
        events = list(self._events(mail, STATUSES if fault.statuses is None else fault.statuses))
        if fault.early:
            self.callbacks.send_now(events)
        else:
            self.callbacks.schedule(events)
        return _json(200, {"MessageId": mail.message_id})

    def receive(self, raw: bytes, sender: str, recipients: Sequence[str]) -> Sent | None:
        """Take in a mail that a mail server brings; None if it is for none of our domains."""
        ours = [one for one in recipients if one.rpartition("@")[2].lower() in self.domains]
        if not ours or self.rule is None:
            return None
        message_id = secrets.token_hex(20)
        self.rule.put(PREFIX + message_id, raw)
        told = _received(message_id, raw, sender, ours, self.rule)
        (sent,) = self.callbacks.send_now([self.rule.topic.publication(told)])
        return sent

    def _checked(self, request: Request) -> Mail:
        """The mail that is asked for, if SES would take it."""
        try:
            asked = json.loads(request.body)
            raw = base64.b64decode(asked["Content"]["Raw"]["Data"], validate=True)
        except (ValueError, LookupError, TypeError, binascii.Error):
            raise _bad("Raw.Data is missing, or is not base64.") from None
        _check(asked, raw)
        self._check_setup(asked)
        return Mail(f"{secrets.token_hex(8)}-{uuid4()}-000000", raw, asked)

    def _check_setup(self, asked: Mapping[str, Any]) -> None:
        sender = parseaddr(asked.get("FromEmailAddress", ""))[1]
        if sender.rpartition("@")[2].lower() not in self.domains:
            raise Refused(
                400, "MessageRejected", "Email address is not verified. The following identities"
                f" failed the check in region US-EAST-1: {sender}",
            )  # fmt: skip
        named = asked.get("ConfigurationSetName")
        if named and named not in self.configuration_sets:
            raise Refused(404, "NotFoundException", f"Configuration set <{named}> does not exist.")

    def _events(self, mail: Mail, kinds: Sequence[str]) -> Iterator[Event]:
        """What the mail's configuration set wants to be told."""
        wanted = self.configuration_sets.get(mail.request.get("ConfigurationSetName", ""))
        for kind in kinds:
            if wanted and kind.upper() in wanted.kinds:
                yield wanted.topic.publication(_event(mail, kind))


def refusal(
    status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """An error in SES's shape."""
    return _json(status, {"message": message}, (("X-Amzn-ErrorType", code), *headers))


def _check(asked: Mapping[str, Any], raw: bytes) -> None:
    if len(raw) > MOST_BYTES:
        raise _bad(f"Message length is more than {MOST_BYTES} bytes long.")
    count = len(_recipients(asked))
    if not 0 < count <= MOST_RECIPIENTS:
        raise _bad(f"Recipient count is {count}; it must be between 1 and {MOST_RECIPIENTS}.")
    for tag in asked.get("EmailTags", ()):
        if not all(_TAG.fullmatch(str(tag.get(name))) for name in ("Name", "Value")):
            raise _bad(f"Invalid tag: {tag}.")


def _bad(message: str) -> Refused:
    return Refused(400, "BadRequestException", message)


def _recipients(request: Mapping[str, Any]) -> list[str]:
    given = request.get("Destination", {})
    names = ("ToAddresses", "CcAddresses", "BccAddresses")
    return [address for name in names for address in given.get(name) or ()]


def _event(mail: Mail, kind: str) -> dict[str, Any]:
    """A mail's event: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html"""
    tags = {one["Name"]: [one["Value"]] for one in mail.request.get("EmailTags", ())}
    about = _mail(mail.message_id, mail.raw, mail.request["FromEmailAddress"], mail.recipients)
    about["tags"] = {"ses:configuration-set": [mail.request["ConfigurationSetName"]], **tags}
    return {"eventType": kind, "mail": about, kind.lower(): _details(kind, mail.recipients)}


def _details(kind: str, recipients: Sequence[str]) -> dict[str, Any]:
    feedback = {"timestamp": _now(), "feedbackId": f"{secrets.token_hex(8)}-{uuid4()}-000000"}
    details: dict[str, dict[str, Any]] = {
        "Send": {},
        "Delivery": {
            "timestamp": _now(),
            "processingTimeMillis": 400,
            "recipients": list(recipients),
            "smtpResponse": "250 2.6.0 Message received",
            "reportingMTA": "mta.example.com",
        },
        "Bounce": feedback
        | {
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [
                {
                    "emailAddress": one,
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }
                for one in recipients
            ],
            "reportingMTA": "dsn; mta.example.com",
        },
        "Complaint": feedback
        | {
            "complainedRecipients": [{"emailAddress": one} for one in recipients],
            "complaintFeedbackType": "abuse",
        },
    }
    return details[kind]


def _received(
    message_id: str, raw: bytes, sender: str, recipients: Sequence[str], rule: ReceiptRule
) -> dict[str, Any]:
    """Of a mail in S3: https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-examples.html"""
    scans = ("spamVerdict", "virusVerdict", "spfVerdict", "dkimVerdict", "dmarcVerdict")
    receipt = {
        "timestamp": _now(),
        "processingTimeMillis": 400,
        "recipients": list(recipients),
        **{name: {"status": "PASS"} for name in scans},
        "action": {
            "type": "S3",
            "topicArn": rule.topic.arn,
            "bucketName": rule.bucket,
            "objectKeyPrefix": PREFIX,
            "objectKey": PREFIX + message_id,
        },
    }
    return {
        "notificationType": "Received",
        "mail": _mail(message_id, raw, sender, recipients),
        "receipt": receipt,
    }


def _mail(message_id: str, raw: bytes, source: str, destination: Sequence[str]) -> dict[str, Any]:
    head = message_from_bytes(raw, policy=policy.compat32)
    headers = [{"name": name, "value": str(value)} for name, value in head.items()]
    return {
        "timestamp": _now(),
        "source": source,
        "messageId": message_id,
        "destination": list(destination),
        "headersTruncated": False,
        "headers": headers,
        "commonHeaders": {
            "from": [str(head["From"])],
            "to": [str(head["To"])],
            "subject": str(head["Subject"]),
        },
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(
    status: int, value: Mapping[str, Any], headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    content_type = ("Content-Type", "application/json")
    return Response(status, json.dumps(value).encode(), (content_type, *headers))
