"""Writing without a draft: a message of a person's own, and taking it back; asking for a draft."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select

from countersign.channels import deliveries, lengths
from countersign.conversations import locking, outbound, reading
from countersign.conversations.outbound import AS_USUAL, Chosen
from countersign.conversations.schemas import Said
from countersign.conversations.tables import Conversation, Message
from countersign.drafting import approvals, overtaking, requests
from countersign.drafting.tables import DraftAction, DraftRequest
from countersign.identity.api_keys import Principal
from countersign.knowledge import unembedded
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, NotFound, Stale


def compose(
    session: TenantSession,
    principal: Principal,
    conversation_id: UUID,
    text: str,
    seen: UUID | None,
    now: datetime,
    chosen: Chosen = AS_USUAL,
) -> Said:
    """Send a person's own words; what was pending or being drafted is superseded.

    `seen` is the latest message that they saw. Raises `Stale` if another has come since,
    `Invalid` for a text or recipients that its channel does not take, `Conflict`, `NotFound`,
    `Forbidden` for a key without a person.
    """
    author = principal.person
    conversation = locking.lock(session, conversation_id)
    if seen not in (None, conversation.latest_message_id):
        raise Stale("There are newer messages than you have seen.", changed=["last_message"])
    lengths.check(session, conversation.channel_id, text, "text")
    undo_until = approvals.undo_until(session, now)
    message, delivery = outbound.say(session, conversation, text, author, undo_until, now, chosen)
    unembedded.promise(session, [message.id])
    data = {
        "api_key_id": str(principal.api_key_id),
        **approvals.said(message, delivery),
    }
    composed = audit.Event("message.composed", principal.actor, data)
    answered = overtaking.answered(session, conversation)
    audit.append(session, conversation.id, [composed, *answered], now)
    return Said(
        message_id=message.id,
        delivery_id=delivery.id,
        undo_until=undo_until,
        recipients=reading.mail_recipients(message),
    )


def take_back(
    session: TenantSession, principal: Principal, message_id: UUID, now: datetime
) -> Message:
    """Take back a composed message before it is handed over; where it was before, nothing changes.

    Raises `Conflict` once it was, and for an approved draft, whose approval is what to take back;
    `NotFound`, `Forbidden` for a key without a person.
    """
    principal.person  # noqa: B018  only a person may undo what a person did
    message = session.get(Message, (session.organization_id, message_id))
    if message is None:
        raise NotFound("There is no such message here.")
    conversation = locking.lock(session, message.conversation_id)
    session.refresh(message)
    if message.direction != "outbound":
        raise Conflict("The customer wrote this; only a message of ours can be taken back.")
    if draft_id := _draft_of(session, message_id):
        raise Conflict(
            f"The message is draft {draft_id}, approved: take back the approval.",
            draft_id=str(draft_id),
        )
    if message.cancelled_at:
        return message
    delivery = deliveries.cancel(session, message_id, "undone")
    outbound.take_back(session, conversation, message_id, now)
    data = {
        "message_id": str(message_id),
        "delivery_id": str(delivery.id),
        "api_key_id": str(principal.api_key_id),
    }
    event = audit.Event("message.taken_back", principal.actor, data)
    audit.append(session, conversation.id, [event], now)
    return message


def _draft_of(session: TenantSession, message_id: UUID) -> UUID | None:
    return session.scalar(
        select(DraftAction.draft_id)
        .where(DraftAction.organization_id == session.organization_id)
        .where(DraftAction.message_id == message_id)
    )


def ask(
    session: TenantSession, principal: Principal, conversation_id: UUID, now: datetime
) -> DraftRequest:
    """Ask for another draft on the customer's latest message: its next revision.

    A pending draft stays until the new one is there. Raises `Conflict` where there is nothing to
    answer or a draft is on its way already; `NotFound`.
    """
    conversation = locking.lock(session, conversation_id)
    trigger = _unanswered(session, conversation)
    if _is_under_way(session, conversation_id, now):
        raise Conflict("A draft is on its way already.")
    requests.supersede(session, [conversation_id], "newer_revision")
    number = requests.next_revision(session, trigger.id)
    (request,) = requests.open_requests(session, [trigger], now, number)
    data = {
        "draft_request_id": str(request.id),
        "trigger_message_id": str(trigger.id),
        "revision": number,
        "api_key_id": str(principal.api_key_id),
    }
    event = audit.Event("draft.requested", principal.actor, data)
    audit.append(session, conversation.id, [event], now)
    session.flush()
    return request


def _unanswered(session: TenantSession, conversation: Conversation) -> Message:
    if conversation.status == "closed":
        raise Conflict("The conversation is closed; reopen it first.")
    latest = conversation.latest_inbound_message_id
    if latest is None or latest != conversation.latest_message_id:
        raise Conflict("The latest message is ours: there is nothing to answer.")
    return session.get_one(Message, (session.organization_id, latest))


def _is_under_way(session: TenantSession, conversation_id: UUID, now: datetime) -> bool:
    """Whether a draft waits to be written or is being written; not one whose worker was lost."""
    under_way = session.scalar(
        select(DraftRequest.id)
        .where(DraftRequest.organization_id == session.organization_id)
        .where(DraftRequest.conversation_id == conversation_id)
        .where((DraftRequest.status == "waiting") | _is_leased(now))
        .limit(1)
    )
    return under_way is not None


def _is_leased(now: datetime) -> ColumnElement[bool]:
    return (DraftRequest.status == "drafting") & (DraftRequest.leased_until > now)
