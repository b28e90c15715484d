"""Embedding spaces: which vectors may be compared, and by which model an organization's are made.

An organization is searched in one space, its own, until a job has moved it to another as a whole
(docs/adr/0015-an-organization-moves-as-a-whole.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from countersign.models.schemas import EmbeddingModel
from countersign.models.tables import EmbeddingSpace
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id

_OWN = text(
    """
    SELECT s.id, s.provider, s.model, s.dimensions
    FROM organization_settings o JOIN embedding_spaces s ON s.id = o.embedding_space_id
    WHERE o.organization_id = :organization_id
    """
)
_BEGIN_IN = text(
    """
    UPDATE organization_settings SET embedding_space_id = :space
    WHERE organization_id = :organization_id AND embedding_space_id IS NULL
    """
)
_LOCK = text("SELECT FROM organization_settings WHERE organization_id = :organization_id FOR SHARE")
_LOCK_ALONE = text(
    "SELECT FROM organization_settings WHERE organization_id = :organization_id FOR UPDATE"
)
_SWITCH = text(
    """
    UPDATE organization_settings SET embedding_space_id = :space
    WHERE organization_id = :organization_id
    """
)


def space_of(session: Session, model: EmbeddingModel) -> UUID:
    """The id of the space that `model` embeds into, made if it is new."""
    key = {"provider": model.provider, "model": model.model, "dimensions": model.dimensions}
    new = insert(EmbeddingSpace).values(id=new_id(), **key).on_conflict_do_nothing()
    known = select(EmbeddingSpace.id).filter_by(**key)
    found = session.scalar(known)
    if found is None:
        session.execute(new)
        found = session.scalar(known)
    assert found is not None
    return found


@dataclass(frozen=True)
class Encoder:
    """A model, and the space that it embeds into."""

    model: EmbeddingModel
    space: UUID


class Encoders:
    """The models that are configured: first the one that organizations are to have, then the one
    that they come from."""

    def __init__(self, *models: EmbeddingModel) -> None:
        self._models = models

    def target(self, session: TenantSession) -> Encoder:
        """The one that organizations are to have."""
        return Encoder(self._models[0], space_of(session, self._models[0]))

    def of(self, session: TenantSession) -> Encoder:
        """The one that the organization's own space is of.

        The one that it is to have where it has no space yet, or one whose model is not configured
        any more: no question can be embedded for that.
        """
        own = _own(session)
        for model in self._models:
            if own and (model.provider, model.model, model.dimensions) == tuple(own[1:]):
                return Encoder(model, own.id)
        return self.target(session)

    def hold(self, session: TenantSession, encoder: Encoder) -> bool:
        """Whether `encoder` is the organization's own still; if so, until the transaction ends.

        Whoever keeps vectors asks this first, so that none of the old space comes after the move.
        """
        own = {"organization_id": session.organization_id}
        session.execute(_BEGIN_IN, {**own, "space": encoder.space})
        session.execute(_LOCK, own)
        return self.of(session) == encoder


def own(session: TenantSession) -> UUID | None:
    """The id of the space that the organization is searched in, if it has one yet."""
    found = _own(session)
    return found.id if found else None


def _own(session: TenantSession) -> Row[Any] | None:
    return session.execute(_OWN, {"organization_id": session.organization_id}).one_or_none()


def lock(session: TenantSession) -> None:
    """Let nobody keep vectors of the organization until the transaction ends."""
    session.execute(_LOCK_ALONE, {"organization_id": session.organization_id})


def switch(session: TenantSession, space: UUID) -> None:
    """Let the organization be searched in `space` from this transaction's commit on."""
    session.execute(_SWITCH, {"organization_id": session.organization_id, "space": space})
