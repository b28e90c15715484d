"""Files that go from whoever asks straight to storage, to be the content of documents."""

from __future__ import annotations

from dataclasses import asdict

from countersign.knowledge import documents
from countersign.knowledge.documents import Stored
from countersign.knowledge.tables import Document
from countersign.platform import storage
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict
from countersign.platform.ids import new_id

URL_SECONDS = 900


def begin(
    session: TenantSession, document: Document, content_type: str, size_bytes: int, bucket: str
) -> str:
    """Where the bytes of a document's next content, so many of them, are to be PUT."""
    # Each upload has a place of its own: a late one must not change what was read already.
    key = f"documents/{session.organization_id}/{document.id}/{new_id()}"
    document.upload = asdict(Stored(key, size_bytes, content_type))
    return storage.upload_url(bucket, key, size_bytes=size_bytes, seconds=URL_SECONDS)


def end(session: TenantSession, document: Document) -> None:
    """Let an upload be read, now that its bytes are there. Raises `Conflict` where none was begun.

    What was read already stays as it is; what failed because nothing was there is tried again.
    """
    if document.upload:
        stored = Stored(**document.upload)
        document.upload = None
    elif document.s3_key:
        stored = Stored(document.s3_key, document.file_size or 0, document.content_type)
    else:
        raise Conflict("No upload was begun; begin one by POST.")
    documents.receive(session, document, stored)
