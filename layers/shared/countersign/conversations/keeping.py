"""Where files lie: each once in an organization, under its hash, however often it comes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from countersign.conversations import filetypes
from countersign.conversations.tables import Attachment
from countersign.platform import storage


@dataclass(frozen=True)
class Kept:
    """A file that lies in storage, under its organization and `sha256`."""

    sha256: str
    size_bytes: int
    mime_type: str
    file_name: str


def keep(file: Attachment, content: bytes, bucket: str) -> Kept:
    """Put a file where its equals lie, and tell what it is. Raises `Unavailable`."""
    digest = hashlib.sha256(content).hexdigest()
    storage.put(bucket, _key(file.organization_id, digest), content)
    mime_type = filetypes.sniff(content, file.mime_type, file.file_name)
    return Kept(digest, len(content), mime_type, filetypes.named(file.file_name, mime_type))


def note(file: Attachment, kept: Kept) -> None:
    """Note in a file's row that it is kept."""
    file.status, file.reason = "completed", None
    file.sha256, file.size_bytes = kept.sha256, kept.size_bytes
    file.mime_type, file.file_name = kept.mime_type, kept.file_name


def key(file: Attachment) -> str:
    """Where a `completed` file lies in its bucket."""
    assert file.sha256
    return _key(file.organization_id, file.sha256)


def _key(organization_id: UUID, sha256: str) -> str:
    return f"files/{organization_id}/{sha256}"


def url(file: Attachment, bucket: str, seconds: int) -> str:
    """Where a `completed` file can be had from `bucket`, for so long."""
    return storage.download_url(
        bucket, key(file), file_name=file.file_name, mime_type=file.mime_type, seconds=seconds
    )
