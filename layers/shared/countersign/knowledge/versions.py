"""Which version of a document counts, asked without searching it.

It maps no tables and knows no vectors: who decides on drafts would start slower for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import text

from countersign.platform.db import TenantSession

_VERSIONS = text(
    """
    SELECT id, version FROM documents
    WHERE organization_id = :organization_id AND id = ANY(CAST(:ids AS uuid[]))
        AND deleted_at IS NULL
    """
)


def versions(session: TenantSession, document_ids: Iterable[UUID]) -> dict[UUID, int]:
    """The current version of each of the documents that still exist."""
    asked = {"organization_id": session.organization_id, "ids": list(document_ids)}
    return {row.id: row.version for row in session.execute(_VERSIONS, asked)}
