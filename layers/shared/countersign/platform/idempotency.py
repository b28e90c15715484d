"""`Idempotency-Key`: a POST that is sent again takes effect once and is answered alike.

The key's row is the first of the request's own transaction: a second request at the same time waits
on the unique key until the first has committed or failed, and a request that failed leaves no row,
so it may be tried again. draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from countersign.platform import http
from countersign.platform.db import TenantSession
from countersign.platform.errors import Invalid
from countersign.platform.tables import IdempotencyKey

KEPT = timedelta(days=2)
"""How long at least an answer can be had again."""
PATTERN = r"^[\x21-\x7e]{1,255}$"


class KeyReused(Invalid):
    """This Idempotency-Key came with another request before; take a new key for a new request."""

    code = "idempotency-key-reused"


def check(key: str) -> None:
    """Raises `Invalid` for what no client should take for a key."""
    if not re.fullmatch(PATTERN, key):
        wrong = {"where": "header.Idempotency-Key", "what": "1 to 255 visible ASCII characters"}
        raise Invalid("The Idempotency-Key is not of the form that is asked for.", errors=[wrong])


def begin(
    session: TenantSession, api_key_id: UUID, key: str, request_hash: bytes
) -> http.Response | None:
    """Take `key` for a request, or return the answer that the same request got before.

    Waits while another transaction holds the key. Raises `KeyReused` if the request was another.
    """
    row = insert(IdempotencyKey).values(
        organization_id=session.organization_id,
        api_key_id=api_key_id,
        key=key,
        request_hash=request_hash,
    )
    taken = row.on_conflict_do_nothing().returning(IdempotencyKey.key)
    if session.scalar(taken):
        return None
    before = session.get_one(IdempotencyKey, (session.organization_id, api_key_id, key))
    if before.request_hash != request_hash:
        raise KeyReused
    answer = http.response(before.status or 200, before.response)
    answer["headers"]["idempotent-replayed"] = "true"
    return answer


def forget(session: Session, now: datetime) -> None:
    """Let go of the answers that nobody asks for any more; for the relay's role."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - KEPT))


def settle(session: TenantSession, api_key_id: UUID, key: str, answer: http.Response) -> None:
    """Keep the answer that the request of `key` gets in this transaction."""
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.organization_id == session.organization_id)
        .where(IdempotencyKey.api_key_id == api_key_id)
        .where(IdempotencyKey.key == key)
        .values(status=answer["statusCode"], response=answer["body"])
    )
