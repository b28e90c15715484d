"""Getting a file that a message points to from the channel's provider: outside any transaction."""

from __future__ import annotations

from countersign.channels.credentials import CallingSettings, credentials
from countersign.channels.providers import provider_module
from countersign.channels.tables import Channel
from countersign.platform.errors import Unauthenticated, Unavailable


def fetch(
    channel: Channel, url: str, settings: CallingSettings, *, most_bytes: int, seconds: float
) -> bytes:
    """The bytes of a file.

    Raises `NotFound` if its provider has no such file, `TooLarge`, and `Unavailable` for what may
    go better another time.
    """
    module = provider_module(channel.provider)
    held = credentials(channel.id, settings)
    try:
        return module.fetch(url, held, settings, most_bytes=most_bytes, seconds=seconds)
    except Unauthenticated:
        # It may have been rotated. Else whoever keeps it must act.
        held = credentials(channel.id, settings, 0)
    try:
        return module.fetch(url, held, settings, most_bytes=most_bytes, seconds=seconds)
    except Unauthenticated as error:
        raise Unavailable(error.detail) from None
