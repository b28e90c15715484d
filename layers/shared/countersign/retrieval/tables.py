"""Tables of the retrieval room."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from countersign.platform.columns import created
from countersign.platform.db import Table


class VectorIndex(Table):
    """An index of one tenant's vectors in one space; `corpus` is the table that they are in.

    A row means that the index is there and valid: it is written after the index is made, and
    deleted before the index is dropped.
    """

    __tablename__ = "vector_indexes"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    embedding_space_id: Mapped[UUID] = mapped_column(primary_key=True)
    corpus: Mapped[str] = mapped_column(primary_key=True)
    index_name: Mapped[str]
    rows: Mapped[int]
    created_at: Mapped[datetime] = created()
