"""A customer's own system behind an `api` channel: Standard Webhooks in both directions.

See https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from local.http_server import Request, Response
from local.providers.callbacks import Callbacks, Event
from local.providers.faults import Fault

PREFIX = "/receivers/"
REQUIRED = ("delivery_id", "conversation_id", "recipient", "text")
STATUSES = ("message.delivered",)


@dataclass(frozen=True)
class Receiver:
    """The shared secret (`whsec_…`) and where to report deliveries, nowhere if empty."""

    secret: str
    status_url: str = ""


@dataclass(frozen=True)
class Received:
    """A message that was taken in, once for its `webhook_id`."""

    receiver: str
    webhook_id: str
    data: dict[str, Any]


class Refused(Exception):
    """Why a request is not taken: HTTP status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass
class Receivers:
    """The receivers by name, at `/receivers/<name>`, and what they took in."""

    callbacks: Callbacks
    known: dict[str, Receiver] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    _ids: set[tuple[str, str]] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def answer(self, request: Request, fault: Fault) -> Response:
        """Take a message in, or say that it is known, or refuse it."""
        name = request.path.removeprefix(PREFIX)
        try:
            receiver = self.known.get(name)
            if receiver is None or request.method != "POST":
                raise Refused(404, f"no receiver {name!r}")
            data = _verified(request, receiver.secret)
        except Refused as error:
            return answer(error.status, {"error": str(error)})
        message = Received(name, request.header("webhook-id"), data)
        if not self._take(message):
            return answer(200, {"duplicate": True})
        events = self._events(message, receiver, fault)
        if fault.early:
            self.callbacks.send_now(events)
        else:
            self.callbacks.schedule(events)
        return answer(202, {"accepted": True})

    def _take(self, message: Received) -> bool:
        key = (message.receiver, message.webhook_id)
        with self._lock:
            if key in self._ids:
                return False
            self._ids.add(key)
            self.received.append(message)
        return True

    def _events(self, message: Received, receiver: Receiver, fault: Fault) -> list[Event]:
        if not receiver.status_url:
            return []
        statuses = STATUSES if fault.statuses is None else fault.statuses
        return [self._event(message, receiver, status, fault.error_code) for status in statuses]

    def _event(
        self, message: Received, receiver: Receiver, status: str, error_code: int | None
    ) -> Event:
        data: dict[str, Any] = {"delivery_id": message.data["delivery_id"]}
        if status == "message.failed":
            data["error"] = {"code": str(error_code or "failed"), "reason": "ordered by a test"}
        body = envelope(status, data)
        return Event(receiver.status_url, body, lambda: signed_headers(receiver.secret, body))


def envelope(kind: str, data: Mapping[str, Any]) -> bytes:
    """The body of an event: its type, the moment, the data."""
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"type": kind, "timestamp": moment, "data": data}).encode()


def signed_headers(secret: str, body: bytes, webhook_id: str = "") -> dict[str, str]:
    """Headers of a request signed now; each has an id of its own unless one is given."""
    webhook_id = webhook_id or f"msg_{secrets.token_hex(12)}"
    # The SDK reads the moment's own fields as UTC.
    moment = datetime.now(UTC)
    return {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, moment, body.decode()),
    }


def answer(status: int, value: Mapping[str, Any]) -> Response:
    """A JSON answer."""
    return Response(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))


def _verified(request: Request, secret: str) -> dict[str, Any]:
    try:
        event = Webhook(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError as error:
        raise Refused(401, str(error)) from error
    except ValueError as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(event, dict) or event.get("type") != "message.send":
        raise Refused(422, "type must be message.send")
    data = event.get("data")
    if not isinstance(data, dict):
        raise Refused(422, "data is missing")
    for name in REQUIRED:
        if not isinstance(data.get(name), str) or not data[name]:
            raise Refused(422, f"data.{name} is missing")
    return data
