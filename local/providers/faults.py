"""Misbehaviour that a test, or a curious developer, orders from the simulator."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from threading import Lock
from typing import Any

from local.http_server import Request


@dataclass(frozen=True)
class Fault:
    """What to do with the next `times` requests whose path and body contain the given texts.

    `status` other than 0 answers so and accepts nothing. `accepted=False` drops the request before
    it takes effect, `answered=False` the answer after it did. `delay` seconds pass before the
    answer. `statuses` and `error_code` replace what becomes of an accepted message, and with
    `early` its status events are sent before the answer is.
    """

    path: str = ""
    contains: str = ""
    times: int = 1
    status: int = 0
    code: int = 0
    message: str = "ordered by a test"
    retry_after: float | None = None
    accepted: bool = True
    answered: bool = True
    delay: float = 0.0
    statuses: tuple[str, ...] | None = None
    error_code: int | None = None
    early: bool = False

    def fits(self, request: Request) -> bool:
        """Whether this request is meant."""
        return self.path in request.path and self.contains.encode() in request.body


NONE = Fault(times=0)


def from_json(value: Mapping[str, Any]) -> Fault:
    """A fault from its fields. Raises ValueError naming those that do not exist."""
    unknown = set(value) - {field.name for field in fields(Fault)}
    if unknown:
        raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
    statuses = value.get("statuses")
    return Fault(**{**value, "statuses": None if statuses is None else tuple(statuses)})


class Faults:
    """Those still to come, in the order they were given."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: list[tuple[Fault, int]] = []

    def order(self, fault: Fault) -> None:
        """Add one."""
        with self._lock:
            self._waiting.append((fault, fault.times))

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._waiting.clear()

    def take(self, request: Request) -> Fault:
        """Use up one time of the first fault that fits, or give `NONE`."""
        with self._lock:
            for index, (fault, left) in enumerate(self._waiting):
                if fault.fits(request):
                    self._waiting[index : index + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
        return NONE
