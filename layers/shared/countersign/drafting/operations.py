"""What the API offers on the feed, on drafts, and on conversations where drafts come into it."""

from __future__ import annotations

from uuid import UUID

from countersign.conversations import reading
from countersign.conversations.schemas import Compose, Message, Said
from countersign.drafting import approvals, composing, detail, exporting, feed, schemas, timeline
from countersign.drafting.approvals import APPROVALS, REJECTIONS
from countersign.drafting.tables import Draft
from countersign.identity.access import Call
from countersign.platform.errors import Conflict, Forbidden, NotFound, Stale
from countersign.platform.operations import Operations
from countersign.platform.paging import PageQuery

operations = Operations("Drafts")
conversations = Operations("Conversations")


@operations.add("GET", "/v1/feed", "conversations:read")
def read_feed(call: Call, query: PageQuery) -> schemas.Feed:
    """List what waits for us

    Every open conversation whose latest message is the customer's, with its pending draft or what
    became of the newest request for one; and any whose newest reply failed or is unknown. The
    longest wait comes first. Snoozed ones are left out until the snooze ends.
    """
    return feed.read(call.session, query, call.now)


@conversations.add("GET", "/v1/conversations/{conversation_id}", "conversations:read", NotFound)
def read_conversation(
    call: Call, conversation_id: UUID, query: schemas.TimelineQuery
) -> schemas.Timeline:
    """Read a conversation and its timeline

    Messages with their deliveries and attachments, and what was decided about drafts, in the order
    in which it came to be known here. What was taken back is there too, and says so.
    """
    return timeline.read(call.session, conversation_id, query)


@conversations.add(
    "GET", "/v1/conversations/{conversation_id}/export", "conversations:read", NotFound
)
def export_conversation(
    call: Call, conversation_id: UUID, query: schemas.ExportQuery
) -> schemas.Export:
    """Export the record of a conversation

    Audit events with the texts that they commit to, for `verify.py` or any other verifier; as many
    as one answer holds. The next page is that of `after_seq` = `next_after_seq`, until it is null.
    """
    return exporting.export(call.session, conversation_id, query.after_seq)


@conversations.add(
    "POST",
    "/v1/conversations/{conversation_id}/messages",
    "conversations:write",
    Forbidden,
    NotFound,
    Conflict,
    Stale,
)
def compose_message(call: Call, conversation_id: UUID, body: Compose) -> Said:
    """Send a message of one's own

    Needs a key that is bound to a person. A pending draft is superseded, and so is one that is
    being written. 409: whom it goes to must not be written to (those of them whom one chose are in
    `suppressed`), or there are newer messages than `after_message_id`. 422, too: the text is longer
    than its channel takes, `to` or `cc` where the channel is not one of mail, or an address in them
    that is the channel's own or gets the mail already.
    """
    return composing.compose(
        call.session,
        call.principal,
        conversation_id,
        body.text,
        body.after_message_id,
        call.now,
        body.chosen,
    )


@conversations.add(
    "DELETE", "/v1/messages/{message_id}", "conversations:write", Forbidden, NotFound, Conflict
)
def take_back_message(call: Call, message_id: UUID) -> Message:
    """Take back a message of one's own

    Before it is handed over: at least until `undo_until`. It stays in the timeline, cancelled.
    Needs a key that is bound to a person. 409: it was handed over, or is an approved draft, whose
    approval is what to take back. A draft that the message superseded stays so. What was taken back
    before stays as it is.
    """
    composing.take_back(call.session, call.principal, message_id, call.now)
    return reading.messages(call.session, [message_id])[message_id]


@conversations.add(
    "POST",
    "/v1/conversations/{conversation_id}/draft-requests",
    "conversations:write",
    NotFound,
    Conflict,
)
def request_draft(call: Call, conversation_id: UUID) -> schemas.DraftRequest:
    """Ask for another draft

    The next revision for the customer's latest message, after a rejection, an abstention or a
    failure, say. A pending draft stays until the new one is there. 409: a draft is on its way, the
    latest message is ours, or the conversation is closed.
    """
    request = composing.ask(call.session, call.principal, conversation_id, call.now)
    return schemas.DraftRequest.model_validate(request)


