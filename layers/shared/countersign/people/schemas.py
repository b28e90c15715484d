"""Addresses that must not be written to, as the API shows and takes them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from countersign.platform.paging import NextCursor, PageQuery
from countersign.platform.schemas import Answer, Body, Instant

Address = Annotated[
    str,
    Field(
        min_length=1,
        max_length=320,
        pattern=r"^[^\s\x00-\x1f\x7f]+$",
        description="A mail address, in whatever case, a telephone number (E.164), or what else a "
        "channel writes to.",
    ),
]


class Suppression(Answer):
    """An address that must not be written to."""

    id: UUID
    address: str
    reason: Annotated[
        str,
        Field(
            description="`opted_out`: they answered STOP. `unsubscribed`: they took themselves off "
            "by the mail's or the provider's means. `complained`: they called a mail spam. "
            "`bounced`: there is no such mailbox. `by_hand`: somebody said so here."
        ),
    ]
    since: Instant


class Suppressions(Answer):
    """A page of the addresses that must not be written to, the newest first."""

    items: list[Suppression]
    next_cursor: NextCursor


class SuppressionsQuery(PageQuery):
    """Which page, or which address."""

    address: Annotated[Address | None, Field(description="That one alone.")] = None


class Suppress(Body):
    """Whom not to write to any more."""

    address: Address
