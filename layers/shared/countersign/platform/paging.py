"""Pages by key: a cursor says where the last page ended, so that rows that come or go move none.

A cursor is opaque to clients, and no secret.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, NamedTuple, TypeVar
from uuid import UUID

from pydantic import Field

from countersign.platform.errors import Invalid
from countersign.platform.schemas import Query

Row = TypeVar("Row")
Limit = Annotated[int, Field(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[
    str,
    Field(max_length=200, description="`next_cursor` of the page before; absent for the first."),
]

NextCursor = Annotated[
    str | None, Field(description="`cursor` of the next page; null after the last.")
]


class Position(NamedTuple):
    """Where a page ends: the moment and the id of its last row."""

    at: datetime
    id: UUID


FIRST = Position(datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))
LAST = Position(datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))


class PageQuery(Query):
    """Which page of a list."""

    limit: Limit = 50
    cursor: Cursor | None = None


def cut(
    rows: Sequence[Row], limit: int, position: Callable[[Row], Position]
) -> tuple[Sequence[Row], str | None]:
    """A page of `rows`, of which one more than `limit` was asked for, and the next one's cursor."""
    page = rows[:limit]
    return page, encode(position(page[-1])) if len(rows) > limit else None


def encode(position: Position) -> str:
    """The cursor of the page after `position`."""
    text = json.dumps([position.at.isoformat(), str(position.id)])
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode(cursor: str) -> Position:
    """The position that a cursor holds. Raises `Invalid` for what is no cursor."""
    try:
        at, id_ = json.loads(base64.b64decode(cursor.encode("ascii"), b"-_", validate=True))
        position = Position(datetime.fromisoformat(at), UUID(id_))
        if not FIRST.at <= position.at <= LAST.at:
            raise ValueError
    except (ValueError, TypeError, AttributeError, RecursionError):
        wrong = {"where": "query.cursor", "what": "Not a cursor that this API gave out."}
        raise Invalid("The cursor is not one that this API gave out.", errors=[wrong]) from None
    return position
