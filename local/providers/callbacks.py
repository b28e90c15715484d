"""Status events on their way to the product, each a little after the one before."""

import heapq
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition, Thread

import urllib3


@dataclass(frozen=True)
class Event:
    """One request to make; `headers` may depend on the moment it is sent."""

    url: str
    body: bytes
    headers: Callable[[], Mapping[str, str]]
    before: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Sent:
    """An event that was sent: status 0 where nobody answered."""

    url: str
    body: bytes
    status: int


class Callbacks:
    """Sends chains of events, `pace` seconds between them, many chains at a time."""

    def __init__(self, pace: float) -> None:
        self.sent: list[Sent] = []
        self._pace = pace
        self._http = urllib3.PoolManager(maxsize=32, retries=False, timeout=30)
        self._workers = ThreadPoolExecutor(max_workers=16, thread_name_prefix="callback")
        self._due: list[tuple[float, int, Sequence[Event]]] = []
        self._order = itertools.count()
        self._changed = Condition()
        self._ended = False
        self._clock = Thread(target=self._run, daemon=True)
        self._clock.start()

    def schedule(self, events: Sequence[Event]) -> None:
        """Send these one after the other, the first in `pace` seconds."""
        if events:
            with self._changed:
                at = time.monotonic() + self._pace
                heapq.heappush(self._due, (at, next(self._order), events))
                self._changed.notify()

    def send_now(self, events: Sequence[Event]) -> list[Sent]:
        """Send these at once and return when they are answered."""
        return [self._send(event) for event in events]

    def close(self) -> None:
        """Send no more."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._clock.join()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._http.clear()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._ended:
                    return
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                events = heapq.heappop(self._due)[2]
            self._workers.submit(self._step, events)

    def _step(self, events: Sequence[Event]) -> None:
        self._send(events[0])
        self.schedule(events[1:])

    def _send(self, event: Event) -> Sent:
        event.before()
        try:
            status = self._http.request(
                "POST", event.url, body=event.body, headers=dict(event.headers())
            ).status
        except urllib3.exceptions.HTTPError:
            status = 0
        sent = Sent(event.url, event.body, status)
        self.sent.append(sent)
        return sent
