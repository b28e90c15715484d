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
    """A source text (seeds: KnowledgeBase, SourceDocument). `version` grows with its content."""

    __tablename__ = "documents"

    dataset_id: Mapped[UUID]
    title: Mapped[str]
    source_url: Mapped[str | None]
    content: Mapped[str]
    content_type: Mapped[str] = mapped_column(server_default="text/markdown")
    hash: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1")
    tags: Mapped[list[str]] = words(server_default="{}")
    processing_status: Mapped[ProcessingStatus] = word(server_default="pending")
    indexed_at: Mapped[datetime | None] = timestamp()
    next_refresh_at: Mapped[datetime | None] = timestamp()
    metadata_: Mapped[dict[str, Any]] = json("metadata", server_default="{}")
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class Chunk(Tenant, Table):
    """A passage of a document: `text` is its content from `start_offset` to `end_offset`."""

    __tablename__ = "chunks"

    document_id: Mapped[UUID]
    chunk_index: Mapped[int]
    start_offset: Mapped[int]
    end_offset: Mapped[int]
    text: Mapped[str]
    search: Mapped[str] = mapped_column(
        TSVECTOR, Computed("to_tsvector('english'::regconfig, text)")
    )
    created_at: Mapped[datetime] = created()


class ChunkEmbedding(Table):
    """A chunk's vector in one embedding space, apart from the text so that scans stay dense."""

    __tablename__ = "chunk_embeddings"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    embedding_space_id: Mapped[UUID] = mapped_column(primary_key=True)
    chunk_id: Mapped[UUID] = mapped_column(primary_key=True)
    embedding: Mapped[list[float]] = mapped_column(Vector(STORED_DIMENSIONS))
