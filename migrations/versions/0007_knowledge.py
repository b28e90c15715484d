"""Datasets, documents, chunks and their vectors."""

from __future__ import annotations

from alembic import op

from migrations.tenancy import protect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE datasets (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            slug text NOT NULL,
            name text NOT NULL,
            kind text NOT NULL DEFAULT 'documents' CONSTRAINT ck_datasets_kind
                CHECK (kind IN ('documents', 'faq', 'analytics')),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            CONSTRAINT uq_datasets_slug UNIQUE (organization_id, slug)
        );
        CREATE TRIGGER touch BEFORE UPDATE ON datasets FOR EACH ROW EXECUTE FUNCTION touch();

        CREATE TABLE documents (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            dataset_id uuid NOT NULL,
            title text NOT NULL,
            source_url text,
            content text NOT NULL,
            content_type text NOT NULL DEFAULT 'text/markdown',
            hash text NOT NULL,
            version integer NOT NULL DEFAULT 1,
            tags text[] NOT NULL DEFAULT '{}',
            processing_status text NOT NULL DEFAULT 'pending'
                CONSTRAINT ck_documents_processing_status CHECK (
                    processing_status IN ('pending', 'processing', 'completed', 'failed')
                ),
            indexed_at timestamptz,
            next_refresh_at timestamptz,
            metadata jsonb NOT NULL DEFAULT '{}' CHECK (is_small(metadata)),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, dataset_id) REFERENCES datasets (organization_id, id),
            CONSTRAINT uq_documents_source_url UNIQUE (organization_id, source_url)
        );
        CREATE TRIGGER touch BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION touch();

        CREATE TABLE chunks (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            document_id uuid NOT NULL,
            chunk_index integer NOT NULL,
            start_offset integer NOT NULL,
            end_offset integer NOT NULL,
            text text NOT NULL,
            search tsvector NOT NULL
                GENERATED ALWAYS AS (to_tsvector('english'::regconfig, text)) STORED,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, document_id)
                REFERENCES documents (organization_id, id) ON DELETE CASCADE,
            CONSTRAINT uq_chunks_chunk_index UNIQUE (organization_id, document_id, chunk_index)
        );

        CREATE TABLE chunk_embeddings (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            embedding_space_id uuid NOT NULL REFERENCES embedding_spaces (id),
            chunk_id uuid NOT NULL,
            embedding vector(1536) NOT NULL,
            PRIMARY KEY (organization_id, embedding_space_id, chunk_id),
            FOREIGN KEY (organization_id, chunk_id)
                REFERENCES chunks (organization_id, id) ON DELETE CASCADE
        );
        ALTER TABLE chunk_embeddings ALTER COLUMN embedding SET STORAGE PLAIN;
        CREATE INDEX ix_chunk_embeddings_chunk_id ON chunk_embeddings (organization_id, chunk_id);
    """)
    protect("datasets")
    protect("documents")
    protect("chunks")
    protect("chunk_embeddings")


def downgrade() -> None:
    op.execute("DROP TABLE chunk_embeddings, chunks, documents, datasets")
