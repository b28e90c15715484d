"""Crawls, the pages that they found, and when what came from the web is fetched again."""

from __future__ import annotations

from alembic import op

from migrations.tenancy import protect

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE documents
            ADD refresh_hours integer CHECK (refresh_hours >= 1),
            ADD times_gone integer NOT NULL DEFAULT 0;

        CREATE TABLE crawls (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            dataset_id uuid,
            source text NOT NULL CONSTRAINT ck_crawls_source
                CHECK (source IN ('page', 'site', 'sitemap', 'refresh')),
            url text,
            site text NOT NULL,
            max_pages integer NOT NULL CHECK (max_pages >= 1),
            max_depth integer NOT NULL CHECK (max_depth >= 0),
            refresh_hours integer CHECK (refresh_hours >= 1),
            language text NOT NULL DEFAULT 'english',
            tags text[] NOT NULL DEFAULT '{}',
            turn integer NOT NULL DEFAULT 0,
            limits text[] NOT NULL DEFAULT '{}',
            is_open boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, id) REFERENCES job_runs (organization_id, id),
            FOREIGN KEY (organization_id, dataset_id) REFERENCES datasets (organization_id, id)
        );
        CREATE UNIQUE INDEX uq_crawls_site ON crawls (organization_id, site) WHERE is_open;

        CREATE TABLE crawl_pages (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            job_run_id uuid NOT NULL,
            url text NOT NULL CHECK (length(url) <= 2000),
            id uuid NOT NULL,
            kind text NOT NULL DEFAULT 'page' CONSTRAINT ck_crawl_pages_kind
                CHECK (kind IN ('page', 'sitemap')),
            depth integer NOT NULL DEFAULT 0 CHECK (depth >= 0),
            status text NOT NULL DEFAULT 'pending' CONSTRAINT ck_crawl_pages_status CHECK (
                status IN ('pending', 'changed', 'unchanged', 'gone', 'skipped', 'failed')
            ),
            reason text,
            attempts integer NOT NULL DEFAULT 0,
            document_id uuid,
            fetched_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, job_run_id, url),
            FOREIGN KEY (organization_id, job_run_id) REFERENCES job_runs (organization_id, id),
            FOREIGN KEY (organization_id, document_id)
                REFERENCES documents (organization_id, id) ON DELETE SET NULL (document_id)
        );
        CREATE INDEX ix_crawl_pages_pending
            ON crawl_pages (organization_id, job_run_id, attempts, depth, id)
            WHERE status = 'pending';

        CREATE FUNCTION find_refreshes(moment timestamptz) RETURNS TABLE (organization_id uuid)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
            SELECT o.id FROM public.organizations o
            WHERE EXISTS (
                SELECT FROM public.documents d
                WHERE d.organization_id = o.id AND d.next_refresh_at <= moment
                    AND d.deleted_at IS NULL
            )
        $$;
        REVOKE ALL ON FUNCTION find_refreshes FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION find_refreshes TO app_system;
    """)
    protect("crawls", write="INSERT, UPDATE")
    protect("crawl_pages", write="INSERT, UPDATE")


def downgrade() -> None:
    op.execute("""
        DROP FUNCTION find_refreshes;
        DROP TABLE crawl_pages, crawls;
        ALTER TABLE documents DROP refresh_hours, DROP times_gone;
    """)
