"""The schema, its roles, the first organization and the sample data; invoked by each deploy."""

from __future__ import annotations

import functools
from typing import Any

from countersign import start
from countersign.platform.settings import load
from migrations import events
from migrations.actions import Settings, perform


@functools.cache
def _ready() -> Settings:
    return load(Settings)


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Do what the event's "action" names; `migrations.events` has the events."""
    return perform(events.parse(event), _ready())


start.over()
