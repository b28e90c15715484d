"""Views for analytics: what became of drafts, by day."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        CREATE VIEW draft_outcomes WITH (security_invoker = true) AS
        SELECT d.organization_id,
               date_trunc('day', d.created_at) AS day,
               d.model_key,
               d.prompt_version,
               count(*) AS drafts,
               count(*) FILTER (WHERE a.type = 'approve') AS approved,
               count(*) FILTER (WHERE a.type = 'edit') AS edited,
               count(*) FILTER (WHERE a.type = 'reject') AS rejected,
               count(*) FILTER (WHERE d.status = 'superseded') AS superseded
        FROM drafts d
        LEFT JOIN draft_actions a ON a.organization_id = d.organization_id
            AND a.draft_id = d.id AND a.revoked_at IS NULL
        GROUP BY 1, 2, 3, 4;
        GRANT SELECT ON draft_outcomes TO app_ro;
    """)


def downgrade() -> None:
    op.execute("DROP VIEW draft_outcomes")
