"""Sample data: two tenants with people, channels, articles and conversations.

Writing it again adds what is missing, brings changed articles up to date and makes new API keys.
The rows of the path come from the product's own functions, entered as `app_rw`, so that policies,
the record and the ledger are as real as those of any message.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import update

from countersign.identity.api_keys import SCOPES, Principal
from countersign.identity.tables import OrganizationSettings
from countersign.models import EmbeddingModel
from countersign.platform.db import Database
from migrations import organizations
from migrations.events import Sample
from migrations.organizations import Addressing
from migrations.sample import conversations, knowledge
from migrations.sample.tenants import TENANTS, Tenant

KEY_NAME = "local"


@dataclass(frozen=True)
class Means:
    """What writing needs: the database as `app_owner` and as `app_rw`, and how channels are named.

    Without `embedding` no article can be found by its meaning.
    """

    owner: Database
    rw: Database
    addressing: Addressing
    embedding: EmbeddingModel | None


@dataclass(frozen=True)
class _Made:
    """A tenant's rows: its answer so far, and who decides on its drafts."""

    answer: dict[str, object]
    principal: Principal
    channels: dict[str, UUID]


def write(means: Means, asked: Sample, now: datetime) -> dict[str, object]:
    """Write the sample data of every tenant; returns what is needed to send and to decide.

    Each tenant's "api_key" is a new one, bound to its agent; that of the run before is revoked.
    Raises the errors of `models.errors`; then writing again goes on where it stopped.
    """
    return {"tenants": [_write(means, tenant, asked, now) for tenant in TENANTS]}


def _write(means: Means, tenant: Tenant, asked: Sample, now: datetime) -> dict[str, object]:
    made = _found(means, tenant, asked, now)
    organization_id = made.principal.organization_id
    articles = knowledge.write(means.rw, organization_id, tenant, now)
    for each in tenant.conversations:
        source_url = knowledge.article_url(tenant, each.article)
        channel_id = made.channels[each.channel]
        conversations.write(means.rw, made.principal, channel_id, each, source_url, now)
    if means.embedding:
        knowledge.embed(means.rw, organization_id, means.embedding, now)
    return {**made.answer, "articles": articles, "embedded": means.embedding is not None}


def _found(means: Means, tenant: Tenant, asked: Sample, now: datetime) -> _Made:
    with means.owner.system() as session:
        organization_id = organizations.organization(session, tenant.organization)
        options = asked.model_dump(exclude={"action"}, exclude_none=True)
        if options:
            mine = OrganizationSettings.organization_id == organization_id
            session.execute(update(OrganizationSettings).where(mine).values(**options))
        users = {
            role: organizations.member(session, organization_id, person, role)
            for role, person in tenant.people
        }
        channels = [
            organizations.channel(session, organization_id, given) for given in tenant.channels
        ]
        agent = users["agent"]
        key = organizations.replace_key(session, organization_id, agent, KEY_NAME, now)
        answer: dict[str, object] = {
            "slug": tenant.organization.slug,
            "name": tenant.organization.name,
            "organization_id": str(organization_id),
            "api_key": key,
            "user_id": str(agent),
            "users": [
                {"role": role, "email": person.email, "user_id": str(users[role])}
                for role, person in tenant.people
            ],
            "channels": [
                organizations.described(channel, means.addressing) for channel in channels
            ],
        }
        key_id = UUID(key.split("_")[1])
        principal = Principal(organization_id, key_id, agent, frozenset(SCOPES))
        return _Made(answer, principal, {channel.type: channel.id for channel in channels})
