"""Outbox, audit chain, job runs, idempotency keys."""

from __future__ import annotations

from alembic import op

from migrations.tenancy import protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE outbox (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            queue text NOT NULL,
            body jsonb NOT NULL CHECK (is_small(body)),
            not_before timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id)
        );
        CREATE INDEX ix_outbox_not_before ON outbox (not_before);

        CREATE TABLE audit_events (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            stream_id uuid NOT NULL,
            seq integer NOT NULL CHECK (seq >= 1),
            type text NOT NULL,
            occurred_at timestamptz NOT NULL,
            canonical_text text NOT NULL,
            hash text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
            PRIMARY KEY (organization_id, stream_id, seq),
            CONSTRAINT uq_audit_events_stream_id_seq UNIQUE (stream_id, seq)
        );
        CREATE INDEX ix_audit_events_organization_id_occurred_at
            ON audit_events (organization_id, occurred_at);

        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'audit_events is append-only';
        END $$;
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

        CREATE TABLE audit_checkpoints (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            day date NOT NULL,
            object_key text NOT NULL,
            streams integer NOT NULL,
            sha256 text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, day)
        );

        CREATE TABLE job_runs (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            type text NOT NULL CONSTRAINT ck_job_runs_type
                CHECK (type IN (
                    'crawl', 'index', 're_embed', 'ingest_goldens', 'corrections_sync'
                )),
            status text NOT NULL DEFAULT 'queued' CONSTRAINT ck_job_runs_status
                CHECK (status IN ('queued', 'running', 'succeeded', 'failed')),
            fence integer NOT NULL DEFAULT 0,
            attempts integer NOT NULL DEFAULT 0,
            leased_until timestamptz,
            started_at timestamptz,
            finished_at timestamptz,
            error text,
            metrics jsonb CHECK (is_small(metrics)),
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id)
        );
        CREATE INDEX ix_job_runs_organization_id_type_created_at
            ON job_runs (organization_id, type, created_at);
        CREATE INDEX ix_job_runs_organization_id_status ON job_runs (organization_id, status, id);
        CREATE UNIQUE INDEX uq_job_runs_re_embed ON job_runs (organization_id)
            WHERE type = 're_embed' AND status IN ('queued', 'running');

        CREATE TABLE idempotency_keys (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            api_key_id uuid NOT NULL,
            key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
            request_hash bytea NOT NULL,
            status integer,
            response text,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, api_key_id, key),
            FOREIGN KEY (organization_id, api_key_id) REFERENCES api_keys (organization_id, id)
        );
        CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
    """)
    protect("outbox", write="INSERT, DELETE", system="SELECT, DELETE", analytics=False)
    protect("audit_events", write="INSERT", system="SELECT")
    protect("audit_checkpoints", write="", system="SELECT, INSERT")
    protect("job_runs", write="INSERT, UPDATE")
    protect("idempotency_keys", write="INSERT, UPDATE", system="SELECT, DELETE", analytics=False)


def downgrade() -> None:
    op.execute("""
        DROP TABLE idempotency_keys, job_runs, audit_checkpoints, audit_events, outbox;
        DROP FUNCTION refuse_change;
    """)
