"""Twilio, SendGrid, SES and `api` receivers in one server, with a record of all they got.

In a test: `with Simulator() as simulator: …`. By HTTP, beside the providers' own paths:
`GET /_requests` (what came, with the answers), `DELETE /_requests`, `POST /_faults` (the fields of
`Fault`), `DELETE /_faults`, `POST /_mail?from=…&to=…` (a raw mail, as a mail server brings it).
"""

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from local.http_server import Request, Response, serving
from local.providers import faults, receiver, sendgrid, ses, twilio
from local.providers.callbacks import Callbacks, Sent
from local.providers.faults import Fault, Faults

USUAL_PORT = 8420


@dataclass(frozen=True)
class Recorded:
    """A request and the status it was answered with, 0 where no answer was given."""

    request: Request
    status: int
    at: float

    def as_json(self) -> dict[str, Any]:
        """For `GET /_requests`."""
        value = asdict(self.request) | {"status": self.status, "at": self.at}
        value["headers"] = dict(self.request.headers)
        value["body"] = self.request.body.decode(errors="replace")
        return value


class Simulator:
    """The server; `.url` is the base address of all providers and holds the receivers."""

    def __init__(self, port: int = 0, *, pace: float = 0.05) -> None:
        """`pace` is the time in seconds between two status events of a message."""
        self.url = ""
        self.requests: list[Recorded] = []
        self.callbacks = Callbacks(pace)
        self.twilio = twilio.Twilio(self.callbacks)
        self.sendgrid = sendgrid.SendGrid(self.callbacks)
        self.ses = ses.Ses(self.callbacks)
        self.receivers = receiver.Receivers(self.callbacks)
        self.faults = Faults()
        self._port = port
        self._running = ExitStack()

    def __enter__(self) -> Self:
        self._running.callback(self.callbacks.close)
        self.url = self._running.enter_context(serving(self.answer, self._port))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.close()

    @property
    def sent(self) -> list[Sent]:
        """Status events that were sent, with what the product answered."""
        return self.callbacks.sent

    def receiver_url(self, name: str) -> str:
        """Where the `api` receiver of this name takes messages in."""
        return f"{self.url}{receiver.PREFIX}{name}"

    @property
    def mail_url(self) -> str:
        """Where mail for the addresses of our mail channels is brought."""
        return f"{self.url}/_mail"

    def order(self, fault: Fault) -> None:
        """Misbehave once, or as often as the fault says."""
        self.faults.order(fault)

    def answer(self, request: Request) -> Response | None:
        """Serve one request and record it, except for those about the simulator itself."""
        if request.path.startswith("/_"):
            return self._control(request)
        response = self._misbehaving(request, self.faults.take(request))
        status = 0 if response is None else response.status
        self.requests.append(Recorded(request, status, time.time()))
        return response

    def _misbehaving(self, request: Request, fault: Fault) -> Response | None:
        time.sleep(fault.delay)
        if fault.status:
            return _ordered(request, fault)
        if not fault.accepted:
            return None
        response = self._provider(request, fault)
        return response if fault.answered else None

    def _provider(self, request: Request, fault: Fault) -> Response:
        if request.path.startswith(receiver.PREFIX):
            return self.receivers.answer(request, fault)
        if request.path == sendgrid.PATH:
            return self.sendgrid.answer(request, fault)
        if request.path == ses.PATH:
            return self.ses.answer(request, fault)
        return self.twilio.answer(request, fault)

    def _control(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/_requests":
                return _json(200, {"requests": [each.as_json() for each in self.requests]})
            case "DELETE", "/_requests":
                self.requests.clear()
            case "POST", "/_faults":
                try:
                    self.order(faults.from_json(json.loads(request.body)))
                except (ValueError, TypeError) as error:
                    return _json(400, {"error": str(error)})
            case "DELETE", "/_faults":
                self.faults.clear()
            case "POST", "/_mail":
                return self._bring(request)
            case _:
                return _json(404, {"error": f"no {request.method} {request.path}"})
        return _json(200, {})

    def _bring(self, request: Request) -> Response:
        """Hand a mail to whoever takes in mail for its recipient: what an MX record decides."""
        query = parse_qs(request.query)
        sender, recipients = query.get("from", [""])[0], query.get("to", [])
        ways = (self.ses.receive, self.sendgrid.receive)
        told = next((sent for way in ways if (sent := way(request.body, sender, recipients))), None)
        if told is None:
            return _json(404, {"error": f"nobody takes in mail for {recipients}"})
        if not 200 <= told.status < 300:
            return _json(502, {"error": f"{told.url} answered {told.status}"})
        return _json(200, {})


def _ordered(request: Request, fault: Fault) -> Response:
    headers: tuple[tuple[str, str], ...] = ()
    if fault.retry_after is not None:
        headers = (("Retry-After", f"{fault.retry_after:g}"),)
    if request.path.startswith(receiver.PREFIX):
        return Response(fault.status, fault.message.encode(), headers)
    if request.path == sendgrid.PATH:
        return sendgrid.refusal(fault.status, fault.message, headers=headers)
    if request.path == ses.PATH:
        name = "TooManyRequestsException" if fault.status == 429 else "InternalFailure"
        return ses.refusal(fault.status, name, fault.message, headers)
    code = fault.code or {429: 20429, 500: 20500, 503: 20503}.get(fault.status, 20001)
    return twilio.refusal(fault.status, code, fault.message, headers)


def _json(status: int, value: Mapping[str, Any]) -> Response:
    return receiver.answer(status, value)
