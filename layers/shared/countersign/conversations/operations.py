"""What the API offers on conversations and deliveries alone."""

from __future__ import annotations

from uuid import UUID

from countersign.conversations import reading, resolving, schemas, standing
from countersign.identity.access import Call
from countersign.platform.errors import Conflict, Forbidden, NotFound
from countersign.platform.operations import Operations

operations = Operations("Conversations")


@operations.add(
    "PUT", "/v1/conversations/{conversation_id}/closure", "conversations:write", NotFound
)
def close_conversation(call: Call, conversation_id: UUID) -> schemas.Conversation:
    """Close a conversation

    It leaves the feed until the customer writes again, or a reply that is on its way fails.
    """
    closed = standing.close(call.session, call.principal, conversation_id, call.now)
    return reading.shown(call.session, closed)


@operations.add(
    "DELETE", "/v1/conversations/{conversation_id}/closure", "conversations:write", NotFound
)
def reopen_conversation(call: Call, conversation_id: UUID) -> schemas.Conversation:
    """Reopen a conversation

    If it waited for us when it was closed, it is back in the feed.
    """
    reopened = standing.reopen(call.session, call.principal, conversation_id, call.now)
    return reading.shown(call.session, reopened)


@operations.add(
    "PUT", "/v1/conversations/{conversation_id}/snooze", "conversations:write", NotFound, Conflict
)
def snooze_conversation(
    call: Call, conversation_id: UUID, body: schemas.Snooze
) -> schemas.Conversation:
    """Snooze a conversation

    The feed leaves it out until then. A new message of the customer's, or a reply that fails, ends
    the snooze at once. 409: the conversation is closed.
    """
    snoozed = standing.snooze(call.session, call.principal, conversation_id, body.until, call.now)
    return reading.shown(call.session, snoozed)


@operations.add(
    "DELETE", "/v1/conversations/{conversation_id}/snooze", "conversations:write", NotFound
)
def wake_conversation(call: Call, conversation_id: UUID) -> schemas.Conversation:
    """End a snooze"""
    woken = standing.wake(call.session, call.principal, conversation_id, call.now)
    return reading.shown(call.session, woken)


@operations.add(
    "POST",
    "/v1/deliveries/{delivery_id}/resolution",
    "conversations:write",
    Forbidden,
    NotFound,
    Conflict,
)
def resolve_delivery(call: Call, delivery_id: UUID, body: schemas.Resolve) -> schemas.Delivery:
    """Settle a delivery that failed or is unknown

    Needs a key that is bound to a person. 409: the delivery is neither `failed` nor `unknown`.
    """
    settled = resolving.resolve(call.session, call.principal, delivery_id, body.outcome, call.now)
    return schemas.Delivery.model_validate(settled)


@operations.add("GET", "/v1/attachments/{attachment_id}", "conversations:read", NotFound)
def read_attachment(call: Call, attachment_id: UUID) -> schemas.AttachmentFile:
    """Read a file of a message

    `url` gives its bytes for five minutes. It is a download whatever the file claims to be: what
    strangers send is not to be opened in a page.
    """
    return reading.attachment(call.session, attachment_id, call.files_bucket, call.now)
