"""SendGrid's mail/send and its two webhooks, as far as Countersign uses them.

Shapes, limits and errors are those of https://www.twilio.com/docs/sendgrid/api-reference/mail-send
(and `…/errors`), https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event and
https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook.
"""

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)

from local.http_server import Request, Response
from local.providers.callbacks import Callbacks, Event, Sent
from local.providers.faults import Fault

PATH = "/v3/mail/send"
STATUSES = ("processed", "delivered")
MOST_BYTES = 30 * 1024 * 1024
MOST_CUSTOM_BYTES = 10_000

_ADDRESS = re.compile(r"[^@\s<>,;]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_RESERVED_HEADERS = frozenset(
    (
        "x-sg-id",
        "x-sg-eid",
        "received",
        "dkim-signature",
        "content-type",
        "content-transfer-encoding",
        "to",
        "from",
        "subject",
        "reply-to",
        "cc",
        "bcc",
    )
)


class SigningKey:
    """A key pair as SendGrid makes one for a webhook; of the same `secret` it is the same."""

    def __init__(self, secret: str = "") -> None:
        seed = secret.encode() or secrets.token_bytes(32)
        self._private = ec.derive_private_key(
            int.from_bytes(hashlib.sha256(seed).digest()), ec.SECP256R1()
        )

    @property
    def public(self) -> str:
        """As the settings show it: base64 of the DER."""
        encoded = self._private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(encoded).decode()

    def headers(self, body: bytes, timestamp: int | None = None) -> dict[str, str]:
        """The headers that prove `body`, sent now."""
        signed_at = str(int(time.time()) if timestamp is None else timestamp)
        signature = self._private.sign(signed_at.encode() + body, ec.ECDSA(SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": signed_at,
        }


@dataclass(frozen=True)
class Account:
    """Who may send, from which domains (any, where none is named), and where events go.

    Mail for these domains comes in by Inbound Parse at `parse_url`.
    """

    api_key: str
    event_url: str = ""
    event_key: SigningKey = field(default_factory=SigningKey)
    parse_key: SigningKey = field(default_factory=SigningKey)
    domains: frozenset[str] = frozenset()
    parse_url: str = ""


@dataclass(frozen=True)
class Mail:
    """An accepted mail: what was asked for, and its X-Message-Id."""

    message_id: str
    request: dict[str, Any]


class Refused(Exception):
    """An error of the API: HTTP status, the text, and the field that is wrong."""

    def __init__(self, status: int, message: str, where: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.where = status, message, where


@dataclass
class SendGrid:
    """The accounts by API key, and all mails that were accepted."""

    callbacks: Callbacks
    accounts: list[Account] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def answer(self, request: Request, fault: Fault) -> Response:
        """Take a mail, or refuse it."""
        try:
            account = self._authenticate(request)
            if (request.method, request.path) != ("POST", PATH):
                raise Refused(404, f"no {request.method} {request.path}")
            mail = Mail(secrets.token_urlsafe(16), _checked(request, account))
        except Refused as error:
            return refusal(error.status, error.message, error.where)
        with self._lock:
            self.mails.append(mail)
        events = (
            [_event(mail, account, kind) for kind in _kinds(fault)] if account.event_url else []
        )
        if fault.early:
            self.callbacks.send_now(events)
        else:
            self.callbacks.schedule(events)
        return Response(202, b"", (("X-Message-Id", mail.message_id),))

    def receive(self, raw: bytes, sender: str, recipients: Sequence[str]) -> Sent | None:
        """Post a mail that a mail server brings; None if it is for no domain of an account."""
        for account in self.accounts:
            ours = [one for one in recipients if one.rpartition("@")[2].lower() in account.domains]
            if ours and account.parse_url:
                return self._post(account, raw, sender, ours)
        return None

    def _post(self, account: Account, raw: bytes, sender: str, recipients: Sequence[str]) -> Sent:
        headers, body = inbound(account.parse_key, raw, sender, recipients)
        (sent,) = self.callbacks.send_now([Event(account.parse_url, body, lambda: headers)])
        return sent

    def _authenticate(self, request: Request) -> Account:
        scheme, _, key = request.header("Authorization").partition(" ")
        for account in self.accounts:
            if scheme == "Bearer" and secrets.compare_digest(key, account.api_key):
                return account
        raise Refused(401, "The provided authorization grant is invalid, expired, or revoked")


def _checked(request: Request, account: Account) -> dict[str, Any]:
    """The mail that is asked for, if SendGrid would take it."""
    if len(request.body) > MOST_BYTES * 4 // 3:
        raise Refused(413, "The JSON payload you have included in your request is too large.")
    if not request.header("Content-Type").startswith("application/json"):
        raise Refused(415, "Content-Type should be application/json.")
    try:
        mail = json.loads(request.body)
    except ValueError:
        raise Refused(400, "Bad Request") from None
    _check_people(mail, account)
    _check_content(mail)
    if len(json.dumps(mail.get("custom_args", {})).encode()) > MOST_CUSTOM_BYTES:
        raise Refused(400, "The custom_args object may not exceed 10000 bytes.", "custom_args")
    for name, value in mail.get("headers", {}).items():
        if name.lower() in _RESERVED_HEADERS:
            raise Refused(400, f"The header {name} is reserved.", f"headers.{name}")
        if not isinstance(value, str) or not value.isascii() or "\n" in value:
            raise Refused(400, "The headers must be ASCII strings.", f"headers.{name}")
    return dict(mail)


def _check_people(mail: Mapping[str, Any], account: Account) -> None:
    groups = mail.get("personalizations")
    if not groups:
        raise Refused(
            400, "The personalizations field is required and must have at least one"
            " personalization.", "personalizations",
        )  # fmt: skip
    for index, group in enumerate(groups):
        where = f"personalizations.{index}"
        if not group.get("to"):
            raise Refused(
                400, "The to array is required for all personalization objects, and must have at"
                " least one email object with a valid email address.", f"{where}.to",
            )  # fmt: skip
        seen: set[str] = set()
        for kind in ("to", "cc", "bcc"):
            for one in group.get(kind, ()):
                _check_address(one, f"{where}.{kind}")
                if one["email"].lower() in seen:
                    raise Refused(
                        400, "Each email address in the personalization block should be unique"
                        f" between to, cc, and bcc. We found the first duplicate instance of"
                        f" [{one['email']}] in the {where}.{kind} field.", where,
                    )  # fmt: skip
                seen.add(one["email"].lower())
            if kind in group and not group[kind]:
                raise Refused(400, f"The {kind} array must not be empty.", f"{where}.{kind}")
    if not mail.get("from"):
        raise Refused(400, "The from object must be provided for every email send.", "from")
    _check_address(mail["from"], "from")
    if account.domains and mail["from"]["email"].rpartition("@")[2] not in account.domains:
        raise Refused(
            403, "The from address does not match a verified Sender Identity. Mail cannot be sent"
            " until this error is resolved.", "from",
        )  # fmt: skip


def _check_address(one: Mapping[str, Any], where: str) -> None:
    email = one.get("email")
    if not isinstance(email, str) or not email.isascii() or not _ADDRESS.fullmatch(email):
        raise Refused(400, "Does not contain a valid address.", f"{where}.email")


def _check_content(mail: Mapping[str, Any]) -> None:
    if not mail.get("subject"):
        raise Refused(400, "The subject is required.", "subject")
    content = mail.get("content")
    if not content:
        raise Refused(400, "Unless a valid template_id is provided, the content parameter is"
                      " required.", "content")  # fmt: skip
    kinds = [one.get("type") for one in content]
    if kinds != sorted(kinds, key=["text/plain", "text/html"].index):
        raise Refused(400, "text/plain must come first, then text/html.", "content")
    if not all(one.get("value") for one in content):
        raise Refused(400, "The content value must be a string at least one character in length.",
                      "content.0.value")  # fmt: skip
    for index, one in enumerate(mail.get("attachments", ())):
        for name in ("content", "filename"):
            if not one.get(name):
                raise Refused(400, f"The attachment {name} is required.", f"attachments.{index}")


def _kinds(fault: Fault) -> Sequence[str]:
    return STATUSES if fault.statuses is None else fault.statuses


def _event(mail: Mail, account: Account, kind: str) -> Event:
    """One post with an event for each recipient, as SendGrid gathers them."""
    group = mail.request["personalizations"][0]
    people = [one["email"] for name in ("to", "cc", "bcc") for one in group.get(name, ())]
    told = [
        {
            "email": email,
            "timestamp": int(time.time()),
            "smtp-id": f"<{mail.message_id}@geopod-ismtpd-1>",
            "event": kind,
            "sg_event_id": secrets.token_urlsafe(24),
            "sg_message_id": f"{mail.message_id}.recvd-{index}-1-0.0",
            **_details(kind),
            **mail.request.get("custom_args", {}),
        }
        for index, email in enumerate(people)
    ]
    body = json.dumps(told, separators=(",", ":")).encode() + b"\r\n"
    return Event(account.event_url, body, lambda: _signed(account.event_key, body))


def _signed(key: SigningKey, body: bytes) -> dict[str, str]:
    return {"Content-Type": "application/json", **key.headers(body)}


def _details(kind: str) -> dict[str, str]:
    return {
        "bounce": {"type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 unknown user"},
        "blocked": {
            "event": "bounce",
            "type": "blocked",
            "status": "5.7.1",
            "reason": "554 policy",
        },
        "deferred": {"response": "451 4.3.0 try again later", "attempt": "1"},
        "dropped": {"status": "5.0.0", "reason": "Bounced Address"},
        "delivered": {"response": "250 OK"},
    }.get(kind, {})


def inbound(
    key: SigningKey, raw: bytes, sender: str, recipients: Sequence[str]
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a post of Inbound Parse with "the raw, full MIME message"."""
    boundary = f"xYzZY{secrets.token_hex(8)}"
    fields: dict[str, bytes] = {
        "dkim": b"{@" + sender.rpartition("@")[2].encode() + b" : pass}",
        "email": raw,
        "to": ", ".join(recipients).encode(),
        "from": sender.encode(),
        "sender_ip": b"192.0.2.1",
        "envelope": json.dumps({"to": list(recipients), "from": sender}).encode(),
        "charsets": b'{"to":"UTF-8","from":"UTF-8"}',
        "SPF": b"pass",
    }
    parts = [
        b'Content-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    mark = f"--{boundary}".encode()
    body = b"".join(mark + b"\r\n" + part for part in parts) + mark + b"--\r\n"
    content_type = f"multipart/form-data; boundary={boundary}"
    return {"Content-Type": content_type, **key.headers(body)}, body


def refusal(
    status: int,
    message: str,
    where: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Response:
    """An error in SendGrid's shape."""
    body = {"errors": [{"message": message, "field": where, "help": None}]}
    content_type = ("Content-Type", "application/json")
    return Response(status, json.dumps(body).encode(), (content_type, *headers))
