"""People outside, and addresses that must not be written to."""

from __future__ import annotations

from alembic import op

from migrations.tenancy import protect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE people (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            name text,
            email citext,
            phone text,
            handle text,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            CONSTRAINT uq_people_email UNIQUE (organization_id, email),
            CONSTRAINT uq_people_phone UNIQUE (organization_id, phone),
            CONSTRAINT uq_people_handle UNIQUE (organization_id, handle)
        );
        CREATE TRIGGER touch BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touch();

        CREATE TABLE suppressions (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            address text NOT NULL,
            reason text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            CONSTRAINT uq_suppressions_address UNIQUE (organization_id, address)
        );
    """)
    protect("people", write="INSERT, UPDATE")
    protect("suppressions", write="INSERT, DELETE")


def downgrade() -> None:
    op.execute("DROP TABLE suppressions, people")
