"""The addresses that must not be written to, as people read and change them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select

from countersign.identity.api_keys import Principal
from countersign.people import directory, schemas
from countersign.people.tables import Suppression
from countersign.platform import audit, paging
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, NotFound
from countersign.platform.paging import LAST, Position

BY_HAND = "by_hand"
"""The reason of a suppression that somebody of the organization asked for."""


def read(session: TenantSession, query: schemas.SuppressionsQuery) -> schemas.Suppressions:
    """A page, the newest first; `Invalid` for no cursor. Ids tell the order, so that the primary
    key is the index."""
    after = paging.decode(query.cursor) if query.cursor is not None else LAST
    found = (
        select(Suppression)
        .where(Suppression.organization_id == session.organization_id)
        .where(Suppression.id < after.id)
        .order_by(Suppression.id.desc())
        .limit(query.limit + 1)
    )
    if query.address is not None:
        found = found.where(Suppression.address == directory.known_as(query.address))
    rows = session.scalars(found).all()
    page, cursor = paging.cut(rows, query.limit, lambda row: Position(row.created_at, row.id))
    return schemas.Suppressions(items=[_shown(row) for row in page], next_cursor=cursor)


def add(
    session: TenantSession, principal: Principal, address: str, now: datetime
) -> schemas.Suppression:
    """Let `address` not be written to; one that is suppressed already stays as it is."""
    is_new = directory.suppress(session, address, BY_HAND)
    row = session.scalars(
        select(Suppression)
        .where(Suppression.organization_id == session.organization_id)
        .where(Suppression.address == directory.known_as(address))
    ).one()
    if is_new:
        _record(session, principal, "added", row, now)
    return _shown(row)


def lift(session: TenantSession, principal: Principal, suppression_id: UUID, now: datetime) -> None:
    """Let an address be written to again. Raises `Conflict` where only who has it may say so,
    `NotFound` for what is lifted already, `Forbidden` for a key without a person."""
    principal.person  # noqa: B018  only a person may answer for it
    lifted = session.scalars(
        delete(Suppression)
        .where(Suppression.organization_id == session.organization_id)
        .where(Suppression.id == suppression_id)
        .where(Suppression.reason != directory.OPTED_OUT)
        .returning(Suppression)
    ).one_or_none()
    if lifted:
        _record(session, principal, "lifted", lifted, now)
    elif session.get(Suppression, (session.organization_id, suppression_id)):
        raise Conflict("They answered STOP: only they take that back, by START.")
    else:
        raise NotFound("There is no such suppression here; it may be lifted already.")


def _shown(row: Suppression) -> schemas.Suppression:
    return schemas.Suppression(
        id=row.id, address=row.address, reason=row.reason, since=row.created_at
    )


def _record(
    session: TenantSession, principal: Principal, what: str, row: Suppression, now: datetime
) -> None:
    """Note it in the organization's own stream: never the address, but the person if one is known
    by it."""
    person = directory.person_at(session, row.address)
    data = {
        "suppression_id": str(row.id),
        "person_id": str(person) if person else None,
        "reason": row.reason,
        "api_key_id": str(principal.api_key_id),
    }
    event = audit.Event(f"suppression.{what}", principal.actor, data)
    audit.append(session, session.organization_id, [event], now)
