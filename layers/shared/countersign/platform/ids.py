"""Keys: UUIDv7 (RFC 9562, section 5.7), made here so that a row's key is known before the row."""

from __future__ import annotations

import os
import time
from uuid import UUID


def new_id() -> UUID:
    """A UUIDv7 with a clock finer than a millisecond (section 6.2, method 3): newer ids sort later.

    48 bits of Unix milliseconds, 12 of a fraction of one, 62 random ones. Rows that one transaction
    makes one after another are told apart by nothing else.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)