@operations.add("GET", "/v1/drafts/{draft_id}", "conversations:read", NotFound)
def read_draft(call: Call, draft_id: UUID) -> schemas.Draft:
    """Read a draft

    Its text, its sources, whom it goes to, who is at work on it, what was decided, and the token
    that an approval of it must name.
    """
    return detail.read(call.session, draft_id, call.now)


@operations.add("PUT", "/v1/drafts/{draft_id}/claim", "drafts:approve", NotFound, Conflict)
def claim_draft(call: Call, draft_id: UUID) -> schemas.Claim:
    """Claim a draft, or renew one's claim

    For ten minutes nobody else can decide on it. 409: somebody else's claim lasts (`claimed_by`,
    `claimed_until`), or the draft is not pending.
    """
    approvals.claim(call.session, call.principal, draft_id, call.now)
    claim = detail.claim(call.session, draft_id, call.now)
    assert claim
    return claim


@operations.add("DELETE", "/v1/drafts/{draft_id}/claim", "drafts:approve", NotFound)
def release_draft(call: Call, draft_id: UUID) -> None:
    """Give up one's claim

    Where one has none, nothing changes.
    """
    approvals.release(call.session, call.principal, draft_id, call.now)


@operations.add(
    "POST", "/v1/drafts/{draft_id}/approval", "drafts:approve", NotFound, Conflict, Stale
)
def approve_draft(call: Call, draft_id: UUID, body: schemas.Approve) -> schemas.Approval:
    """Countersign a draft

    The reply goes out after the organization's undo window. 409 `stale`: since the draft was shown,
    what `changed` lists has changed: `text`, `last_message`, `recipients`, `sources`. 409
    `conflict`: it is not pending (`draft_status`), is claimed by somebody else (`claimed_by`), or
    whom it goes to must not be written to (those of them whom one chose are in `suppressed`). 422,
    too: the text is longer than its channel takes, `to` or `cc` where the channel is not one of
    mail, or an address in them that is the channel's own or gets the mail already.
    """
    approved = approvals.approve(
        call.session,
        call.principal,
        draft_id,
        body.revision_token,
        body.final_text,
        body.notes,
        call.now,
        body.chosen,
    )
    return schemas.Approval.model_validate(approved)


@operations.add("DELETE", "/v1/drafts/{draft_id}/approval", "drafts:approve", NotFound, Conflict)
def undo_approval(call: Call, draft_id: UUID, query: schemas.UndoQuery) -> schemas.Undone:
    """Take back an approval

    Before the reply is handed over: at least until `undo_until`. 409: it was handed over, or there
    is no such approval; without `action_id` also where it was taken back before.
    """
    draft = approvals.undo(
        call.session, call.principal, draft_id, call.now, APPROVALS, query.action_id
    )
    return _undone(draft)


@operations.add("POST", "/v1/drafts/{draft_id}/rejection", "drafts:approve", NotFound, Conflict)
def reject_draft(call: Call, draft_id: UUID, body: schemas.Reject) -> schemas.Rejection:
    """Reject a draft

    It is archived; the conversation still waits. 409: it is not pending, or is claimed by somebody
    else.
    """
    action_id = approvals.reject(
        call.session, call.principal, draft_id, body.reason_code, body.notes, call.now
    )
    return schemas.Rejection(action_id=action_id, reason_code=body.reason_code)


@operations.add("DELETE", "/v1/drafts/{draft_id}/rejection", "drafts:approve", NotFound, Conflict)
def undo_rejection(call: Call, draft_id: UUID, query: schemas.UndoQuery) -> schemas.Undone:
    """Take back a rejection

    409: there is no such rejection; without `action_id` also where it was taken back before.
    """
    draft = approvals.undo(
        call.session, call.principal, draft_id, call.now, REJECTIONS, query.action_id
    )
    return _undone(draft)


def _undone(draft: Draft) -> schemas.Undone:
    return schemas.Undone(draft_id=draft.id, status=draft.status)
