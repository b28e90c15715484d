"""Messages that have no vector yet, promised to whoever gives them one.

It maps no table: who takes messages in starts without the room's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from countersign.platform import outbox
from countersign.platform.db import TenantSession

BATCH = 64
"""How many are embedded by one call."""


def promise(
    session: TenantSession,
    message_ids: Sequence[UUID],
    when: datetime | None = None,
    attempts: int = 0,
) -> None:
    """Let messages be embedded, not before a time; `attempts` have failed before."""
    for start in range(0, len(message_ids), BATCH):
        body = {
            "organization_id": str(session.organization_id),
            "message_ids": [str(id_) for id_ in message_ids[start : start + BATCH]],
            "attempts": attempts,
        }
        outbox.enqueue(session, "index", body, when)
