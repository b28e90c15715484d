"""Who takes part in a conversation: whose answers find it by what they answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy.dialects.postgresql import insert

from countersign.conversations.tables import Conversation, Participant, ParticipantRole
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id


class Participation(NamedTuple):
    """Someone, in a conversation."""

    conversation: Conversation
    role: ParticipantRole
    address: str
    name: str | None


def take_part(session: TenantSession, new: Iterable[Participation]) -> None:
    """Let them take part from now on; who does already keeps the role that they have."""
    rows = [
        {
            "organization_id": session.organization_id,
            "id": new_id(),
            "conversation_id": one.conversation.id,
            "role": one.role,
            "address": one.address,
            "name": one.name,
            "person_id": one.conversation.person_id if one.role == "customer" else None,
        }
        for one in new
    ]
    if rows:
        once = insert(Participant).on_conflict_do_nothing(constraint="uq_participants_address")
        session.execute(once, rows)
