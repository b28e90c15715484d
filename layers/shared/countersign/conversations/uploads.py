"""Files that a person uploads, to go along with messages of ours.

An upload goes to storage by an address that is signed for it, is taken in by a worker, and may then
be attached to any message. Each message has a row of its own for each of its files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from countersign.conversations import keeping
from countersign.conversations.keeping import Kept
from countersign.conversations.tables import Attachment, Message
from countersign.identity.api_keys import Principal
from countersign.platform import outbox as promises
from countersign.platform import storage
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict, Invalid, NotFound
from countersign.platform.ids import new_id
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox

MOST_BYTES = 20 * 1024 * 1024
"""Of the files of one message: base64 makes four bytes of three, and SendGrid takes 30 MB."""
MOST_FILES = 10
URL_SECONDS = 900


def begin(
    session: TenantSession,
    principal: Principal,
    file_name: str,
    mime_type: str,
    size_bytes: int,
) -> Attachment:
    """Note a file that is about to be uploaded. Raises `Forbidden` for a key without a person."""
    file = Attachment(
        organization_id=session.organization_id,
        id=new_id(),
        uploaded_by=principal.person,
        file_name=file_name,
        mime_type=mime_type,
        size_bytes=size_bytes,
    )
    session.add(file)
    session.flush()
    return file


def url(file: Attachment, bucket: str) -> str:
    """Where the bytes of an upload, as many as were told of, are to be PUT within a while."""
    assert file.size_bytes is not None
    return storage.upload_url(bucket, _key(file), size_bytes=file.size_bytes, seconds=URL_SECONDS)


def _key(file: Attachment) -> str:
    return f"uploads/{file.organization_id}/{file.id}"


def uploaded(session: TenantSession, attachment_id: UUID) -> Attachment:
    """Let an upload be taken in, now that its bytes are there. Raises `NotFound`.

    What was taken in already stays as it is; what failed because nothing was there is tried again.
    """
    file = _upload(session, attachment_id)
    if file.status == "failed" and file.reason == "gone":
        file.status, file.reason = "pending", None
    if file.status == "pending":
        body = {
            "organization_id": str(session.organization_id),
            "attachment_id": str(attachment_id),
        }
        promises.enqueue(session, "attachments", body)
    return file


def _upload(session: TenantSession, attachment_id: UUID) -> Attachment:
    file = session.scalars(
        select(Attachment)
        .where(Attachment.organization_id == session.organization_id)
        .where(Attachment.id == attachment_id)
        .where(Attachment.message_id.is_(None))
        .with_for_update()
    ).one_or_none()
    if file is None:
        raise NotFound("There is no such upload here.")
    return file


def take_in(outbox: Outbox, bucket: str, organization_id: UUID, attachment_id: UUID) -> None:
    """Keep the bytes of an upload, and say what they are. Raises `NotFound` and `Unavailable`.

    It needs no lease: to do it twice comes to the same.
    """
    with outbox.transaction(organization_id) as session:
        file = _upload(session, attachment_id)
    if file.status != "pending":
        return
    kept = _keep(bucket, file)
    with outbox.transaction(organization_id) as session:
        file = _upload(session, attachment_id)
        if file.status == "pending":
            _settle(file, kept)
    logger.info(
        "an upload was taken in",
        organization_id=str(organization_id),
        attachment_id=str(attachment_id),
        status=file.status,
    )


def _keep(bucket: str, file: Attachment) -> Kept | None:
    try:
        content = storage.get(bucket, _key(file))
    except NotFound:
        return None
    return keeping.keep(file, content, bucket)


def _settle(file: Attachment, kept: Kept | None) -> None:
    if kept:
        keeping.note(file, kept)
    else:
        file.status, file.reason = "failed", "gone"


def attach(session: TenantSession, message: Message, ids: Sequence[UUID]) -> list[Attachment]:
    """Let a message of ours have the files of these uploads, in this order.

    Raises `Invalid`, whose `errors` name which is no upload, or that they are too many or too
    large, and `Conflict` for one that is not `completed`.
    """
    rows = session.scalars(
        select(Attachment)
        .where(Attachment.organization_id == session.organization_id)
        .where(Attachment.id.in_(ids))
        .where(Attachment.message_id.is_(None))
    )
    found = {row.id: row for row in rows}
    _check(found, ids)
    files = [
        Attachment(
            organization_id=session.organization_id,
            id=new_id(),
            message_id=message.id,
            uploaded_by=found[id_].uploaded_by,
            file_name=found[id_].file_name,
            mime_type=found[id_].mime_type,
            size_bytes=found[id_].size_bytes,
            sha256=found[id_].sha256,
            status="completed",
        )
        for id_ in ids
    ]
    session.add_all(files)
    return files


def _check(found: Mapping[UUID, Attachment], ids: Sequence[UUID]) -> None:
    wrong = [
        {"where": f"attachment_ids.{place}", "what": "No upload of this organization"}
        for place, id_ in enumerate(ids)
        if id_ not in found
    ]
    if wrong:
        raise Invalid("Some attachments are no uploads.", errors=wrong)
    if waiting := [str(id_) for id_ in ids if found[id_].status != "completed"]:
        raise Conflict(
            "Some attachments are not taken in yet, or cannot be; read them to see.",
            attachment_ids=waiting,
        )
    if sum(found[id_].size_bytes or 0 for id_ in ids) > MOST_BYTES:
        what = f"More than {MOST_BYTES} bytes together"
        raise Invalid(
            "The attachments are too large together.",
            errors=[{"where": "attachment_ids", "what": what}],
        )


def payload(file: Attachment) -> dict[str, object]:
    """What a delivery holds of a file, and where its bytes are."""
    return {
        "attachment_id": str(file.id),
        "key": keeping.key(file),
        "file_name": file.file_name,
        "mime_type": file.mime_type,
        "size_bytes": file.size_bytes,
    }
