"""How long a text may be that goes out by a channel: known before a person approves it."""

from __future__ import annotations

from uuid import UUID

from countersign.channels.providers import provider_module
from countersign.channels.tables import Channel
from countersign.platform.db import TenantSession
from countersign.platform.errors import Invalid


def most_characters(session: TenantSession, channel_id: UUID) -> int:
    """The most that the channel's provider takes in a message, in code points."""
    channel = session.get_one(Channel, (session.organization_id, channel_id))
    return provider_module(channel.provider).MOST_CHARACTERS


def check(session: TenantSession, channel_id: UUID, text: str, where: str) -> None:
    """Raise `Invalid`, whose `errors` name `where`, if the channel does not take so long a text."""
    most = most_characters(session, channel_id)
    if len(text) > most:
        what = f"Has {len(text)} characters; the channel takes {most}"
        raise Invalid(
            f"The text has {len(text)} characters, and its channel takes {most}: shorten it.",
            errors=[{"where": where, "what": what}],
        )
