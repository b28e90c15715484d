"""The files of a message: noted when it comes in, leased to be fetched, settled with what they are.

The caller holds the lock on the conversation's row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from countersign.channels.tables import Channel
from countersign.conversations import keeping
from countersign.conversations.keeping import Kept
from countersign.conversations.tables import Attachment, Message
from countersign.platform import audit, outbox
from countersign.platform.db import TenantSession
from countersign.platform.errors import Unavailable
from countersign.platform.retrying import backoff

LEASE = timedelta(seconds=150)
"""Longer than the function's own timeout."""
MAX_ATTEMPTS = 100
"""About half a day of a provider's outage."""
MOST_TIMES_GONE = 8
"""A provider may tell of a file some seconds before it has it."""


@dataclass(frozen=True)
class Job:
    """A message whose files are leased, with all that fetching them needs."""

    message: Message
    channel: Channel
    files: tuple[Attachment, ...]


@dataclass(frozen=True)
class Missed:
    """A file could not be had: `gone`, `too_large`, `unreadable` or `unavailable`."""

    reason: str
    retry_after: float | None = None
    """Seconds that its provider asks to wait."""

    def is_final(self, attempts: int) -> bool:
        """Whether another try is of no use, after that many."""
        most = {"unavailable": MAX_ATTEMPTS, "gone": MOST_TIMES_GONE}
        return attempts >= most.get(self.reason, 0)


Outcomes = Mapping[UUID, Kept | Missed]
"""What came of files, by id; of those that time did not suffice for, nothing."""


def note(
    session: TenantSession,
    message: Message,
    files: Sequence[Attachment],
    correlation_id: str,
    refused: str | None = None,
) -> None:
    """Note the files of a new message, to be fetched; with why they are `refused`, not to be."""
    for file in files:
        file.organization_id, file.message_id = message.organization_id, message.id
        if refused:
            file.status, file.reason = "failed", refused
    session.add_all(files)
    if files and not refused:
        _promise(session, message.id, None, correlation_id)


def _promise(
    session: TenantSession,
    message_id: UUID,
    when: datetime | None,
    correlation_id: str | None = None,
) -> None:
    body = {"organization_id": str(session.organization_id), "message_id": str(message_id)}
    outbox.enqueue(session, "attachments", body, when, correlation_id)


def claim(session: TenantSession, message_id: UUID, now: datetime) -> Job | None:
    """Lease a message's files that are not settled; None where there are none.

    Raises `Unavailable` while another worker holds the lease: the queue tries again.
    """
    files = _locked(session, Attachment.message_id == message_id)
    open_ = [file for file in files if file.status in ("pending", "processing")]
    if not open_:
        return None
    if any(file.leased_until and file.leased_until > now for file in open_):
        raise Unavailable("Another worker is fetching these files.")
    for file in open_:
        file.status = "processing"
        file.fence += 1
        file.attempts += 1
        file.leased_until = now + LEASE
    message = session.get_one(Message, (session.organization_id, message_id))
    channel = session.get_one(Channel, (session.organization_id, message.channel_id))
    # Those that time did not suffice for come first: others may hang as they did before.
    return Job(message, channel, tuple(sorted(open_, key=lambda file: file.attempts)))


def settle(session: TenantSession, job: Job, outcomes: Outcomes, now: datetime) -> None:
    """Store what came of leased files, as far as the lease still holds.

    What could not be had is tried again later, until it is no use.
    """
    held = list(_held(session, job.files))
    for file in held:
        _settle(file, outcomes.get(file.id))
    later = [file for file in held if file.status == "pending"]
    if later:
        _promise(session, job.message.id, now + min(_waits(later, outcomes)))
    settled = [file for file in held if file.status != "pending"]
    events = [_settled(file) for file in settled]
    audit.append(session, job.message.conversation_id, events, now)


def _held(session: TenantSession, leased: Collection[Attachment]) -> Iterator[Attachment]:
    fences = {file.id: file.fence for file in leased}
    for file in _locked(session, Attachment.id.in_(fences)):
        if file.status == "processing" and file.fence == fences[file.id]:
            yield file


def _locked(session: TenantSession, wanted: Any) -> Sequence[Attachment]:
    return session.scalars(
        select(Attachment)
        .where(Attachment.organization_id == session.organization_id)
        .where(wanted)
        .order_by(Attachment.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def _settle(file: Attachment, outcome: Kept | Missed | None) -> None:
    file.leased_until = None
    if isinstance(outcome, Kept):
        keeping.note(file, outcome)
    elif outcome is None:
        file.status = "pending"
        file.attempts -= 1
    else:
        file.status = "failed" if outcome.is_final(file.attempts) else "pending"
        file.reason = outcome.reason


def _waits(files: Collection[Attachment], outcomes: Outcomes) -> Iterator[timedelta]:
    for file in files:
        outcome = outcomes.get(file.id)
        asked = outcome.retry_after if isinstance(outcome, Missed) else None
        yield backoff(file.attempts, asked) if outcome else timedelta(0)


def _settled(file: Attachment) -> audit.Event:
    return audit.Event(
        f"attachment.{file.status}",
        audit.SYSTEM,
        {
            "attachment_id": str(file.id),
            "message_id": str(file.message_id),
            "mime_type": file.mime_type,
            "size_bytes": file.size_bytes,
            "reason": file.reason,
        },
    )
