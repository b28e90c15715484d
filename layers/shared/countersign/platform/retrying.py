"""When to try again what did not work."""

from __future__ import annotations

import random
from datetime import timedelta

LONGEST_WAIT_SECONDS = 600


def backoff(attempts: int, asked: float | None = None) -> timedelta:
    """How long to wait after that many tries: doubling from 2 s to 10 min with jitter, and at least
    as long as the provider asked for."""
    longest = min(LONGEST_WAIT_SECONDS, 2 ** min(attempts, 30))
    return timedelta(seconds=max(asked or 0.0, random.uniform(0.5, 1) * longest))
