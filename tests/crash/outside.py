"""What the product's functions call, in memory: AWS, the providers, a model, and the clock.

Every call passes the edges. A queue behaves as SQS does: a message is hidden while it is handled,
comes again unless it was settled, and is a dead letter after too many tries. The providers are the
local stack's own simulators, whose record says what was really accepted.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import ProtocolError

from countersign.platform.ids import new_id
from local.http_server import Request, Response
from local.providers.callbacks import Callbacks, Event
from local.providers.faults import Fault
from local.providers.receiver import Receiver, Receivers
from local.providers.sendgrid import Account as SendGridAccount
from local.providers.sendgrid import SendGrid
from local.providers.twilio import Account, Twilio
from tests.crash.edges import Edges, closed
from tests.crash.ground import (
    ACCOUNT,
    ENCODERS,
    EVENT_KEY,
    PARSE_KEY,
    SENDGRID_KEY,
    SIGNING_SECRET,
    TOKEN,
    Tenant,
)
from tests.crash.postoffice import MailServer, PostOffice, Ses, Taken, by_sendgrid
from tests.world import QuotingChat
from tools import template

APPLICATION = template.load(Path(__file__).parents[2] / "template.yaml")
QUEUES = ("inbound", "drafts", "outbound", "attachments", "index", "relay")


def _declared(name: str, property_: str) -> int:
    value: int = APPLICATION["Resources"][name]["Properties"][property_]
    return value


VISIBILITY = {
    name: timedelta(seconds=_declared(f"{name.title()}Queue", "VisibilityTimeout"))
    for name in QUEUES
}
BATCH = {name: _declared(f"{name.title()}Source", "BatchSize") for name in QUEUES}
MOST_TRIES: int = APPLICATION["Parameters"]["MaxReceiveCount"]["Default"]
# A queue may be late. The relay's checks come together this way, and a run has few sweeps.
LATE = {"relay": timedelta(minutes=2)}
STATUSES = {
    "twilio.example": ("sent", "delivered"),
    "receiver.example": ("message.delivered",),
    "sendgrid.example": ("processed", "delivered"),
}
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Clock:
    """Time that moves only when it is told to."""

    def __init__(self, start: datetime) -> None:
        self.moment = start

    def now(self) -> datetime:
        return self.moment

    def wait(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)

    def wait_until(self, moment: datetime) -> None:
        self.moment = max(self.moment, moment)


@dataclass(eq=False)
class Message:
    """A message of a queue, which can be received once it is due."""

    queue: str
    body: str
    due: datetime
    is_copy: bool = False
    tries: int = 0
    id: str = field(default_factory=lambda: str(new_id()))


class Queues:
    """SQS, as far as `platform.queues` calls it, with what an earlier run left in it."""

    def __init__(self, edges: Edges, clock: Clock, before: Queues | None) -> None:
        self._edges, self._clock = edges, clock
        left = before.waiting if before else []
        self.waiting: list[Message] = [replace(message) for message in left]
        self.dead: list[Message] = []
        self.refuses: set[str] = set()
        self._sent = list(self.waiting)

    def send_message_batch(
        self,
        QueueUrl: str,  # noqa: N803  boto3's name, as below
        Entries: Sequence[Mapping[str, Any]],  # noqa: N803
    ) -> dict[str, Any]:
        if QueueUrl in self.refuses:
            return {"Failed": [{"Code": "InternalError"}]}
        accept = lambda: self._accept(QueueUrl, Entries)  # noqa: E731
        return self._edges.cross(f"send to {QueueUrl}", "call", accept, closed)

    def _accept(self, queue: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        for entry in entries:
            self.put(queue, entry["MessageBody"], entry["DelaySeconds"])
        return {}

    def put(self, queue: str, body: str, delay: float = 0) -> None:
        """Let a queue hold a message, whoever it is from."""
        due = self._clock.now() + timedelta(seconds=delay)
        if queue in LATE:
            due += LATE[queue] - (due - EPOCH) % LATE[queue]
        message = Message(queue, body, due)
        self.waiting.append(message)
        self._sent.append(message)

    def receive(self, first: Message) -> list[Message]:
        """A batch that begins with `first`, hidden from now on until it is due again."""
        others = [
            message
            for message in self.waiting
            if message.queue == first.queue and message.due <= first.due and message is not first
        ]
        batch = [first, *others][: BATCH[first.queue]]
        for message in batch:
            message.tries += 1
            message.due = self._clock.now() + VISIBILITY[message.queue]
        return batch

    def settle(self, message: Message, *, again: bool) -> None:
        """Forget what was handled; `again` lets it come a second time first, as queues may."""
        if message not in self.waiting:
            return
        if again and not message.is_copy:
            message.is_copy, message.due = True, self._clock.now()
        else:
            self.waiting.remove(message)

    def bury(self) -> None:
        """Make dead letters of what was tried too often."""
        for message in [each for each in self.waiting if each.tries >= MOST_TRIES]:
            self.waiting.remove(message)
            self.dead.append(message)

    def replay(self) -> None:
        """Let every message that was ever sent come once more."""
        now = self._clock.now()
        self.waiting += [Message(sent.queue, sent.body, now, is_copy=True) for sent in self._sent]


class Secrets:
    """Secrets Manager: text by name; nothing was ever rotated."""

    def __init__(self, edges: Edges, values: dict[str, str]) -> None:
        self._edges, self._values = edges, values

    def get_secret_value(self, SecretId: str, VersionStage: str) -> dict[str, str]:  # noqa: N803
        value = {"SecretString": self._values[SecretId]}
        return self._edges.cross("read a secret", "read", lambda: value, closed)


class Buckets:
    """S3: bytes by bucket and key, with what an earlier run left there."""

    exceptions = SimpleNamespace(NoSuchKey=KeyError)

    def __init__(self, edges: Edges, before: Buckets | None) -> None:
        self._edges = edges
        self.objects: dict[tuple[str, str], bytes] = dict(before.objects) if before else {}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        put = lambda: self.objects.update({(Bucket, Key): Body})  # noqa: E731
        self._edges.cross(f"put into {Bucket}", "call", put, closed)

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return self._edges.cross(
            f"get from {Bucket}", "read", lambda: self._found(Bucket, Key), closed
        )

    def _found(self, bucket: str, key: str) -> dict[str, Any]:
        content = self.objects[bucket, key]
        return {"Body": io.BytesIO(content), "ContentLength": len(content)}

    def generate_presigned_url(self, method: str, *, Params: Any, **_: Any) -> str:  # noqa: N803
        """Like S3's, made without a call; here it says the key alone."""
        key: str = Params["Key"]
        return key


