"""The clock that leases, delays and the record go by: one place, so that a test can move it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, in UTC. Call it as `clock.now()`, so that it can be replaced."""
    return datetime.now(UTC)
