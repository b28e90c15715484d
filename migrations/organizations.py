"""Making an organization and what belongs to it, as `app_owner`: what is there stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from countersign.channels import keys
from countersign.channels.providers import provider_module
from countersign.channels.tables import Channel
from countersign.identity import api_keys
from countersign.identity.api_keys import SCOPES
from countersign.identity.tables import (
    ApiKey,
    Organization,
    OrganizationMembership,
    OrganizationSettings,
    Role,
    User,
)
from countersign.platform.db import enter
from countersign.platform.errors import Conflict
from countersign.platform.ids import new_id
from migrations.events import ChannelGiven, OrganizationGiven, PersonGiven

KEY_LIFETIME = timedelta(days=365)


@dataclass(frozen=True)
class Addressing:
    """How a channel's webhook and its secret are named; `public_url` is empty where not known."""

    mac_key: str
    secrets_prefix: str
    public_url: str


def organization(session: Session, given: OrganizationGiven) -> UUID:
    """The organization with that slug, and its settings; made if new."""
    new = insert(Organization).values(id=new_id(), slug=given.slug, name=given.name)
    session.execute(new.on_conflict_do_nothing(constraint="uq_organizations_slug"))
    found = session.scalars(select(Organization.id).where(Organization.slug == given.slug)).one()
    settings = insert(OrganizationSettings).values(organization_id=found)
    session.execute(settings.on_conflict_do_nothing())
    return found


def member(session: Session, organization_id: UUID, given: PersonGiven, role: Role) -> UUID:
    """The user with that address, a member of the organization; made if new.

    Raises `Conflict` if the membership has ended: whoever ended it may restore it.
    """
    new = insert(User).values(id=new_id(), email=given.email, display_name=given.display_name)
    session.execute(new.on_conflict_do_nothing(constraint="uq_users_email"))
    user_id = session.scalars(select(User.id).where(User.email == given.email)).one()
    joined = insert(OrganizationMembership).values(
        organization_id=organization_id, user_id=user_id, role=role
    )
    session.execute(joined.on_conflict_do_nothing())
    if session.get_one(OrganizationMembership, (organization_id, user_id)).ended_at:
        raise Conflict(f"The membership of {given.email} has ended; name another person.")
    return user_id


def channel(session: Session, organization_id: UUID, given: ChannelGiven) -> Channel:
    """The organization's channel of that type and address; made if new.

    Raises `Conflict` if it is there with another provider, whose key would not fit, or if its mail
    is another channel's.
    """
    new = insert(Channel).values(organization_id=organization_id, id=new_id(), **dict(given))
    session.execute(new.on_conflict_do_nothing())
    found = session.scalars(
        select(Channel)
        .where(Channel.organization_id == organization_id)
        .where(Channel.type == given.type)
        .where(Channel.external_id == given.external_id)
    ).one_or_none()
    if found is None:
        raise Conflict(f"The mail of {given.external_id} is another channel's already.")
    if found.provider != given.provider:
        raise Conflict(f"{given.external_id} is a channel of {found.provider} already.")
    return found


def described(made: Channel, addressing: Addressing) -> dict[str, object]:
    """What must be known to connect `made` with its provider."""
    named = keys.ChannelKey(made.provider, made.id, made.organization_id)
    key = keys.make(named, addressing.mac_key)
    path = f"/webhooks/{key}"
    return {
        "channel_id": str(made.id),
        "type": made.type,
        "provider": made.provider,
        "external_id": made.external_id,
        "name": made.name,
        "channel_key": key,
        "webhook_path": path,
        "webhook_url": addressing.public_url + path if addressing.public_url else None,
        "secret_name": f"{addressing.secrets_prefix}{made.id}",
        "secret_holds": dict(provider_module(made.provider).CREDENTIALS),
    }


def has_key(session: Session, organization_id: UUID, name: str, now: datetime) -> bool:
    """Whether the organization has a valid API key of that name."""
    valid = (
        select(ApiKey.id)
        .where(ApiKey.organization_id == organization_id, ApiKey.name == name)
        .where(ApiKey.revoked_at.is_(None), ApiKey.expires_at > now)
    )
    return session.scalar(valid.limit(1)) is not None


def replace_key(
    session: Session, organization_id: UUID, user_id: UUID, name: str, now: datetime
) -> str:
    """A new API key with all scopes, bound to a user; older ones of that name are revoked."""
    tenant = enter(session, organization_id)
    api_keys.revoke(tenant, name, now)
    return api_keys.issue(tenant, user_id, name, SCOPES, now + KEY_LIFETIME, now)
