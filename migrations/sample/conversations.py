"""A sample conversation, made by the functions that make every other one.

Nothing is sent: what those functions promise to the queues is taken out of the outbox again, and
the provider's answers are made here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import delete, select

from countersign.channels import attempts
from countersign.channels.attempts import Claim
from countersign.channels.envelope import Envelope
from countersign.channels.messages import (
    Accepted,
    DeliveryStatus,
    InboundMessage,
    WebhookRequest,
)
from countersign.channels.tables import Channel
from countersign.conversations import locking, outbound
from countersign.conversations.tables import Conversation, Message
from countersign.drafting import approvals, effects, requests, results, revision
from countersign.drafting.effects import Webhook
from countersign.drafting.tables import Draft, DraftRequest
from countersign.drafting.writing import Written
from countersign.identity.api_keys import Principal
from countersign.knowledge.tables import Chunk, Document
from countersign.platform.db import Database, TenantSession
from countersign.platform.tables import OutboxRow
from migrations.sample import tenants

MODEL_KEY = "sample/written-by-hand"


def write(
    rw: Database,
    principal: Principal,
    channel_id: UUID,
    sample: tenants.Conversation,
    source_url: str,
    now: datetime,
) -> None:
    """Make the conversation up to its pending or delivered draft, in one transaction, once.

    `source_url` is that of the article the draft quotes, which must be written already.
    """
    with rw.tenant(principal.organization_id) as session:
        channel = session.get_one(Channel, (session.organization_id, channel_id))
        message_id = _external_id(channel, sample)
        if _is_there(session, channel, message_id):
            return
        received_at = now - sample.age
        _receive(session, channel, sample, message_id, received_at)
        draft, drafted_at = _draft(session, channel, sample, message_id, source_url)
        if sample.sent:
            _send(session, principal, channel, draft, sample.sent, drafted_at)
        _break_promises(session)


def _break_promises(session: TenantSession) -> None:
    """Take out of the outbox what this transaction put there."""
    session.flush()
    promised = [row.id for row in session.info.pop("outbox", [])]
    session.execute(
        delete(OutboxRow)
        .where(OutboxRow.organization_id == session.organization_id)
        .where(OutboxRow.id.in_(promised))
    )


def _external_id(channel: Channel, sample: tenants.Conversation) -> str:
    """The provider's id of the customer's message, the same at each writing."""
    return f"SM{uuid5(channel.id, sample.question).hex}"


def _is_there(session: TenantSession, channel: Channel, message_id: str) -> bool:
    found = session.scalar(
        select(Message.id)
        .where(Message.organization_id == session.organization_id)
        .where(Message.channel_id == channel.id, Message.external_id == message_id)
    )
    return found is not None


def _receive(
    session: TenantSession,
    channel: Channel,
    sample: tenants.Conversation,
    message_id: str,
    at: datetime,
) -> None:
    message = InboundMessage(
        provider_event_id=message_id,
        external_id=message_id,
        conversation_external_id=sample.customer,
        sender=sample.customer,
        sender_name=sample.customer_name or None,
        recipient=channel.external_id,
        text=sample.question,
        sent_at=at,
    )
    _take_in(session, channel, message, at)


def _take_in(
    session: TenantSession,
    channel: Channel,
    event: InboundMessage | DeliveryStatus,
    at: datetime,
) -> None:
    request = WebhookRequest(method="POST", url="", headers={}, body=b"", received_at=at)
    envelope = Envelope(channel.organization_id, channel.id, channel.provider, "sample", request)
    effects.take_effect(session, [Webhook(envelope, [event])], at)
    session.flush()


def _draft(
    session: TenantSession,
    channel: Channel,
    sample: tenants.Conversation,
    message_id: str,
    source_url: str,
) -> tuple[Draft, datetime]:
    """The draft on a message, and when it was written."""
    request = session.scalars(
        select(DraftRequest)
        .join(
            Message,
            (Message.organization_id == DraftRequest.organization_id)
            & (Message.id == DraftRequest.trigger_message_id),
        )
        .where(DraftRequest.organization_id == session.organization_id)
        .where(Message.channel_id == channel.id, Message.external_id == message_id)
    ).one()
    at = request.not_before + timedelta(seconds=3)
    conversation = locking.lock(session, request.conversation_id)
    job = requests.claim(session, conversation, request.id, at)
    assert job is not None
    source = _source(session, sample.quote, source_url)
    written = Written(sample.draft, [source], None, None, MODEL_KEY, ())
    results.settle(session, conversation, job, written, at)
    session.flush()
    drafted = select(Draft).where(
        Draft.organization_id == session.organization_id,
        Draft.trigger_message_id == request.trigger_message_id,
    )
    return session.scalars(drafted).one(), at


def _source(session: TenantSession, quote: str, source_url: str) -> dict[str, Any]:
    """What a draft says of a source (`drafts.top_sources`)."""
    found = (
        select(Document, Chunk)
        .join(
            Chunk,
            (Chunk.organization_id == Document.organization_id)
            & (Chunk.document_id == Document.id),
        )
        .where(Document.organization_id == session.organization_id)
        .where(Document.source_url == source_url)
        .where(Chunk.text.contains(quote, autoescape=True))
    )
    document, chunk = session.execute(found).one()
    start = chunk.start_offset + chunk.text.index(quote)
    return {
        "document_id": str(document.id),
        "document_version": document.version,
        "title": document.title,
        "source_url": source_url,
        "chunk_id": str(chunk.id),
        "span": [start, start + len(quote)],
        "quote": quote,
        "score": 1.0,
    }


def _send(
    session: TenantSession,
    principal: Principal,
    channel: Channel,
    draft: Draft,
    approval: tenants.Approval,
    drafted_at: datetime,
) -> None:
    """Approve the draft with another text, and let it be sent and delivered."""
    conversation = session.get_one(Conversation, (session.organization_id, draft.conversation_id))
    seen = revision.token(session, conversation, draft)
    approved_at = drafted_at + timedelta(minutes=4)
    approved = approvals.approve(
        session, principal, draft.id, seen, approval.final_text, approval.notes, approved_at
    )
    session.flush()
    sent_at = approved.undo_until + timedelta(seconds=1)
    claimed = attempts.claim(session, approved.delivery_id, sent_at)
    assert isinstance(claimed, Claim)
    sid = f"SM{uuid5(channel.id, approval.final_text).hex}"
    sent = attempts.settle(session, claimed, Accepted(sid), sent_at)
    assert sent is not None
    outbound.record_outcome(session, conversation, sent, sent_at)
    delivered = DeliveryStatus(
        provider_event_id=f"{sid}:delivered",
        status="delivered",
        attempt_id=claimed.attempt_id,
        provider_message_id=sid,
        occurred_at=sent_at + timedelta(seconds=2),
    )
    _take_in(session, channel, delivered, delivered.occurred_at)
