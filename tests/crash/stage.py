"""One run on the stage: what is under way between the product, its queues and the providers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError

from countersign.platform.errors import CountersignError
from countersign.platform.ids import new_id
from local.providers.callbacks import Event
from tests.crash.cast import Agent, Customer
from tests.crash.edges import Crash, Edges, Process
from tests.crash.ground import Ground
from tests.crash.outside import Message, Outside
from tests.crash.product import Product

READERS = {
    "inbound": "ingest",
    "drafts": "drafts",
    "outbound": "outbound",
    "attachments": "attachments",
    "index": "index",
    "relay": "relay",
}
MOST_STEPS = 200
STALL_SECONDS = 50
"""How long a process can stall with a transaction open: Lambda's timeout ends it soon after."""

Order = Literal["as sent", "each twice", "newest first", "all again at the end"]


class NeverRests(BaseException):
    """The run goes on and on; nothing of the product may hold it up."""


@dataclass
class Post:
    """A provider's request to us, repeated until it is answered with 200."""

    event: Event
    due: datetime


class Stage:
    """`rest` lets all that is under way come to its end; an act is what people do in between."""

    def __init__(
        self, ground: Ground, edges: Edges, product: Product, outside: Outside, order: Order
    ) -> None:
        self.ground, self.edges, self.product, self.outside = ground, edges, product, outside
        self.order = order
        self.customer, self.agent = Customer(self), Agent(self)
        self.half_indexed: set[str] = set()
        self._posts: list[Post] = []
        self._doing: list[Callable[[], None]] = []
        self._steps = 0

    def now(self) -> datetime:
        return self.outside.clock.now()

    def bring(self, event: Event) -> None:
        """Let a provider bring us an event, a second after what it brings already."""
        due = max([post.due for post in self._posts], default=self.now()) + timedelta(seconds=1)
        # Signed once: what is repeated is the same request.
        headers = event.headers()
        self._posts.append(Post(replace(event, headers=lambda: headers), due))

    def rest(self, until: datetime | None = None) -> None:
        """Let all that is under way come to its end, or go on until then."""
        while (following := self._following()) and (until is None or following.due <= until):
            self.outside.clock.wait_until(following.due)
            self.outside.clock.wait(1)
            if isinstance(following, Post):
                self.post(following)
            else:
                self._deliver(following)
        if until:
            self.outside.clock.wait_until(until)

    def _following(self) -> Post | Message | None:
        """What happens next."""
        for event in self.outside.internet.status_events:
            self.bring(event)
        self.outside.internet.status_events.clear()
        waiting: list[Post | Message] = [*self._posts, *self.outside.queues.waiting]
        if self.order == "newest first":
            due = [each for each in waiting if each.due <= self.now()]
            # Events come in while there are any, so that there are messages to be turned round.
            waiting = [each for each in due if isinstance(each, Post)] or due[-1:] or waiting
        return min(waiting, key=lambda each: each.due, default=None)

    def do(self, act: Callable[[], None]) -> None:
        """Do `act`; should its twin be wanted meanwhile, this is what is done once more."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise NeverRests
        self._doing.append(act)
        try:
            act()
        finally:
            self._doing.pop()

    def post(self, post: Post) -> None:
        """Bring an event to our door."""
        self.do(lambda: self._post(post))

    def _post(self, post: Post) -> None:
        url = urlsplit(post.event.url)
        event = {
            "requestContext": {
                "requestId": str(new_id()),
                "domainName": url.netloc,
                "http": {"method": "POST"},
            },
            "pathParameters": {"channel_key": url.path.rpartition("/")[2]},
            "rawQueryString": url.query,
            "headers": dict(post.event.headers()),
            "body": post.event.body.decode(),
        }
        post.event.before()
        post.due = self.now() + timedelta(seconds=30)
        try:
            answer = self.product.call("webhooks", event)
        except Crash:
            return
        if answer["statusCode"] == 200 and post in self._posts:
            self._posts.remove(post)

    def _deliver(self, first: Message) -> None:
        batch = self.outside.queues.receive(first)
        self.do(lambda: self._handle(batch))

    def _handle(self, batch: list[Message]) -> None:
        records = [{"messageId": message.id, "body": message.body} for message in batch]
        try:
            answer = self.product.call(READERS[batch[0].queue], {"Records": records})
        except (Crash, Exception):
            # Lambda lets the whole batch come again.
            failed = {message.id for message in batch}
        else:
            failures = answer["batchItemFailures"] if answer else []
            failed = {failure["itemIdentifier"] for failure in failures}
        for message in batch:
            if message.id not in failed:
                self.outside.queues.settle(message, again=self.order == "each twice")
        self.outside.queues.bury()
        if batch[0].queue == "index":
            self.half_indexed.update(self.ground.half_indexed())

    def schedule(self) -> None:
        """The relay's schedule; Lambda tries an event that failed twice more."""

        def sweep() -> None:
            self.product.call("relay", {})
            tries.append("done")

        tries: list[str] = []
        while "done" not in tries and len(tries) < 3:
            with suppress(Crash, CountersignError, DBAPIError):
                self.do(sweep)
            tries.append("tried")

    def end(self) -> None:
        """Where that is the order, let every message of the run come again, the last one first."""
        if self.order == "all again at the end":
            self.order = "newest first"
            self.outside.queues.replay()
            self.rest()

    def stall(self, process: Process) -> None:
        """A process freezes, and the others go on for as long as it can hold anything up."""
        if process.in_transaction:
            self.rest(until=self.now() + timedelta(seconds=STALL_SECONDS))
        else:
            self.rest()
            self.agent.resolves()
            self.rest()

    def twin(self) -> None:
        """What is being done is asked for once more, of another process."""
        self.do(self._doing[-1])
