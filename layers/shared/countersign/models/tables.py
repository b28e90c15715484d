"""Tables of the models room."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from countersign.platform.columns import Tenant, bigint, created, word
from countersign.platform.db import Table
from countersign.platform.ids import new_id

UsageKind = Literal["chat", "embedding"]


class EmbeddingSpace(Table):
    """Vectors of one provider, model and length: comparable with each other and with no others."""

    __tablename__ = "embedding_spaces"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    provider: Mapped[str]
    model: Mapped[str]
    dimensions: Mapped[int]
    created_at: Mapped[datetime] = created()


class ModelUsage(Tenant, Table):
    """What one model call cost, in millionths of a US dollar."""

    __tablename__ = "model_usage"

    kind: Mapped[UsageKind] = word()
    model_key: Mapped[str]
    prompt_version: Mapped[str | None]
    subject_id: Mapped[UUID | None]
    input_tokens: Mapped[int]
    output_tokens: Mapped[int]
    cost_microusd: Mapped[int] = bigint()
    created_at: Mapped[datetime] = created()
