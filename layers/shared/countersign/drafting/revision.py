"""The revision token: what a reviewer saw when they decided.

It names the draft's text, the conversation's last message, its recipients and the versions of the
draft's sources, each by a short digest, so that what has changed since can be told by name. It is
no secret and proves nothing: the parts are made anew and compared.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from uuid import UUID

from countersign.conversations import recipients
from countersign.conversations.tables import Conversation
from countersign.drafting.tables import Draft
from countersign.knowledge.versions import versions
from countersign.platform.db import TenantSession
from countersign.platform.errors import Invalid, Stale

_PARTS = ("text", "last_message", "recipients", "sources")


def token(session: TenantSession, conversation: Conversation, draft: Draft) -> str:
    """The revision token of a draft as it is shown, with the versions of sources that it quotes."""
    quoted = {
        UUID(source["document_id"]): int(source["document_version"]) for source in draft.top_sources
    }
    parts = json.dumps(_parts(session, conversation, draft, quoted))
    return base64.urlsafe_b64encode(parts.encode()).decode()


def check(session: TenantSession, conversation: Conversation, draft: Draft, seen: str) -> None:
    """Raises `Stale` with the names of the parts that changed, `Invalid` for what is no token.

    A source that has changed since it was quoted stays changed: the draft must be written anew.
    """
    documents = {UUID(source["document_id"]) for source in draft.top_sources}
    current = versions(session, documents) if documents else {}
    then, now = _read(seen), _parts(session, conversation, draft, current)
    changed = [part for part in _PARTS if then[part] != now[part]]
    if changed:
        raise Stale(
            f"Since you read the draft this has changed: {', '.join(changed)}. Read it again.",
            changed=changed,
        )


def _read(seen: str) -> dict[str, str]:
    try:
        parts = json.loads(base64.urlsafe_b64decode(seen.encode("ascii")))
        return {part: str(parts[part]) for part in _PARTS}
    except (ValueError, KeyError, TypeError):
        raise Invalid("revision_token is not one that this API gave out.") from None


def _parts(
    session: TenantSession,
    conversation: Conversation,
    draft: Draft,
    source_versions: Mapping[UUID, int],
) -> dict[str, str]:
    named = sorted(f"{document}:{version}" for document, version in source_versions.items())
    return {
        "text": _digest(draft.suggested_text),
        "last_message": str(conversation.latest_message_id),
        "recipients": _digest("\n".join(recipients.answering(session, conversation).addresses)),
        "sources": _digest("\n".join(named)),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
