"""The names of an organization's people, for those who read what they did."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

from pydantic import Field
from sqlalchemy import select

from countersign.identity.tables import User
from countersign.platform.db import TenantSession
from countersign.platform.schemas import Answer


class Member(Answer):
    """Someone of the organization."""

    id: UUID
    name: Annotated[str, Field(description="As it is shown to colleagues.")]


def members(session: TenantSession, ids: Iterable[UUID | None]) -> dict[UUID, Member]:
    """The people of those ids, also the ones who have left; others are not found.

    `users` belongs to no organization: its policy shows each one its own members.
    """
    wanted = {id_ for id_ in ids if id_}
    if not wanted:
        return {}
    found = session.execute(select(User.id, User.display_name).where(User.id.in_(wanted)))
    return {row.id: Member(id=row.id, name=row.display_name) for row in found}
