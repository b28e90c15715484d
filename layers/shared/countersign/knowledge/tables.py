"""Tables of the knowledge room."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pgvector.sqlalchemy import Vector
from sqlalchemy import Computed
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from countersign.models.vectors import STORED_DIMENSIONS
from countersign.platform.columns import (
    ProcessingStatus,
    Tenant,
    bigint,
    created,
    json,
    timestamp,
    word,
    words,
)
from countersign.platform.db import Table

DatasetKind = Literal["documents", "faq", "analytics"]


class Dataset(Tenant, Table):
    """A named set of documents."""

    __tablename__ = "datasets"

    slug: Mapped[str]
    name: Mapped[str]
    kind: Mapped[DatasetKind] = word(server_default="documents")
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class Document(Tenant, Table):
    """A source (seeds: KnowledgeBase, SourceDocument); its texts are its versions.

    `version` is the one that search finds, 0 while there is none; `hash` is of that one's text. The
    one under work is the next. `upload` says what a file will be whose upload has been begun. A
    deleted document keeps its versions: drafts may cite them.
    """

    __tablename__ = "documents"

    dataset_id: Mapped[UUID]
    title: Mapped[str]
    source_url: Mapped[str | None]
    content_type: Mapped[str] = mapped_column(server_default="text/markdown")
    s3_key: Mapped[str | None]
    file_size: Mapped[int | None] = bigint()
    upload: Mapped[dict[str, Any] | None] = json()
    language: Mapped[str] = mapped_column(server_default="english")
    tags: Mapped[list[str]] = words(server_default="{}")
    hash: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default="0")
    processing_status: Mapped[ProcessingStatus] = word(server_default="pending")
    reason: Mapped[str | None]
    job_run_id: Mapped[UUID | None]
    fence: Mapped[int] = mapped_column(server_default="0")
    attempts: Mapped[int] = mapped_column(server_default="0")
    leased_until: Mapped[datetime | None] = timestamp()
    indexed_at: Mapped[datetime | None] = timestamp()
    next_refresh_at: Mapped[datetime | None] = timestamp()
    refresh_hours: Mapped[int | None]
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
    times_gone: Mapped[int] = mapped_column(server_default="0")
    gone_at: Mapped[datetime | None] = timestamp()
    deleted_at: Mapped[datetime | None] = timestamp()
    metadata_: Mapped[dict[str, Any]] = json("metadata", server_default="{}")
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class DocumentVersion(Table):
    """A document's text as it was: what offsets count in, and what drafts cite."""

    __tablename__ = "document_versions"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    document_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]
    content_type: Mapped[str]
    content: Mapped[str]
    hash: Mapped[str]
    created_at: Mapped[datetime] = created()


class Chunk(Tenant, Table):
    """A passage of a document's version: its content from `start_offset` to `end_offset`.

    `heading` says under which headings it stands; `hash` is of both, as they are embedded. One of
    a version that is still under work is kept for whoever goes on with that, and not searched.
    """

    __tablename__ = "chunks"

    document_id: Mapped[UUID]
    version: Mapped[int]
    chunk_index: Mapped[int]
    start_offset: Mapped[int]
    end_offset: Mapped[int]
    heading: Mapped[str] = mapped_column(server_default="")
    text: Mapped[str]
    hash: Mapped[str]
    language: Mapped[str] = mapped_column(server_default="english")
    search: Mapped[str] = mapped_column(
        TSVECTOR, Computed("search_vector(language, heading, text)")
    )
    created_at: Mapped[datetime] = created()


class ChunkEmbedding(Table):
    """A chunk's vector in one embedding space, apart from the text so that scans stay dense."""

    __tablename__ = "chunk_embeddings"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    embedding_space_id: Mapped[UUID] = mapped_column(primary_key=True)
    chunk_id: Mapped[UUID] = mapped_column(primary_key=True)
    embedding: Mapped[list[float]] = mapped_column(Vector(STORED_DIMENSIONS))


class MessageEmbedding(Table):
    """A message's vector in one embedding space."""

    __tablename__ = "message_embeddings"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    embedding_space_id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    embedding: Mapped[list[float]] = mapped_column(Vector(STORED_DIMENSIONS))
