"""The languages that texts are stemmed by, and which of them a tenant has."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import text

from countersign.platform.db import TenantSession

Language = Literal[
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french",
    "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian",
    "nepali", "norwegian", "portuguese", "romanian", "russian", "serbian", "simple", "spanish",
    "swedish", "tamil", "turkish", "yiddish",
]  # fmt: skip
"""Text-search configurations of PostgreSQL 16; `simple` stems no words."""

# From one language to the next in the index: there are few, of many texts.
_THOSE = """
WITH RECURSIVE found AS (
    SELECT min(language) AS language FROM {table}
    WHERE organization_id = :organization_id AND {condition}
    UNION ALL
    SELECT (SELECT min(t.language) FROM {table} t
            WHERE t.organization_id = :organization_id AND {condition}
                AND t.language > found.language)
    FROM found WHERE found.language IS NOT NULL
)
SELECT language FROM found WHERE language IS NOT NULL
"""


def of_documents(session: TenantSession) -> list[str]:
    """What the organization's documents are written in."""
    return _those(session, "documents", "deleted_at IS NULL")


def of_messages(session: TenantSession) -> list[str]:
    """What was written in its conversations."""
    return _those(session, "messages", "true")


def _those(session: TenantSession, table: str, condition: str) -> list[str]:
    statement = text(_THOSE.format(table=table, condition=condition))
    return list(session.scalars(statement, {"organization_id": session.organization_id}))
