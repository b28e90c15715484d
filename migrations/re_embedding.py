"""Letting every organization move to the embedding model that is configured."""

from __future__ import annotations

from sqlalchemy import select

from countersign.identity.tables import Organization
from countersign.knowledge import moving
from countersign.platform.db import Database


def begin(owner: Database) -> dict[str, list[str]]:
    """Start a job for each organization; the relay's next sweep puts them into their queue.

    `owner` enters as `app_owner`. Returns the ids of the job runs, also of those under way already.
    """
    with owner.system() as session:
        organizations = session.scalars(select(Organization.id).order_by(Organization.id)).all()
    started = []
    for organization_id in organizations:
        with owner.tenant(organization_id) as session:
            started.append(str(moving.begin(session).id))
    return {"job_runs": started}
