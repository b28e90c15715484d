"""What tables are made of: kinds of columns, and the two that begin every tenant table.

No room's `tables.py` postpones its annotations: SQLAlchemy would parse the text of each at every
start.
"""

from typing import Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, CITEXT, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from countersign.platform.ids import new_id

ProcessingStatus: TypeAlias = Literal["pending", "processing", "completed", "failed"]
"""What has become of something that is being worked on apart (seeds: ProcessingStatus)."""


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
