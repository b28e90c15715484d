"""How long reading takes: by the processor's time, since other work goes on beside the tests."""

import time
from collections.abc import Callable
from typing import TypeVar

Given = TypeVar("Given")


def seconds(read: Callable[[Given], object], given: Given, runs: int = 2) -> float:
    """The shortest of some runs."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        read(given)
        taken.append(time.process_time() - start)
    return min(taken)
