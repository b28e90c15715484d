"""What model calls have cost an organization, and that they have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from countersign.models.errors import ModelError
from countersign.models.schemas import EmbeddingModel, Embeddings, Purpose
from countersign.models.tables import ModelUsage
from countersign.models.tokens import cost
from countersign.platform.db import Database, TenantSession


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


def embed(
    database: Database,
    organization_id: UUID,
    model: EmbeddingModel,
    texts: Sequence[str],
    *,
    purpose: Purpose = "document",
    subject_id: UUID | None = None,
) -> Embeddings:
    """The vectors of texts. What the call has cost is noted, whatever became of it.

    To be called outside any transaction. Raises what `EmbeddingModel.embed` does.
    """
    try:
        embedded = model.embed(texts, purpose=purpose)
    except ModelError as error:
        _note(database, organization_id, model, error.input_tokens, subject_id)
        raise
    _note(database, organization_id, model, embedded.input_tokens, subject_id)
    return embedded


def _note(
    database: Database,
    organization_id: UUID,
    model: EmbeddingModel,
    tokens: int,
    subject_id: UUID | None,
) -> None:
    usage = ModelUsage(
        organization_id=organization_id,
        kind="embedding",
        model_key=f"{model.provider}/{model.model}",
        subject_id=subject_id,
        input_tokens=tokens,
        output_tokens=0,
        cost_microusd=cost(tokens, model.price),
    )
    if tokens:
        with database.tenant(organization_id) as session:
            session.add(usage)
