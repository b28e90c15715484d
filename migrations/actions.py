"""What the migrations function does for each of its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from countersign.models import EmbeddingSettings, embedding_model
from countersign.platform.db import Database, database
from countersign.platform.errors import Conflict, NotFound
from countersign.platform.secrets import secret
from countersign.platform.settings import DatabaseSettings
from migrations import events, founding, re_embedding, sample, vector_indexes
from migrations.bootstrap import make_roles
from migrations.organizations import Addressing
from migrations.upgrade import check_current, upgrade


@dataclass(frozen=True, kw_only=True)
class Settings(DatabaseSettings, EmbeddingSettings):
    """Enters the database as `app_owner`. Without an embedding model, samples get no vectors."""

    master_secret_id: str
    app_rw_secret_id: str
    app_ro_secret_id: str
    app_system_secret_id: str
    channel_key_secret_id: str
    channel_secrets_prefix: str
    public_url: str = ""
    embedding_provider: str = ""
    embedding_model: str = ""
    embedding_dimensions: int = 0

    def entered_with(self, secret_id: str) -> Database:
        """The database, entered as the role in that secret."""
        return database(replace(self, database_secret_id=secret_id))


def perform(asked: events.Event, settings: Settings) -> dict[str, Any]:
    """Do what is asked; returns what the caller must know. Raises typed errors."""
    return _HANDLERS[type(asked)](asked, settings)


def _roles(asked: events.Roles, settings: Settings) -> dict[str, Any]:
    secret_ids = {
        "app_owner": settings.database_secret_id,
        "app_rw": settings.app_rw_secret_id,
        "app_ro": settings.app_ro_secret_id,
        "app_system": settings.app_system_secret_id,
    }
    return {"roles": make_roles(settings.entered_with(settings.master_secret_id), secret_ids)}


def _upgrade(asked: events.Upgrade, settings: Settings) -> dict[str, Any]:
    if asked.action == "pre":
        _roles(events.Roles(action="roles"), settings)
    with database(settings).engine.connect() as connection:
        return {"revision": upgrade(connection, asked.action)}


def _bootstrap(asked: events.Bootstrap, settings: Settings) -> dict[str, Any]:
    owner = _upgraded(settings)
    return founding.found(owner, asked, _addressing(settings), datetime.now(UTC))


def _sample(asked: events.Sample, settings: Settings) -> dict[str, Any]:
    means = sample.Means(
        owner=_upgraded(settings),
        rw=settings.entered_with(settings.app_rw_secret_id),
        addressing=_addressing(settings),
        embedding=embedding_model(settings) if settings.embedding_provider else None,
    )
    return sample.write(means, asked, datetime.now(UTC))


def _vector_indexes(asked: events.VectorIndexes, settings: Settings) -> dict[str, Any]:
    return vector_indexes.maintain(_upgraded(settings))


def _re_embed(asked: events.ReEmbed, settings: Settings) -> dict[str, Any]:
    return re_embedding.begin(_upgraded(settings))


def _upgraded(settings: Settings) -> Database:
    """The database as its owner, the schema as this code needs it. Raises `Conflict`."""
    owner = database(settings)
    with owner.engine.connect() as connection:
        check_current(connection)
    return owner


def _addressing(settings: Settings) -> Addressing:
    try:
        mac_key = secret(settings.channel_key_secret_id).current
    except NotFound:
        name = settings.channel_key_secret_id
        raise Conflict(f"The secret {name} is missing; deploy the application first.") from None
    return Addressing(
        mac_key=mac_key,
        secrets_prefix=settings.channel_secrets_prefix,
        public_url=settings.public_url,
    )


_HANDLERS: dict[type, Callable[..., dict[str, Any]]] = {
    events.Roles: _roles,
    events.Upgrade: _upgrade,
    events.Bootstrap: _bootstrap,
    events.Sample: _sample,
    events.VectorIndexes: _vector_indexes,
    events.ReEmbed: _re_embed,
}
