"""Daily checkpoints: the heads of the streams, put where the database's owner cannot change them.

They make a cut-off tail of a stream visible (docs/audit.md).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from countersign.platform import audit, storage
from countersign.platform.db import Database
from countersign.platform.errors import Unavailable
from countersign.platform.log import logger
from countersign.platform.tables import AuditCheckpoint

_DUE = text(
    """
    SELECT o.id, newest.day
    FROM organizations o
    LEFT JOIN LATERAL (
        SELECT day FROM audit_checkpoints
        WHERE organization_id = o.id
        ORDER BY day DESC LIMIT 1) AS newest ON true
    WHERE newest.day IS NULL OR newest.day < :day
    """
)


def take(database: Database, bucket: str, now: datetime) -> int:
    """Put one file an organization into `bucket` for yesterday, where that was not done yet.

    Each holds the heads of the streams that changed since the one before. Doing it twice writes the
    same object again, into a versioned bucket. Returns how many files were put.

    Raises `Unavailable` at the end if one or more failed: the others' are put all the same.
    """
    day = now.date() - timedelta(days=1)
    with database.system() as session:
        due = session.execute(_DUE, {"day": day}).all()
    failed = 0
    for organization_id, newest in due:
        try:
            _take_one(database, bucket, organization_id, newest, day, now)
        except Exception:
            failed += 1
            logger.exception("no checkpoint", organization_id=str(organization_id), day=str(day))
    if failed:
        raise Unavailable(f"{failed} of {len(due)} checkpoints of {day} were not taken; see above.")
    return len(due)


def _take_one(
    database: Database,
    bucket: str,
    organization_id: UUID,
    newest: date | None,
    day: date,
    now: datetime,
) -> None:
    since = datetime.combine(newest or date(2000, 1, 1), time(), UTC)
    with database.system() as session:
        heads = audit.heads(session, organization_id, since)
    row = _put(bucket, day, organization_id, heads, now)
    with database.system() as session:
        session.execute(insert(AuditCheckpoint).values(row).on_conflict_do_nothing())


def _put(
    bucket: str, day: date, organization_id: UUID, heads: list[audit.Head], now: datetime
) -> dict[str, object]:
    content = "".join(audit.checkpoint_lines(heads, now)).encode()
    key = f"checkpoints/{organization_id}/{day}.jsonl"
    storage.put(bucket, key, content)
    return {
        "organization_id": organization_id,
        "day": day,
        "object_key": key,
        "streams": len(heads),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
