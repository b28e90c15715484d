"""Named sets of documents."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from countersign.knowledge.tables import Dataset, DatasetKind
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict
from countersign.platform.ids import new_id


def add(session: TenantSession, slug: str, name: str, kind: DatasetKind) -> Dataset:
    """A new dataset. Raises `Conflict` with `dataset_id` where one has that slug."""
    new = insert(Dataset).values(
        organization_id=session.organization_id, id=new_id(), slug=slug, name=name, kind=kind
    )
    made = session.scalar(new.on_conflict_do_nothing().returning(Dataset.id))
    found = session.scalars(
        select(Dataset)
        .where(Dataset.organization_id == session.organization_id)
        .where(Dataset.slug == slug)
    ).one()
    if made is None:
        raise Conflict("A dataset with this slug is there.", dataset_id=str(found.id))
    return found
