"""What an organization may spend on models in a day."""

from __future__ import annotations

from datetime import datetime, timedelta

from countersign.identity.preferences import preferences
from countersign.models.spending import spent_today
from countersign.platform.db import TenantSession


def may_spend(session: TenantSession, now: datetime) -> bool:
    """Whether the organization's models have cost less today than they may."""
    return spent_today(session, now) < preferences(session).daily_model_budget_microusd


def next_day(now: datetime) -> datetime:
    """When there is a new day's budget (UTC)."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
