"""What a person decides about a draft: claim it, countersign it, reject it, take that back.

Each decision is one transaction: the action with its replayable diff, the draft's status, the
message and its delivery, what is learnt, the record, and the promise to send.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from countersign.channels import deliveries
from countersign.conversations import locking, outbound
from countersign.conversations.tables import Conversation
from countersign.drafting import overtaking, requests, revision
from countersign.drafting.diff import diff
from countersign.drafting.tables import (
    ActionType,
    Draft,
    DraftAction,
    DraftClaim,
    DraftStatus,
    LearningSample,
    RejectionReason,
)
from countersign.identity.api_keys import Principal
from countersign.identity.tables import OrganizationSettings
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, Invalid, NotFound
from countersign.platform.ids import new_id

CLAIM = timedelta(minutes=10)


@dataclass(frozen=True)
class Approved:
    """A countersigned reply on its way; it can be taken back until `undo_until`."""

    action_id: UUID
    type: ActionType
    message_id: UUID
    delivery_id: UUID
    undo_until: datetime


def approve(
    session: TenantSession,
    principal: Principal,
    draft_id: UUID,
    seen: str,
    final_text: str | None,
    notes: str | None,
    now: datetime,
) -> Approved:
    """Countersign a draft as it was seen, or with a text of one's own.

    `seen` is the revision token. Raises `Stale` if what was seen has changed, `Conflict` if the
    draft is not pending or another person has claimed it, `NotFound`, `Invalid`, `Forbidden`.
    """
    conversation, draft = _pending(session, draft_id, principal.person, now)
    revision.check(session, conversation, draft, seen)
    text = draft.suggested_text if final_text is None else final_text
    if not text.strip():
        raise Invalid("final_text is empty: there is nothing to send.")
    undo_until = now + timedelta(seconds=_settings(session).undo_seconds)
    message, delivery = outbound.say(session, conversation, text, principal.person, undo_until, now)
    action = _act(session, principal, draft, "approve" if text == draft.suggested_text else "edit")
    action.final_text, action.message_id, action.notes = text, message.id, notes
    action.diff_json = diff(draft.suggested_text, text)
    draft.status = "sent"
    session.flush()
    _learn(session, action)
    requests.supersede(session, [conversation.id], "answered")
    data = {
        "draft_id": str(draft.id),
        "action_id": str(action.id),
        "api_key_id": str(principal.api_key_id),
        "message_id": str(message.id),
        "delivery_id": str(delivery.id),
        "body_commitment": audit.commitment(message.body_salt, text),
    }
    type_ = "draft.approved" if action.type == "approve" else "draft.edited"
    audit.append(session, conversation.id, [audit.Event(type_, principal.actor, data)], now)
    return Approved(action.id, action.type, message.id, delivery.id, undo_until)


def reject(
    session: TenantSession,
    principal: Principal,
    draft_id: UUID,
    reason_code: RejectionReason,
    notes: str | None,
    now: datetime,
) -> UUID:
    """Archive a pending draft with a reason; returns the action's id. The conversation still waits.

    Raises `Conflict`, `NotFound`, `Forbidden`.
    """
    conversation, draft = _pending(session, draft_id, principal.person, now)
    action = _act(session, principal, draft, "reject")
    action.reason_code, action.notes = reason_code, notes
    draft.status = "archived"
    data = {
        "draft_id": str(draft.id),
        "action_id": str(action.id),
        "api_key_id": str(principal.api_key_id),
        "reason_code": reason_code,
    }
    event = audit.Event("draft.rejected", principal.actor, data)
    audit.append(session, conversation.id, [event], now)
    return action.id


def undo(session: TenantSession, principal: Principal, draft_id: UUID, now: datetime) -> Draft:
    """Take back the decision about a draft, which is pending again unless a newer one exists.

    Raises `Conflict` once the message was handed over, or if there is no decision.
    """
    principal.person  # noqa: B018  only a person may undo what a person did
    conversation, draft = _locked(session, draft_id)
    action = _live_action(session, draft_id)
    overtaken = _is_overtaken(session, conversation, draft)
    status: DraftStatus = "superseded" if overtaken else "pending"
    if action.message_id:
        deliveries.cancel(session, action.message_id, "undone")
        outbound.take_back(session, conversation, action.message_id, now)
        overtaking.revoke_approval(session, action.message_id, status, now)
    else:
        action.revoked_at, draft.status = now, status
    session.flush()
    session.refresh(draft)
    data = {
        "draft_id": str(draft_id),
        "action_id": str(action.id),
        "api_key_id": str(principal.api_key_id),
        "status": status,
    }
    event = audit.Event("draft.undone", principal.actor, data)
    audit.append(session, conversation.id, [event], now)
    return draft


def claim(session: TenantSession, principal: Principal, draft_id: UUID, now: datetime) -> datetime:
    """Tell the others that one is at work on a draft; returns until when. Renews one's own claim.

    Raises `Conflict` while another person's claim lasts.
    """
    _pending(session, draft_id, principal.person, now)
    until = now + CLAIM
    row = insert(DraftClaim).values(
        organization_id=session.organization_id,
        draft_id=draft_id,
        user_id=principal.person,
        expires_at=until,
    )
    taken = {"user_id": principal.person, "expires_at": until}
    session.execute(row.on_conflict_do_update(constraint="draft_claims_pkey", set_=taken))
    return until


def release(session: TenantSession, principal: Principal, draft_id: UUID) -> None:
    """Give up one's claim on a draft; where there is none, nothing changes."""
    _locked(session, draft_id)
    session.execute(
        delete(DraftClaim)
        .where(DraftClaim.organization_id == session.organization_id)
        .where(DraftClaim.draft_id == draft_id)
        .where(DraftClaim.user_id == principal.person)
    )


