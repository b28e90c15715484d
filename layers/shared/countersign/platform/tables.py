"""Tables of the platform room, and the two columns that begin every tenant table.

Mapped tables declare no foreign keys: those stand in the migrations alone, so that a function maps
only the rooms it uses (docs/adr/0003-foreign-keys-in-migrations.md).

No room's tables postpone their annotations: SQLAlchemy would parse the text of each at every start.
"""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, CITEXT, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from countersign.platform.db import Table
from countersign.platform.ids import new_id

JobType = Literal["crawl", "ingest_goldens", "corrections_sync"]
JobStatus = Literal["queued", "running", "succeeded", "failed"]


def citext(**options: Any) -> Mapped[Any]:
    """A text column that compares without regard to case."""
    return mapped_column(CITEXT, **options)


def timestamp(**options: Any) -> Mapped[Any]:
    """A `timestamptz` column."""
    return mapped_column(DateTime(timezone=True), **options)


def created() -> Mapped[Any]:
    """When the row was made, by the database's clock."""
    return timestamp(server_default=func.now())


def json(name: str | None = None, **options: Any) -> Mapped[Any]:
    """A `jsonb` column; the database refuses more than 64 KB."""
    return mapped_column(name, JSONB, **options)


def word(**options: Any) -> Mapped[Any]:
    """A text column of enumerated values: the database's CHECK holds the same list."""
    return mapped_column(Text, **options)


def words(**options: Any) -> Mapped[Any]:
    """A `text[]` column."""
    return mapped_column(ARRAY(Text), **options)


def blob(**options: Any) -> Mapped[Any]:
    """A `bytea` column."""
    return mapped_column(LargeBinary, **options)


def bigint(**options: Any) -> Mapped[Any]:
    """A 64-bit integer column."""
    return mapped_column(BigInteger, **options)


class Tenant:
    """The key of every tenant table: the organization first, so that every index is led by it."""

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)


class OutboxRow(Tenant, Table):
    """A queue message promised by a committed transaction and not yet known to be published."""

    __tablename__ = "outbox"

    queue: Mapped[str]
    body: Mapped[dict[str, Any]] = json()
    not_before: Mapped[datetime] = timestamp()
    created_at: Mapped[datetime] = created()


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
    """A run of a background job (seed: JobRun)."""

    __tablename__ = "job_runs"

    type: Mapped[JobType] = word()
    status: Mapped[JobStatus] = word(server_default="queued")
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
