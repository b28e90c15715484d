"""What came of a leased request is stored, if the lease still holds and nothing newer has arrived.

The caller holds the lock on the conversation's row.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from countersign.conversations.tables import Conversation, Notification
from countersign.drafting import requests
from countersign.drafting.prompts import REPLY
from countersign.drafting.requests import MAX_ATTEMPTS, Job
from countersign.drafting.tables import Draft, DraftRequest
from countersign.drafting.writing import Written
from countersign.models.errors import ModelDenied, ModelError, ModelRefused
from countersign.models.tables import ModelUsage
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id

LONGEST_WAIT_SECONDS = 3600
"""A provider may ask for any time at all; the customer has waited long enough by then."""


def settle(
    session: TenantSession,
    conversation: Conversation,
    job: Job,
    outcome: Written,
    now: datetime,
) -> None:
    """Store a draft, or why there is none; a model that did not answer is asked again later.

    What it cost is noted whoever holds the lease by now.
    """
    _note_usage(session, job, outcome)
    request = _held(session, job)
    if request is None:
        return
    if conversation.latest_message_id != request.trigger_message_id:
        request.status, request.reason = "superseded", "newer_message"
    elif outcome.error:
        _settle_error(session, request, outcome.error, now)
    elif outcome.text:
        _store(session, conversation, request, outcome, now)
    else:
        assert outcome.reason
        requests.end(session, request, "abstained", outcome.reason, now)


def _settle_error(
    session: TenantSession, request: DraftRequest, error: ModelError, now: datetime
) -> None:
    """What the provider refuses it refuses for ever; anything else may go better another time."""
    if isinstance(error, ModelRefused | ModelDenied) or request.attempts >= MAX_ATTEMPTS:
        requests.end(session, request, "failed", error.detail, now)
        return
    wait = max(5 * 2**request.attempts, min(error.retry_after or 0, LONGEST_WAIT_SECONDS))
    requests.retry(session, request, timedelta(seconds=wait), now)


def _held(session: TenantSession, job: Job) -> DraftRequest | None:
    request = requests.locked(session, job.request.id)
    if request is None or request.status != "drafting" or request.fence != job.request.fence:
        return None
    return request


def _store(
    session: TenantSession,
    conversation: Conversation,
    request: DraftRequest,
    written: Written,
    now: datetime,
) -> None:
    superseded = requests.supersede_drafts(session, [conversation.id])
    draft = Draft(
        organization_id=session.organization_id,
        id=new_id(),
        conversation_id=conversation.id,
        trigger_message_id=request.trigger_message_id,
        revision=request.revision,
        model_key=written.model_key,
        prompt_version=REPLY,
        suggested_text=written.text,
        text_salt=audit.new_salt(),
        top_sources=written.top_sources,
    )
    session.add(draft)
    request.status = "drafted"
    session.add(
        Notification(
            organization_id=session.organization_id,
            user_id=conversation.assignee_id,
            type="draft_ready",
            payload={"conversation_id": str(conversation.id), "draft_id": str(draft.id)},
        )
    )
    events = [
        audit.Event(
            "draft.superseded",
            audit.SYSTEM,
            {"draft_id": str(draft_id), "reason": "newer_revision"},
        )
        for draft_id, _ in superseded
    ]
    audit.append(session, conversation.id, [*events, _created(draft, written)], now)


def _created(draft: Draft, written: Written) -> audit.Event:
    return audit.Event(
        "draft.created",
        audit.Actor("system", written.model_key),
        {
            "draft_id": str(draft.id),
            "trigger_message_id": str(draft.trigger_message_id),
            "revision": draft.revision,
            "prompt_version": draft.prompt_version,
            "text_commitment": audit.commitment(draft.text_salt, draft.suggested_text),
            "sources": [
                {"document_id": source["document_id"], "version": source["document_version"]}
                for source in written.top_sources
            ],
        },
    )


def _note_usage(session: TenantSession, job: Job, written: Written) -> None:
    for usage in written.usage:
        session.add(
            ModelUsage(
                organization_id=session.organization_id,
                kind=usage.kind,
                model_key=usage.model_key,
                prompt_version=usage.prompt_version,
                subject_id=job.request.id,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost_microusd=usage.cost_microusd,
            )
        )