def _pending(
    session: TenantSession, draft_id: UUID, person: UUID, now: datetime
) -> tuple[Conversation, Draft]:
    conversation, draft = _locked(session, draft_id)
    if draft.status != "pending":
        raise Conflict(f"The draft is {draft.status}; only a pending one can be decided on.")
    claimed = session.get(DraftClaim, (session.organization_id, draft_id))
    if claimed and claimed.user_id != person and claimed.expires_at > now:
        raise Conflict(
            "Another person is at work on this draft.",
            claimed_by=str(claimed.user_id),
            claimed_until=claimed.expires_at.isoformat(),
        )
    return conversation, draft


def _locked(session: TenantSession, draft_id: UUID) -> tuple[Conversation, Draft]:
    mine = Draft.organization_id == session.organization_id, Draft.id == draft_id
    conversation_id = session.scalar(select(Draft.conversation_id).where(*mine))
    if conversation_id is None:
        raise NotFound("There is no such draft here.")
    conversation = locking.lock(session, conversation_id)
    return conversation, session.scalars(select(Draft).where(*mine).with_for_update()).one()


def _settings(session: TenantSession) -> OrganizationSettings:
    return session.get_one(OrganizationSettings, session.organization_id)


def _act(
    session: TenantSession, principal: Principal, draft: Draft, type_: ActionType
) -> DraftAction:
    action = DraftAction(
        organization_id=session.organization_id,
        id=new_id(),
        draft_id=draft.id,
        user_id=principal.person,
        api_key_id=principal.api_key_id,
        type=type_,
    )
    session.add(action)
    return action


def _learn(session: TenantSession, action: DraftAction) -> None:
    session.add(
        LearningSample(
            organization_id=session.organization_id,
            draft_id=action.draft_id,
            action_id=action.id,
            diff_json=action.diff_json,
        )
    )


def _live_action(session: TenantSession, draft_id: UUID) -> DraftAction:
    action = session.scalars(
        select(DraftAction)
        .where(DraftAction.organization_id == session.organization_id)
        .where(DraftAction.draft_id == draft_id)
        .where(DraftAction.revoked_at.is_(None))
    ).one_or_none()
    if action is None:
        raise Conflict("Nobody has decided on this draft; there is nothing to take back.")
    return action


def _is_overtaken(session: TenantSession, conversation: Conversation, draft: Draft) -> bool:
    """Whether the draft no longer answers the conversation's latest message."""
    newer = session.scalar(
        select(Draft.id)
        .where(Draft.organization_id == session.organization_id)
        .where(Draft.conversation_id == conversation.id)
        .where(Draft.created_at > draft.created_at)
        .limit(1)
    )
    return newer is not None or draft.trigger_message_id != conversation.latest_inbound_message_id
