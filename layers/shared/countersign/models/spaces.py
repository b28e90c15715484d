"""Embedding spaces: which vectors may be compared."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from countersign.models.schemas import EmbeddingModel
from countersign.models.tables import EmbeddingSpace
from countersign.platform.ids import new_id


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
