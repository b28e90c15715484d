"""Tables of the identity room. Users and their identities belong to no organization."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from countersign.platform.columns import (
    Tenant,
    bigint,
    blob,
    citext,
    created,
    timestamp,
    word,
    words,
)
from countersign.platform.db import Table
from countersign.platform.ids import new_id

Role = Literal["admin", "agent"]


class Organization(Table):
    """A tenant (seed: Account, Organization)."""

    __tablename__ = "organizations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    slug: Mapped[str] = citext()
    name: Mapped[str]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class OrganizationSettings(Table):
    """How one organization wants to work; every organization has its row."""

    __tablename__ = "organization_settings"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    undo_seconds: Mapped[int] = mapped_column(server_default="10")
    debounce_seconds: Mapped[int] = mapped_column(server_default="5")
    daily_model_budget_microusd: Mapped[int] = bigint(server_default="5000000")
    embedding_space_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class User(Table):
    """A person who can sign in; what they may do comes from their memberships."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = citext()
    display_name: Mapped[str]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class Identity(Table):
    """A user as a sign-in provider knows them (seed: authProvider, authSubject)."""

    __tablename__ = "identities"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID]
    provider: Mapped[str]
    subject: Mapped[str]
    created_at: Mapped[datetime] = created()


class OrganizationMembership(Table):
    """A user's place in an organization; it ends, it is never deleted."""

    __tablename__ = "organization_memberships"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[Role] = word(server_default="agent")
    ended_at: Mapped[datetime | None] = timestamp()
    created_at: Mapped[datetime] = created()


class ApiKey(Tenant, Table):
    """A key of the API; the secret's hash alone is kept."""

    __tablename__ = "api_keys"

    user_id: Mapped[UUID | None]
    name: Mapped[str]
    secret_hash: Mapped[bytes] = blob()
    scopes: Mapped[list[str]] = words()
    expires_at: Mapped[datetime] = timestamp()
    revoked_at: Mapped[datetime | None] = timestamp()
    created_at: Mapped[datetime] = created()
