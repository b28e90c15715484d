"""How long reading takes: by this thread's own time, since other work goes on beside the tests."""

import gc
import time
from collections.abc import Callable
from typing import TypeVar

Given = TypeVar("Given")


def seconds(read: Callable[[Given], object], given: Given, runs: int = 2) -> float:
    """The shortest of some runs, in which no garbage is collected: that of thousands of tests."""
    return min(_once(read, given) for _ in range(runs))


def _once(read: Callable[[Given], object], given: Given) -> float:
    gc.disable()
    try:
        start = time.thread_time()
        read(given)
        return time.thread_time() - start
    finally:
        gc.enable()
