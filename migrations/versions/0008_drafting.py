"""Draft requests, drafts, claims, actions, learning samples."""

from __future__ import annotations

from alembic import op

from migrations.tenancy import protect

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE draft_requests (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            conversation_id uuid NOT NULL,
            trigger_message_id uuid NOT NULL,
            revision integer NOT NULL DEFAULT 1,
            status text NOT NULL DEFAULT 'waiting' CONSTRAINT ck_draft_requests_status CHECK (
                status IN ('waiting', 'drafting', 'drafted', 'abstained', 'superseded', 'failed')
            ),
            reason text,
            not_before timestamptz NOT NULL,
            fence integer NOT NULL DEFAULT 0,
            leased_until timestamptz,
            attempts integer NOT NULL DEFAULT 0,
            correlation_id text,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, conversation_id)
                REFERENCES conversations (organization_id, id),
            FOREIGN KEY (organization_id, trigger_message_id)
                REFERENCES messages (organization_id, id),
            CONSTRAINT uq_draft_requests_trigger
                UNIQUE (organization_id, trigger_message_id, revision)
        );
        CREATE INDEX ix_draft_requests_conversation_id
            ON draft_requests (organization_id, conversation_id, created_at DESC);
        CREATE TRIGGER touch BEFORE UPDATE ON draft_requests FOR EACH ROW EXECUTE FUNCTION touch();

        CREATE TABLE drafts (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            conversation_id uuid NOT NULL,
            trigger_message_id uuid NOT NULL,
            revision integer NOT NULL DEFAULT 1,
            author_user_id uuid,
            model_key text NOT NULL,
            prompt_version text NOT NULL,
            status text NOT NULL DEFAULT 'pending' CONSTRAINT ck_drafts_status
                CHECK (status IN ('pending', 'sent', 'superseded', 'archived')),
            suggested_text text NOT NULL,
            text_salt bytea NOT NULL,
            suggested_html text,
            top_sources jsonb NOT NULL DEFAULT '[]' CHECK (is_small(top_sources)),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, conversation_id)
                REFERENCES conversations (organization_id, id),
            FOREIGN KEY (organization_id, trigger_message_id)
                REFERENCES messages (organization_id, id),
            FOREIGN KEY (organization_id, author_user_id)
                REFERENCES organization_memberships (organization_id, user_id),
            CONSTRAINT uq_drafts_trigger UNIQUE (organization_id, trigger_message_id, revision)
        );
        CREATE UNIQUE INDEX uq_drafts_pending ON drafts (organization_id, conversation_id)
            WHERE status = 'pending';
        CREATE INDEX ix_drafts_conversation_id_status
            ON drafts (organization_id, conversation_id, status);
        CREATE INDEX ix_drafts_status_created_at ON drafts (organization_id, status, created_at);
        CREATE TRIGGER touch BEFORE UPDATE ON drafts FOR EACH ROW EXECUTE FUNCTION touch();

        CREATE TABLE draft_claims (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            draft_id uuid NOT NULL,
            user_id uuid NOT NULL,
            expires_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, draft_id),
            FOREIGN KEY (organization_id, draft_id) REFERENCES drafts (organization_id, id),
            FOREIGN KEY (organization_id, user_id)
                REFERENCES organization_memberships (organization_id, user_id)
        );

        CREATE TABLE draft_actions (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            draft_id uuid NOT NULL,
            user_id uuid NOT NULL,
            api_key_id uuid,
            type text NOT NULL CONSTRAINT ck_draft_actions_type
                CHECK (type IN ('approve', 'edit', 'reject')),
            reason_code text CONSTRAINT ck_draft_actions_reason_code CHECK (reason_code IN (
                'wrong_facts', 'wrong_tone', 'incomplete', 'not_needed', 'handled_elsewhere',
                'other'
            )),
            notes text,
            final_text text,
            final_html text,
            diff_json jsonb CHECK (is_small(diff_json)),
            message_id uuid,
            revoked_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, draft_id) REFERENCES drafts (organization_id, id),
            FOREIGN KEY (organization_id, user_id)
                REFERENCES organization_memberships (organization_id, user_id),
            FOREIGN KEY (organization_id, api_key_id) REFERENCES api_keys (organization_id, id),
            FOREIGN KEY (organization_id, message_id) REFERENCES messages (organization_id, id),
            CONSTRAINT ck_draft_actions_shape CHECK (
                (type = 'reject') = (reason_code IS NOT NULL)
                AND (type = 'reject') = (message_id IS NULL)
            )
        );
        CREATE UNIQUE INDEX uq_draft_actions_live ON draft_actions (organization_id, draft_id)
            WHERE revoked_at IS NULL;
        CREATE INDEX ix_draft_actions_draft_id ON draft_actions (organization_id, draft_id);
        CREATE INDEX ix_draft_actions_message_id ON draft_actions (organization_id, message_id);
        CREATE INDEX ix_draft_actions_user_id_created_at
            ON draft_actions (organization_id, user_id, created_at);

        CREATE TABLE learning_samples (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            draft_id uuid NOT NULL,
            action_id uuid NOT NULL,
            diff_json jsonb NOT NULL CHECK (is_small(diff_json)),
            embeddings_json jsonb CHECK (is_small(embeddings_json)),
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, draft_id) REFERENCES drafts (organization_id, id),
            FOREIGN KEY (organization_id, action_id) REFERENCES draft_actions (organization_id, id),
            CONSTRAINT uq_learning_samples_draft_id UNIQUE (organization_id, draft_id),
            CONSTRAINT uq_learning_samples_action_id UNIQUE (organization_id, action_id)
        );
        CREATE INDEX ix_learning_samples_created_at
            ON learning_samples (organization_id, created_at);
    """)
    protect("draft_requests", write="INSERT, UPDATE")
    protect("drafts", write="INSERT, UPDATE")
    protect("draft_claims")
    protect("draft_actions", write="INSERT, UPDATE")
    protect("learning_samples", write="INSERT, DELETE")


def downgrade() -> None:
    op.execute("DROP TABLE learning_samples, draft_actions, draft_claims, drafts, draft_requests")
