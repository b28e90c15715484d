"""Finding who an address belongs to, and whether it may be written to."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import groupby
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from countersign.people.tables import Person, Suppression
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id

OPTED_OUT = "opted_out"
"""The reason of a suppression that the person asked for, and may take back."""

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


def people_at(session: TenantSession, names: Mapping[str, str | None]) -> dict[str, UUID]:
    """The id of the person at each address, made if new; a name fills only what was unknown."""
    # One command may meet a row once, so what is one person's must be one here already.
    people: dict[str, str | None] = {}
    for address, name in sorted(names.items()):
        people[known_as(address)] = people.get(known_as(address)) or name
    found: dict[str, UUID] = {}
    for column, same_kind in groupby(sorted(people, key=kind_of), key=kind_of):
        found |= _known_by(session, column, {address: people[address] for address in same_kind})
    return {address: found[known_as(address)] for address in names}


def known_as(address: str) -> str:
    """What an address is filed under; an e-mail address is the same whatever its case."""
    address = bare(address)
    return address.lower() if kind_of(address) == "email" else address


def _known_by(
    session: TenantSession, column: str, names: Mapping[str, str | None]
) -> dict[str, UUID]:
    new = insert(Person)
    known = new.on_conflict_do_update(
        constraint=f"uq_people_{column}",
        set_={"name": func.coalesce(Person.name, new.excluded.name)},
    ).returning(Person.id, getattr(Person, column))
    rows = [
        {
            "organization_id": session.organization_id,
            "id": new_id(),
            "name": name,
            column: address,
        }
        for address, name in names.items()
    ]
    return {known_as(address): id_ for id_, address in session.execute(known, rows)}


def person_at(session: TenantSession, address: str) -> UUID | None:
    """The id of the person who is known by an address, if one is."""
    column = getattr(Person, kind_of(known_as(address)))
    return session.scalar(
        select(Person.id)
        .where(Person.organization_id == session.organization_id)
        .where(column == known_as(address))
    )


def is_suppressed(session: TenantSession, address: str) -> bool:
    """Whether `address` must not be written to."""
    return address in suppressed(session, [address])


def suppressed(session: TenantSession, addresses: Collection[str]) -> set[str]:
    """Those of `addresses` that must not be written to."""
    filed = {address: known_as(address) for address in addresses}
    found = session.scalars(
        select(Suppression.address)
        .where(Suppression.organization_id == session.organization_id)
        .where(Suppression.address.in_(set(filed.values())))
    )
    rows = set(found)
    return {address for address in addresses if filed[address] in rows}


def suppress(session: TenantSession, address: str, reason: str) -> bool:
    """Note that `address` must not be written to; the first reason stays. Returns whether it is
    news."""
    row = insert(Suppression).values(
        organization_id=session.organization_id,
        id=new_id(),
        address=known_as(address),
        reason=reason,
    )
    once = row.on_conflict_do_nothing(constraint="uq_suppressions_address")
    return session.scalar(once.returning(Suppression.id)) is not None


def opt_in(session: TenantSession, address: str) -> None:
    """Note that who opted out wants to be written to again; any other suppression stays."""
    session.execute(
        delete(Suppression)
        .where(Suppression.organization_id == session.organization_id)
        .where(Suppression.address == known_as(address))
        .where(Suppression.reason == OPTED_OUT)
    )
