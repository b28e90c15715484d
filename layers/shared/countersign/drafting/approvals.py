"""What a person decides about a draft: claim it, countersign it, reject it, take that back.

Each decision is one transaction: the action with its replayable diff, the draft's status, the
message and its delivery, what is learnt, the record, and the promise to send.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from countersign.channels import deliveries, lengths
from countersign.channels.tables import Delivery
from countersign.conversations import locking, outbound, reading, recipients
from countersign.conversations.outbound import AS_USUAL, Chosen
from countersign.conversations.schemas import MailRecipients
from countersign.conversations.tables import Conversation, Message
from countersign.drafting import overtaking, requests, revision
from countersign.drafting.diff import Operations, diff
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
from countersign.identity.preferences import preferences
from countersign.knowledge import unembedded
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, Invalid, NotFound
from countersign.platform.ids import new_id
from countersign.platform.log import correlated

APPROVALS: tuple[ActionType, ...] = ("approve", "edit")
REJECTIONS: tuple[ActionType, ...] = ("reject",)
CLAIM = timedelta(minutes=10)
LONGEST_DIFFERENCE_BYTES = 65_536
"""As much as a JSON column holds."""


@dataclass(frozen=True)
class Approved:
    """A countersigned reply on its way; it can be taken back until `undo_until`."""

    action_id: UUID
    type: ActionType
    message_id: UUID
    delivery_id: UUID
    undo_until: datetime
    recipients: MailRecipients | None


def approve(
    session: TenantSession,
    principal: Principal,
    draft_id: UUID,
    seen: str,
    final_text: str | None,
    notes: str | None,
    now: datetime,
    chosen: Chosen = AS_USUAL,
) -> Approved:
    """Countersign a draft as it was seen, or with a text or recipients of one's own.

    `seen` is the revision token. Raises `Stale` if what was seen has changed, `Conflict` if the
    draft is not pending or another person has claimed it, `NotFound`, `Invalid`, `Forbidden`.
    """
    conversation, draft = _locked(session, draft_id)
    if draft.status in ("pending", "superseded"):
        revision.check(session, conversation, draft, seen)
    _check_is_free(session, draft, principal.person, now)
    text = draft.suggested_text if final_text is None else final_text
    if not text.strip():
        raise Invalid("final_text is empty: there is nothing to send.")
    lengths.check(session, conversation.channel_id, text, "final_text")
    until = undo_until(session, now)
    with correlated(requests.correlation_id(session, draft)):
        message, delivery = outbound.say(
            session, conversation, text, principal.person, until, now, chosen
        )
    unembedded.promise(session, [message.id])
    action = _act(session, principal, draft, "approve" if text == draft.suggested_text else "edit")
    action.final_text, action.message_id, action.notes = text, message.id, notes
    action.diff_json = _difference(draft.suggested_text, text)
    draft.status = "sent"
    session.flush()
    _learn(session, action)
    requests.supersede(session, [conversation.id], "answered")
    data = {
        "draft_id": str(draft.id),
        "action_id": str(action.id),
        "api_key_id": str(principal.api_key_id),
        **said(message, delivery),
    }
    type_ = "draft.approved" if action.type == "approve" else "draft.edited"
    audit.append(session, conversation.id, [audit.Event(type_, principal.actor, data)], now)
    goes_to = reading.mail_recipients(message)
    return Approved(action.id, action.type, message.id, delivery.id, until, goes_to)


def said(message: Message, delivery: Delivery) -> dict[str, Any]:
    """What the record says of a message of ours: its body and its recipients as commitments."""
    told = ("attachment_id", "mime_type", "size_bytes")
    files = [{name: one[name] for name in told} for one in delivery.payload.get("attachments", ())]
    return {
        "message_id": str(message.id),
        "delivery_id": str(delivery.id),
        "body_commitment": audit.commitment(message.body_salt, message.body_text),
        **recipients.recorded(message),
        **({"attachments": files} if files else {}),
    }


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
    conversation, draft = _locked(session, draft_id)
    _check_is_free(session, draft, principal.person, now)
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


def undo(
    session: TenantSession,
    principal: Principal,
    draft_id: UUID,
    now: datetime,
    types: Collection[ActionType] = APPROVALS + REJECTIONS,
    action_id: UUID | None = None,
) -> Draft:
    """Take back the decision about a draft, which is pending again unless a newer one exists.

    `action_id` names the decision: where that one was taken back before, nothing changes. Raises
    `Conflict` once the message was handed over, or if there is no such decision of these types.
    """
    principal.person  # noqa: B018  only a person may undo what a person did
    conversation, draft = _locked(session, draft_id)
    action = _action(session, draft_id, types, action_id)
    if action.revoked_at:
        return draft
    overtaken = _is_overtaken(session, conversation, draft, action)
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
    conversation, draft = _locked(session, draft_id)
    before = _check_is_free(session, draft, principal.person, now)
    until = now + CLAIM
    row = insert(DraftClaim).values(
        organization_id=session.organization_id,
        draft_id=draft_id,
        user_id=principal.person,
        expires_at=until,
    )
    taken = {"user_id": principal.person, "expires_at": until}
    session.execute(row.on_conflict_do_update(constraint="draft_claims_pkey", set_=taken))
    if before is None:
        _record(session, principal, conversation, draft_id, "draft.claimed", now)
    return until


def release(session: TenantSession, principal: Principal, draft_id: UUID, now: datetime) -> None:
    """Give up one's claim on a draft; where there is none, nothing changes."""
    conversation, _ = _locked(session, draft_id)
    released = session.scalar(
        delete(DraftClaim)
        .where(DraftClaim.organization_id == session.organization_id)
        .where(DraftClaim.draft_id == draft_id)
        .where(DraftClaim.user_id == principal.person)
        .returning(DraftClaim.draft_id)
    )
    if released:
        _record(session, principal, conversation, draft_id, "draft.released", now)


