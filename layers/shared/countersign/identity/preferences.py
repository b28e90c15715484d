"""How an organization wants to work.

It maps no tables: every message asks for this, and nearly none for the room's other tables, which
a start would map with it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import text

from countersign.platform.db import TenantSession

_SETTINGS = text(
    """
    SELECT undo_seconds, debounce_seconds, daily_model_budget_microusd FROM organization_settings
    WHERE organization_id = :organization_id
    """
)


class Preferences(NamedTuple):
    """How long we wait before a reply goes out and before a draft is begun; what models may cost
    in a day, in millionths of a US dollar."""

    undo: timedelta
    debounce: timedelta
    daily_model_budget_microusd: int


def preferences(session: TenantSession) -> Preferences:
    """Those of the session's organization; every organization has them."""
    found = session.execute(_SETTINGS, {"organization_id": session.organization_id}).one()
    undo, debounce = (timedelta(seconds=seconds) for seconds in found[:2])
    return Preferences(undo, debounce, found.daily_model_budget_microusd)
