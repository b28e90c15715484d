"""Embedding spaces, the indexes of vectors in them, what model calls cost, and how texts are made
searchable."""

from __future__ import annotations

from alembic import op

from migrations import searching
from migrations.tenancy import protect

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE embedding_spaces (
            id uuid PRIMARY KEY,
            provider text NOT NULL,
            model text NOT NULL,
            dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 1536),
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT uq_embedding_spaces_provider_model_dimensions
                UNIQUE (provider, model, dimensions)
        );
        GRANT SELECT, INSERT ON embedding_spaces TO app_rw;
        GRANT SELECT ON embedding_spaces TO app_ro;
        ALTER TABLE organization_settings ADD embedding_space_id uuid
            REFERENCES embedding_spaces (id);

        CREATE TABLE vector_indexes (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            embedding_space_id uuid NOT NULL REFERENCES embedding_spaces (id),
            corpus text NOT NULL,
            index_name text NOT NULL,
            rows integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, embedding_space_id, corpus)
        );

        CREATE TABLE model_usage (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            kind text NOT NULL
                CONSTRAINT ck_model_usage_kind CHECK (kind IN ('chat', 'embedding')),
            model_key text NOT NULL,
            prompt_version text,
            subject_id uuid,
            input_tokens integer NOT NULL,
            output_tokens integer NOT NULL,
            cost_microusd bigint NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id)
        );
        CREATE INDEX ix_model_usage_organization_id_created_at
            ON model_usage (organization_id, created_at) INCLUDE (cost_microusd);
        -- Only what was vacuumed is read from the index alone, and what is read is the newest.
        ALTER TABLE model_usage SET (
            autovacuum_vacuum_insert_threshold = 1000, autovacuum_vacuum_insert_scale_factor = 0
        );
    """)
    protect("vector_indexes", write="")
    protect("model_usage", write="INSERT")
    searching.create_functions()


def downgrade() -> None:
    searching.drop_functions()
    op.execute("""
        ALTER TABLE organization_settings DROP embedding_space_id;
        DROP TABLE model_usage, vector_indexes, embedding_spaces;
    """)