class Internet:
    """Stands in for `urllib3.PoolManager`: Twilio, SendGrid, an `api` receiver, a model endpoint.

    `answers` are given first to what is sent: instead of its acceptance, or with `falters` after
    it. `status_events` are the providers' own, on their way to us; with `silent` there are none.
    """

    def __init__(self, edges: Edges, webhook_url: str, before: Internet | None) -> None:
        self._edges = edges
        self.answers: list[Response] = []
        self.status_events: list[Event] = []
        self.silent = self.falters = False
        callbacks = _Postponed(self.status_events)
        self.twilio = Twilio(callbacks, {ACCOUNT: Account(TOKEN)})
        self.receivers = Receivers(callbacks, {"shop": Receiver(SIGNING_SECRET, webhook_url)})
        account = SendGridAccount(SENDGRID_KEY, webhook_url, EVENT_KEY, PARSE_KEY)
        self.sendgrid = SendGrid(callbacks, [account])
        if before:
            self.twilio.messages += before.twilio.messages
            self.twilio.media |= before.twilio.media
            self.receivers.received += before.receivers.received
            self.sendgrid.mails += before.sendgrid.mails

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | str | None = None,
        **options: Any,
    ) -> urllib3.BaseHTTPResponse:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        content = body.encode() if isinstance(body, str) else body or b""
        request = Request(method, target, tuple(headers.items()), content)
        response = self._edges.cross(
            f"{method} {parts.netloc}",
            "read" if method == "GET" else "call",
            lambda: self._answer(parts.netloc, request),
            lambda: ProtocolError("Connection aborted."),
        )
        return urllib3.HTTPResponse(
            io.BytesIO(response.body),
            headers=dict(response.headers),
            status=response.status,
            preload_content=False,
        )

    def _answer(self, host: str, request: Request) -> Response:
        if host == "model.example":
            return _model(request)
        instead = self.answers.pop(0) if request.method == "POST" and self.answers else None
        if instead and not self.falters:
            return instead
        told = Fault(statuses=() if self.silent else STATUSES[host])
        answer = self._provider(host).answer(request, told)
        return instead or answer

    def _provider(self, host: str) -> Twilio | SendGrid | Receivers:
        if host == "twilio.example":
            return self.twilio
        return self.sendgrid if host == "sendgrid.example" else self.receivers


class _Postponed(Callbacks):
    """Leaves status events to the stage, which brings them when it chooses."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events

    def schedule(self, events: Sequence[Event]) -> None:
        self._events += events


def _model(request: Request) -> Response:
    """An OpenAI-compatible endpoint in front of the models of `tests.world`."""
    asked = json.loads(request.body)
    answer = _embeddings if request.path.endswith("/embeddings") else _completion
    return Response(200, json.dumps(answer(asked)).encode())


def _embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    made = ENCODERS[asked["model"]].embed(asked["input"])
    data = [{"index": n, "embedding": vector} for n, vector in enumerate(made.vectors)]
    return {"data": data, "usage": {"prompt_tokens": made.input_tokens}}


def _completion(asked: dict[str, Any]) -> dict[str, Any]:
    system, user = (message["content"] for message in asked["messages"])
    made = QuotingChat().answer(system, user)
    return {
        "choices": [{"message": {"content": made.text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": made.input_tokens, "completion_tokens": made.output_tokens},
    }


class Outside:
    """All of it, for one run; queues and the providers' record go on from an earlier one."""

    def __init__(
        self, edges: Edges, tenant: Tenant, start: datetime, before: Outside | None
    ) -> None:
        self.clock = Clock(start)
        self.queues: Queues = Queues(edges, self.clock, before.queues if before else None)
        self.secrets = Secrets(edges, tenant.secrets)
        self.buckets: Buckets = Buckets(edges, before.buckets if before else None)
        self.internet: Internet = Internet(
            edges, tenant.webhook_url, before.internet if before else None
        )
        self.post_office: PostOffice = PostOffice(before.post_office if before else None)
        self.ses, self.mail_server = Ses(edges, self), MailServer(edges, self.post_office)

    def accepted(self) -> list[str]:
        """The texts that the providers took, by their own record."""
        by_twilio = [message.body for message in self.internet.twilio.messages]
        by_receivers = [received.data["text"] for received in self.internet.receivers.received]
        return by_twilio + by_receivers + [mail.text for mail in self.mails()]

    def mails(self) -> list[Taken]:
        """Those among them that are mails."""
        return self.post_office.taken + [by_sendgrid(one) for one in self.internet.sendgrid.mails]

    def as_datetime(self) -> type[datetime]:
        """A `datetime` whose `now` is this clock's, for the simulators."""
        clock = self.clock

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return clock.moment.astimezone(tz)

        return Moved
