"""API keys: `cs_{key id, 32 hex digits}_{secret}`; the database holds the secret's SHA-256 alone.

The secret is 32 random bytes, so a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from countersign.identity.tables import ApiKey
from countersign.platform import audit
from countersign.platform.audit import Actor
from countersign.platform.db import TenantSession
from countersign.platform.errors import Forbidden, Invalid, Unauthenticated
from countersign.platform.ids import new_id

Scope = Literal[
    "conversations:read",
    "conversations:write",
    "drafts:approve",
    "knowledge:read",
    "knowledge:write",
    "search:read",
    "suppressions:read",
    "suppressions:write",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_KEY = re.compile(r"Bearer cs_([0-9a-f]{32})_([\w-]{20,100})", re.ASCII)
_FIND = text("SELECT * FROM find_api_key(:id)")


@dataclass(frozen=True)
class Principal:
    """Who makes a request: a key, and the person it is bound to, if any."""

    organization_id: UUID
    api_key_id: UUID
    user_id: UUID | None
    scopes: frozenset[str]

    @property
    def actor(self) -> Actor:
        """Who the record names: the person where there is one, else the key."""
        if self.user_id:
            return Actor("user", str(self.user_id))
        return Actor("api_key", str(self.api_key_id))

    @property
    def person(self) -> UUID:
        """The person behind the key. Raises `Forbidden` for a key of a program alone."""
        if self.user_id is None:
            raise Forbidden("Only a person may do this; use a key that is bound to a user.")
        return self.user_id

    def require(self, scope: Scope) -> None:
        """Raises `Forbidden` unless the key has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"This key lacks the scope {scope}.")


def authenticate(session: Session, authorization: str | None, now: datetime) -> Principal:
    """The sender that an `Authorization: Bearer` header proves. Raises `Unauthenticated`.

    An unknown key and a wrong secret get the same answer.
    """
    match = _KEY.fullmatch(authorization or "")
    if not match:
        raise Unauthenticated("Send your API key in the header: Authorization: Bearer cs_….")
    key_id = UUID(match[1])
    found = session.execute(_FIND, {"id": key_id}).first()
    expected = found.secret_hash if found else bytes(32)
    if not hmac.compare_digest(_hash(match[2]), expected) or found is None:
        raise Unauthenticated("This API key is not known here.")
    if found.revoked_at or found.membership_ended_at:
        raise Unauthenticated("This API key has been revoked; make a new one.")
    if found.expires_at <= now:
        raise Unauthenticated("This API key has expired; make a new one.")
    return Principal(found.organization_id, key_id, found.user_id, frozenset(found.scopes))


def issue(
    session: TenantSession,
    user_id: UUID | None,
    name: str,
    scopes: Sequence[Scope],
    expires_at: datetime,
    now: datetime,
) -> str:
    """Make a key of the session's organization; returns its text, which is shown this once.

    Run as the schema's owner. Raises `Invalid` for an unknown scope, or one that needs a person
    where there is none.
    """
    if unknown := set(scopes) - set(SCOPES):
        raise Invalid(f"There is no scope {', '.join(sorted(unknown))}; choose of {SCOPES}.")
    if "drafts:approve" in scopes and user_id is None:
        raise Invalid("A key with the scope drafts:approve must be bound to a user.")
    secret = secrets.token_urlsafe(32)
    key = ApiKey(
        organization_id=session.organization_id,
        id=new_id(),
        user_id=user_id,
        name=name,
        secret_hash=_hash(secret),
        scopes=list(scopes),
        expires_at=expires_at,
    )
    session.add(key)
    _record(session, [key], "issued", now)
    return f"cs_{key.id.hex}_{secret}"


def revoke(session: TenantSession, name: str, now: datetime) -> None:
    """Revoke the organization's keys of that name. Run as the schema's owner."""
    revoked = session.scalars(
        update(ApiKey)
        .where(ApiKey.organization_id == session.organization_id, ApiKey.name == name)
        .where(ApiKey.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(ApiKey)
    )
    _record(session, revoked, "revoked", now)


def _record(session: TenantSession, keys: Iterable[ApiKey], what: str, now: datetime) -> None:
    """Note in the organization's own stream what became of keys."""
    events = [
        audit.Event(
            f"api_key.{what}",
            audit.SYSTEM,
            {
                "api_key_id": str(key.id),
                "name": key.name,
                "user_id": str(key.user_id) if key.user_id else None,
                "scopes": key.scopes,
                "expires_at": key.expires_at.astimezone(UTC).isoformat(),
            },
        )
        for key in keys
    ]
    audit.append(session, session.organization_id, events, now)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
