"""Which organizations have documents that are to be fetched again: for the sweeper, which maps no
table of theirs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

_DUE = text("SELECT organization_id FROM find_refreshes(:moment)")


def organizations(session: Session, now: datetime) -> list[UUID]:
    """Those with a document that is due."""
    return list(session.scalars(_DUE, {"moment": now}))
