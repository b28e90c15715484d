"""Tables of the platform room but the outbox's, which stands in `outbox.py`: each of these is used
by one function or two, and a function maps only what it uses.

Mapped tables declare no foreign keys: those stand in the migrations alone, for the same reason
(docs/adr/0003-foreign-keys-in-migrations.md).
"""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from countersign.platform.columns import Tenant, created, json, timestamp, word
from countersign.platform.db import Table
from countersign.platform.outbox import OutboxRow

__all__ = ["AuditCheckpoint", "AuditEvent", "IdempotencyKey", "JobRun", "OutboxRow"]

JobType = Literal["crawl", "index", "re_embed", "ingest_goldens", "corrections_sync"]
JobStatus = Literal["queued", "running", "succeeded", "failed"]


class AuditEvent(Table):
    """One link of a stream's hash chain; never changed, never deleted (docs/audit.md)."""

    __tablename__ = "audit_events"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    stream_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    type: Mapped[str]
    occurred_at: Mapped[datetime] = timestamp()
    canonical_text: Mapped[str]
    hash: Mapped[str]


class AuditCheckpoint(Table):
    """Where the heads of an organization's streams of one day were put, outside the database."""

    __tablename__ = "audit_checkpoints"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    object_key: Mapped[str]
    streams: Mapped[int]
    sha256: Mapped[str]
    created_at: Mapped[datetime] = created()


class JobRun(Tenant, Table):
    """A run of a background job (seed: JobRun); whoever works on it holds its `fence`."""

    __tablename__ = "job_runs"

    type: Mapped[JobType] = word()
    status: Mapped[JobStatus] = word(server_default="queued")
    fence: Mapped[int] = mapped_column(server_default="0")
    attempts: Mapped[int] = mapped_column(server_default="0")
    leased_until: Mapped[datetime | None] = timestamp()
    started_at: Mapped[datetime | None] = timestamp()
    finished_at: Mapped[datetime | None] = timestamp()
    error: Mapped[str | None]
    metrics: Mapped[dict[str, Any] | None] = json()
    created_at: Mapped[datetime] = created()


class IdempotencyKey(Table):
    """The answer that a POST with this `Idempotency-Key` got, kept in its own transaction."""

    __tablename__ = "idempotency_keys"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    status: Mapped[int | None]
    response: Mapped[str | None]
    created_at: Mapped[datetime] = created()
