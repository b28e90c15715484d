"""The first organization, so that somebody can enter at all."""

from __future__ import annotations

from datetime import datetime

from countersign.platform.db import Database
from migrations import organizations
from migrations.events import Bootstrap
from migrations.organizations import Addressing

KEY_NAME = "bootstrap"


def found(
    owner: Database, asked: Bootstrap, addressing: Addressing, now: datetime
) -> dict[str, object]:
    """Make the organization, its admin, channel and API key that are `asked` for, where missing.

    `owner` enters as `app_owner`. Returns their ids and how to connect the channel; "api_key" is
    the key's text when it was made by this call, else None. Raises `Conflict`.
    """
    with owner.system() as session:
        organization_id = organizations.organization(session, asked.organization)
        user_id = organizations.member(session, organization_id, asked.admin, "admin")
        channel = organizations.channel(session, organization_id, asked.channel)
        key = None
        if asked.new_key or not organizations.has_key(session, organization_id, KEY_NAME, now):
            key = organizations.replace_key(session, organization_id, user_id, KEY_NAME, now)
        return {
            "organization_id": str(organization_id),
            "user_id": str(user_id),
            "channel": organizations.described(channel, addressing),
            "api_key": key,
        }
