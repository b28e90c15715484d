"""What model calls have cost an organization, and that they have."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from countersign.models.schemas import EmbeddingModel
from countersign.models.tables import ModelUsage
from countersign.models.tokens import cost
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id


def spent_today(session: TenantSession, now: datetime) -> int:
    """What the organization's model calls have cost since midnight, in millionths of a US dollar.

    `now` is in UTC, and so is the midnight.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    spent = session.scalar(
        select(func.coalesce(func.sum(ModelUsage.cost_microusd), 0))
        .where(ModelUsage.organization_id == session.organization_id)
        .where(ModelUsage.created_at >= midnight)
    )
    return int(spent or 0)


def note_embedding(
    session: TenantSession,
    model: EmbeddingModel,
    tokens: int,
    price: float,
    subject_id: UUID | None = None,
) -> None:
    """Note that texts of `tokens` were embedded, at `price` US dollars per million tokens."""
    session.add(
        ModelUsage(
            organization_id=session.organization_id,
            id=new_id(),
            kind="embedding",
            model_key=f"{model.provider}/{model.model}",
            subject_id=subject_id,
            input_tokens=tokens,
            output_tokens=0,
            cost_microusd=cost(tokens, price),
        )
    )
