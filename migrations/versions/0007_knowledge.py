"""Datasets, documents, their versions, chunks and vectors."""

from __future__ import annotations

from alembic import op

from migrations import searching
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
            content_type text NOT NULL DEFAULT 'text/markdown',
            s3_key text,
            file_size bigint CHECK (file_size >= 0),
            upload jsonb CHECK (is_small(upload)),
            language text NOT NULL DEFAULT 'english',
            tags text[] NOT NULL DEFAULT '{}',
            hash text,
            version integer NOT NULL DEFAULT 0 CHECK (version >= 0),
            processing_status text NOT NULL DEFAULT 'pending'
                CONSTRAINT ck_documents_processing_status CHECK (
                    processing_status IN ('pending', 'processing', 'completed', 'failed')
                ),
            reason text,
            job_run_id uuid,
            fence integer NOT NULL DEFAULT 0,
            attempts integer NOT NULL DEFAULT 0,
            leased_until timestamptz,
            indexed_at timestamptz,
            next_refresh_at timestamptz,
            etag text,
            last_modified text,
            gone_at timestamptz,
            deleted_at timestamptz,
            metadata jsonb NOT NULL DEFAULT '{}' CHECK (is_small(metadata)),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, dataset_id) REFERENCES datasets (organization_id, id),
            FOREIGN KEY (organization_id, job_run_id) REFERENCES job_runs (organization_id, id)
        );
        CREATE UNIQUE INDEX uq_documents_source_url ON documents (organization_id, source_url)
            WHERE deleted_at IS NULL;
        CREATE INDEX ix_documents_dataset_id ON documents (organization_id, dataset_id);
        CREATE INDEX ix_documents_language ON documents (organization_id, language)
            WHERE deleted_at IS NULL;
        CREATE INDEX ix_documents_processing_status
            ON documents (organization_id, processing_status, id);
        CREATE INDEX ix_documents_next_refresh_at ON documents (organization_id, next_refresh_at)
            WHERE next_refresh_at IS NOT NULL AND deleted_at IS NULL;
        CREATE TRIGGER touch BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION touch();

        CREATE TABLE document_versions (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            document_id uuid NOT NULL,
            version integer NOT NULL CHECK (version >= 1),
            title text NOT NULL,
            content_type text NOT NULL,
            content text NOT NULL,
            hash text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, document_id, version),
            FOREIGN KEY (organization_id, document_id)
                REFERENCES documents (organization_id, id) ON DELETE CASCADE
        );

        CREATE TABLE chunks (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            document_id uuid NOT NULL,
            -- Search does not show those of a version that is not the document's yet.
            version integer NOT NULL CHECK (version >= 1),
            chunk_index integer NOT NULL,
            start_offset integer NOT NULL,
            end_offset integer NOT NULL,
            heading text NOT NULL DEFAULT '',
            text text NOT NULL,
            hash text NOT NULL,
            language text NOT NULL DEFAULT 'english',
            search tsvector NOT NULL
                GENERATED ALWAYS AS (search_vector(language, heading, text)) STORED,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, document_id)
                REFERENCES documents (organization_id, id) ON DELETE CASCADE,
            CONSTRAINT uq_chunks_chunk_index
                UNIQUE (organization_id, document_id, version, chunk_index)
        );

        CREATE INDEX ix_chunks_hash ON chunks (organization_id, document_id, hash);

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
    protect("document_versions", write="INSERT, DELETE")
    protect("chunks", write="INSERT, DELETE")
    protect("chunk_embeddings")
    searching.index("chunks")


def downgrade() -> None:
    searching.drop("chunks")
    op.execute("DROP TABLE chunk_embeddings, chunks, document_versions, documents, datasets")
