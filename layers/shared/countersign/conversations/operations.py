"""What the API offers on conversations and deliveries alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from countersign.conversations import reading, resolving, schemas, standing, uploads
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


@operations.add("POST", "/v1/attachments", "conversations:write", Forbidden)
def begin_upload(call: Call, body: schemas.BeginUpload) -> schemas.Upload:
    """Begin to upload a file

    Which mails of ours may then take along: `attachment_ids` of an approval or a message of one's
    own. Needs a key that is bound to a person. The bytes go straight to storage, within a quarter
    of an hour; other than `size_bytes` of them are refused there.
    """
    file = uploads.begin(
        call.session, call.principal, body.file_name, body.mime_type, body.size_bytes
    )
    return schemas.Upload(
        id=file.id,
        upload_url=uploads.url(file, call.files_bucket),
        upload_expires_at=call.now + timedelta(seconds=uploads.URL_SECONDS),
    )


@operations.add("PUT", "/v1/attachments/{attachment_id}/upload", "conversations:write", NotFound)
def end_upload(call: Call, attachment_id: UUID) -> schemas.Attachment:
    """Say that a file has been uploaded

    It is taken in within seconds: read it until it is `completed`, or `failed`: `gone` says that no
    bytes were there, and may be repeated once they are. 404: there is no such upload, or it is a
    file of a message.
    """
    return reading.upload(uploads.uploaded(call.session, attachment_id))


@operations.add("GET", "/v1/attachments/{attachment_id}", "conversations:read", NotFound)
def read_attachment(call: Call, attachment_id: UUID) -> schemas.AttachmentFile:
    """Read a file of a message, or an upload

    `url` gives its bytes for five minutes. It is a download whatever the file claims to be: what
    strangers send is not to be opened in a page.
    """
    return reading.attachment(call.session, attachment_id, call.files_bucket, call.now)
