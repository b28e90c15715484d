"""What happens next, promised in the same transaction and published right after its commit.

A handler killed between the two is covered without a busy loop: before it begins, a delayed check
message goes to the relay, which publishes what is still there when the check arrives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.orm import Mapped, Session

from countersign.platform import clock, queues
from countersign.platform.columns import Tenant, created, json, timestamp
from countersign.platform.db import Database, Table, TenantSession
from countersign.platform.log import logger

CHECK_AFTER_SECONDS = 60
_URL = "_queue_url"
GRACE = timedelta(seconds=30)
_SWEEP = 100
_FARTHEST = timedelta(seconds=queues.MAX_DELAY_SECONDS)


class OutboxRow(Tenant, Table):
    """A queue message promised by a committed transaction and not yet known to be published."""

    __tablename__ = "outbox"

    queue: Mapped[str]
    body: Mapped[dict[str, Any]] = json()
    not_before: Mapped[datetime] = timestamp()
    created_at: Mapped[datetime] = created()


_KEY = tuple_(OutboxRow.organization_id, OutboxRow.id)


def enqueue(
    session: Session,
    queue: str,
    body: queues.Body,
    not_before: datetime | None = None,
    correlation_id: str | None = None,
) -> None:
    """Promise `body` to `queue`, not before a time, to the organization it names.

    `body` must have "organization_id"; `correlation_id` is added, or that of what is under way. It
    is published after this transaction's commit.
    """
    row = OutboxRow(
        organization_id=UUID(body["organization_id"]),
        queue=queue,
        body={**body, "correlation_id": correlation_id or logger.get_correlation_id()},
        not_before=not_before or clock.now(),
    )
    session.add(row)
    session.info.setdefault("outbox", []).append(row)


def queue_urls(settings: object) -> dict[str, str]:
    """The queues of a function's settings, by name: `drafts_queue_url` is that of "drafts"."""
    return {
        name.removesuffix(_URL): url for name, url in vars(settings).items() if name.endswith(_URL)
    }


class Outbox:
    """Transactions that promise queue messages; `queue_urls` must hold "relay"."""

    def __init__(self, database: Database, queue_urls: Mapping[str, str]) -> None:
        self.database = database
        self._queue_urls = queue_urls

    @contextmanager
    def transaction(self, organization_id: UUID) -> Iterator[TenantSession]:
        """One transaction of a tenant; what it promised is published once it has committed."""
        queues.send(self._queue_urls["relay"], [{"check": "outbox"}], CHECK_AFTER_SECONDS)
        with self.database.tenant(organization_id) as session:
            yield session
        self._publish_promised(organization_id, session.info.get("outbox", []))

    def _publish_promised(self, organization_id: UUID, rows: list[OutboxRow]) -> None:
        """Publish what is due within a queue's longest delay; on failure the relay will."""
        due = [row for row in rows if row.not_before <= clock.now() + _FARTHEST]
        if not due:
            return
        # The work is committed: whatever fails from here on must not make it look undone.
        try:
            self._publish(due)
            with self.database.tenant(organization_id) as session:
                _forget(session, due)
        except Exception:
            logger.warning("publishing failed; the relay will do it", exc_info=True)

    def sweep(self) -> bool:
        """Publish what was promised and is not known to be published; for the relay's role.

        Returns whether promises remain that are too far ahead for a queue's delay. What is young
        does not count: its own check is under way, and each check would beget another for ever.
        """
        farthest = clock.now() + _FARTHEST
        while self._sweep_some(farthest):
            pass
        too_far = select(OutboxRow.id).where(OutboxRow.not_before > farthest).limit(1)
        with self.database.system() as session:
            return session.scalar(too_far) is not None

    def _sweep_some(self, farthest: datetime) -> bool:
        with self.database.system() as session:
            rows = session.scalars(
                select(OutboxRow)
                .where(OutboxRow.created_at < clock.now() - GRACE)
                .where(OutboxRow.not_before <= farthest)
                .order_by(OutboxRow.not_before)
                .limit(_SWEEP)
            ).all()
        self._publish(rows)
        with self.database.system() as session:
            _forget(session, rows)
        return len(rows) == _SWEEP

    def _publish(self, rows: Iterable[OutboxRow]) -> None:
        by_queue: dict[str, list[tuple[queues.Body, int]]] = defaultdict(list)
        for row in rows:
            by_queue[row.queue].append((row.body, _delay(row.not_before)))
        for queue, messages in by_queue.items():
            queues.send_delayed(self._queue_urls[queue], messages)


def _forget(session: Session, rows: Iterable[OutboxRow]) -> None:
    """Losing this commit only publishes a message twice, so it need not wait for the disk."""
    keys = [(row.organization_id, row.id) for row in rows]
    if keys:
        session.execute(text("SET LOCAL synchronous_commit TO off"))
        session.execute(delete(OutboxRow).where(_KEY.in_(keys)))


def _delay(not_before: datetime) -> int:
    return max(0, ceil((not_before - clock.now()).total_seconds()))
