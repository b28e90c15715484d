"""One draft, with all that a person needs to decide on it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from countersign.channels.tables import Channel
from countersign.conversations import reading, recipients
from countersign.conversations.tables import Conversation, Message
from countersign.drafting import revision, schemas, timeline
from countersign.drafting.tables import Draft, DraftAction, DraftClaim
from countersign.identity.members import members
from countersign.platform.db import TenantSession
from countersign.platform.errors import NotFound


def read(session: TenantSession, draft_id: UUID, now: datetime) -> schemas.Draft:
    """A draft as it is at `now`, whatever its status. Raises `NotFound`."""
    draft = session.get(Draft, (session.organization_id, draft_id))
    if draft is None:
        raise NotFound("There is no such draft here.")
    conversation = reading.found(session, draft.conversation_id)
    trigger = session.get_one(Message, (session.organization_id, draft.trigger_message_id))
    is_pending = draft.status == "pending"
    return schemas.Draft(
        id=draft.id,
        conversation_id=draft.conversation_id,
        trigger_message_id=draft.trigger_message_id,
        revision=draft.revision,
        status=draft.status,
        text=draft.suggested_text,
        html=draft.suggested_html,
        sources=[schemas.Source.model_validate(source) for source in draft.top_sources],
        recipients=_recipients(session, conversation),
        may_have_cut=trigger.may_have_cut,
        authentication=reading.authentication(trigger),
        revision_token=revision.token(session, conversation, draft) if is_pending else None,
        claim=claim(session, draft_id, now) if is_pending else None,
        actions=timeline.actions(session, DraftAction.draft_id == draft_id),
        model_key=draft.model_key,
        prompt_version=draft.prompt_version,
        created_at=draft.created_at,
    )


def _recipients(session: TenantSession, conversation: Conversation) -> schemas.Recipients:
    channel = session.get_one(Channel, (session.organization_id, conversation.channel_id))
    found = recipients.answering(session, conversation)
    answered = recipients.answered_message(session, conversation)
    own = recipients.own_addresses(channel)
    added, left_out = recipients.differences(found, answered, own)
    return schemas.Recipients(**found.as_json(), added=added, left_out=left_out)


def claim(session: TenantSession, draft_id: UUID, now: datetime) -> schemas.Claim | None:
    """The claim on a draft that still lasts, if any."""
    row = session.get(DraftClaim, (session.organization_id, draft_id))
    if row is None or row.expires_at <= now:
        return None
    return schemas.Claim(
        user=members(session, [row.user_id])[row.user_id], expires_at=row.expires_at
    )