def _record(
    session: TenantSession,
    principal: Principal,
    conversation: Conversation,
    draft_id: UUID,
    type_: str,
    now: datetime,
) -> None:
    data = {"draft_id": str(draft_id), "api_key_id": str(principal.api_key_id)}
    audit.append(session, conversation.id, [audit.Event(type_, principal.actor, data)], now)


def _check_is_free(
    session: TenantSession, draft: Draft, person: UUID, now: datetime
) -> DraftClaim | None:
    """Raises `Conflict` unless the draft is pending and nobody else has claimed it.

    Returns the person's own claim, if it still lasts.
    """
    if draft.status != "pending":
        raise Conflict(
            f"The draft is {draft.status}; only a pending one can be decided on.",
            draft_status=draft.status,
        )
    claimed = session.get(DraftClaim, (session.organization_id, draft.id))
    if claimed is None or claimed.expires_at <= now:
        return None
    if claimed.user_id != person:
        raise Conflict(
            "Another person is at work on this draft.",
            claimed_by=str(claimed.user_id),
            claimed_until=claimed.expires_at.isoformat(),
        )
    return claimed


def _locked(session: TenantSession, draft_id: UUID) -> tuple[Conversation, Draft]:
    mine = Draft.organization_id == session.organization_id, Draft.id == draft_id
    conversation_id = session.scalar(select(Draft.conversation_id).where(*mine))
    if conversation_id is None:
        raise NotFound("There is no such draft here.")
    conversation = locking.lock(session, conversation_id)
    return conversation, session.scalars(select(Draft).where(*mine).with_for_update()).one()


def undo_until(session: TenantSession, now: datetime) -> datetime:
    """Until when what is said now can be taken back."""
    return now + preferences(session).undo


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


def _difference(original: str, final: str) -> Operations:
    """What turns one text into the other; told as one replacement where its parts take too long."""
    found = diff(original, final)
    if len(json.dumps(found, ensure_ascii=False).encode()) <= LONGEST_DIFFERENCE_BYTES:
        return found
    return [["-", len(original)], ["+", final]]


def _learn(session: TenantSession, action: DraftAction) -> None:
    session.add(
        LearningSample(
            organization_id=session.organization_id,
            draft_id=action.draft_id,
            action_id=action.id,
            diff_json=action.diff_json,
        )
    )


def _action(
    session: TenantSession, draft_id: UUID, types: Collection[ActionType], action_id: UUID | None
) -> DraftAction:
    """The decision of that id, or the one that stands."""
    wanted = DraftAction.id == action_id if action_id else DraftAction.revoked_at.is_(None)
    action = session.scalars(
        select(DraftAction)
        .where(DraftAction.organization_id == session.organization_id)
        .where(DraftAction.draft_id == draft_id)
        .where(DraftAction.type.in_(types))
        .where(wanted)
    ).one_or_none()
    if action is None:
        raise Conflict("There is no such decision on this draft to take back.")
    return action


def _is_overtaken(
    session: TenantSession, conversation: Conversation, draft: Draft, action: DraftAction
) -> bool:
    """Whether there is a newer draft, or a newer message than the one that the decision made."""
    if conversation.latest_message_id not in (draft.trigger_message_id, action.message_id):
        return True
    newer = session.scalar(
        select(Draft.id)
        .where(Draft.organization_id == session.organization_id)
        .where(Draft.conversation_id == conversation.id)
        .where(Draft.created_at > draft.created_at)
        .limit(1)
    )
    return newer is not None
