"""Finding who an address belongs to, and whether it may be written to."""

from __future__ import annotations

import re
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from countersign.people.tables import Person, Suppression
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id

_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def kind_of(address: str) -> str:
    """The column an address belongs in: `phone` (E.164), `email` or `handle`."""
    if _PHONE.fullmatch(address):
        return "phone"
    return "email" if _EMAIL.fullmatch(address) else "handle"


def bare(address: str) -> str:
    """A provider's address without its scheme: `whatsapp:+15550100` is the phone `+15550100`."""
    scheme, colon, rest = address.partition(":")
    return rest if colon and _PHONE.fullmatch(rest) and scheme.isalpha() else address


def person_at(session: TenantSession, address: str, name: str | None) -> UUID:
    """The id of the person at `address`, made if new; `name` fills only what was unknown."""
    address = bare(address)
    column = kind_of(address)
    new = insert(Person).values(
        organization_id=session.organization_id, id=new_id(), name=name, **{column: address}
    )
    known = new.on_conflict_do_update(
        constraint=f"uq_people_{column}",
        set_={"name": func.coalesce(Person.name, new.excluded.name)},
    )
    return session.execute(known.returning(Person.id)).scalar_one()


def is_suppressed(session: TenantSession, address: str) -> bool:
    """Whether `address` must not be written to."""
    found = session.scalar(
        select(Suppression.id)
        .where(Suppression.organization_id == session.organization_id)
        .where(Suppression.address == bare(address))
    )
    return found is not None


def suppress(session: TenantSession, address: str, reason: str) -> None:
    """Note that `address` must not be written to; the first reason stays."""
    row = insert(Suppression).values(
        organization_id=session.organization_id, id=new_id(), address=bare(address), reason=reason
    )
    session.execute(row.on_conflict_do_nothing(constraint="uq_suppressions_address"))
