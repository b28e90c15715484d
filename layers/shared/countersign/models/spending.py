"""What models cost an organization."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from countersign.models.tables import ModelUsage
from countersign.platform.db import TenantSession


def spent_today(session: TenantSession, now: datetime) -> int:
    """What model calls have cost since midnight (UTC), in millionths of a US dollar."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    spent = session.scalar(
        select(func.coalesce(func.sum(ModelUsage.cost_microusd), 0))
        .where(ModelUsage.organization_id == session.organization_id)
        .where(ModelUsage.created_at >= midnight)
    )
    return int(spent or 0)
