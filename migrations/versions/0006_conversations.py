"""Conversations, messages, attachments, notifications."""

from __future__ import annotations

from alembic import op

from migrations import searching
from migrations.tenancy import protect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE conversations (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            channel_id uuid NOT NULL,
            external_id text NOT NULL,
            kind text NOT NULL DEFAULT 'support' CONSTRAINT ck_conversations_kind
                CHECK (kind IN ('support', 'campaign', 'planning', 'ad_hoc')),
            status text NOT NULL DEFAULT 'open' CONSTRAINT ck_conversations_status
                CHECK (status IN ('open', 'closed')),
            subject text,
            customer_address text NOT NULL,
            customer_email citext,
            customer_name text,
            person_id uuid,
            assignee_id uuid,
            snoozed_until timestamptz,
            waiting_since timestamptz,
            session_id text,
            session_context jsonb NOT NULL DEFAULT '{}' CHECK (is_small(session_context)),
            last_message_at timestamptz,
            latest_message_id uuid,
            latest_inbound_message_id uuid,
            latest_inbound_at timestamptz,
            whatsapp_id text,
            sms_id text,
            messenger_id text,
            instagram_id text,
            channel_metadata jsonb NOT NULL DEFAULT '{}' CHECK (is_small(channel_metadata)),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, channel_id) REFERENCES channels (organization_id, id),
            FOREIGN KEY (organization_id, person_id) REFERENCES people (organization_id, id),
            FOREIGN KEY (organization_id, assignee_id)
                REFERENCES organization_memberships (organization_id, user_id),
            CONSTRAINT uq_conversations_channel_id_external_id
                UNIQUE (organization_id, channel_id, external_id),
            CONSTRAINT uq_conversations_session_id UNIQUE (organization_id, session_id)
        );
        CREATE INDEX ix_conversations_feed ON conversations (organization_id, waiting_since, id)
            WHERE status = 'open' AND waiting_since IS NOT NULL;
        CREATE INDEX ix_conversations_customer_email
            ON conversations (organization_id, customer_email, last_message_at)
            WHERE customer_email IS NOT NULL;
        CREATE INDEX ix_conversations_status
            ON conversations (organization_id, status, last_message_at DESC);
        CREATE INDEX ix_conversations_channel_id_created_at
            ON conversations (organization_id, channel_id, created_at);
        CREATE TRIGGER touch BEFORE UPDATE ON conversations FOR EACH ROW EXECUTE FUNCTION touch();

        CREATE TABLE participants (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            conversation_id uuid NOT NULL,
            role text NOT NULL DEFAULT 'customer' CONSTRAINT ck_participants_role
                CHECK (role IN ('customer', 'agent', 'copied')),
            address citext NOT NULL,
            name text,
            person_id uuid,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, conversation_id)
                REFERENCES conversations (organization_id, id),
            FOREIGN KEY (organization_id, person_id) REFERENCES people (organization_id, id),
            CONSTRAINT uq_participants_address UNIQUE (organization_id, conversation_id, address)
        );

        CREATE TABLE messages (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            conversation_id uuid NOT NULL,
            channel_id uuid NOT NULL,
            external_id text,
            direction text NOT NULL CONSTRAINT ck_messages_direction
                CHECK (direction IN ('inbound', 'outbound', 'system')),
            role text NOT NULL CONSTRAINT ck_messages_role
                CHECK (role IN ('system', 'user', 'assistant', 'tool')),
            subject text,
            body_text text NOT NULL,
            body_html text,
            body_salt bytea NOT NULL,
            quoted_text text,
            may_have_cut boolean NOT NULL DEFAULT false,
            recipients jsonb NOT NULL DEFAULT '{}' CHECK (is_small(recipients)),
            reference_ids text[] NOT NULL DEFAULT '{}',
            raw_key text,
            author_user_id uuid,
            sent_at timestamptz NOT NULL,
            cancelled_at timestamptz,
            language text NOT NULL DEFAULT 'english',
            search tsvector NOT NULL GENERATED ALWAYS AS (
                search_vector(language, coalesce(subject, ''), body_text)
            ) STORED,
            metadata jsonb NOT NULL DEFAULT '{}' CHECK (is_small(metadata)),
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, conversation_id)
                REFERENCES conversations (organization_id, id),
            FOREIGN KEY (organization_id, channel_id) REFERENCES channels (organization_id, id),
            FOREIGN KEY (organization_id, author_user_id)
                REFERENCES organization_memberships (organization_id, user_id),
            CONSTRAINT uq_messages_channel_id_external_id
                UNIQUE (organization_id, channel_id, external_id)
        );
        CREATE INDEX ix_messages_conversation_id_sent_at
            ON messages (organization_id, conversation_id, sent_at, id);
        CREATE INDEX ix_messages_language ON messages (organization_id, language);

        CREATE TABLE message_embeddings (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            embedding_space_id uuid NOT NULL REFERENCES embedding_spaces (id),
            message_id uuid NOT NULL,
            embedding vector(1536) NOT NULL,
            PRIMARY KEY (organization_id, embedding_space_id, message_id),
            FOREIGN KEY (organization_id, message_id)
                REFERENCES messages (organization_id, id) ON DELETE CASCADE
        );
        ALTER TABLE message_embeddings ALTER COLUMN embedding SET STORAGE PLAIN;
        CREATE INDEX ix_message_embeddings_message_id
            ON message_embeddings (organization_id, message_id);

        ALTER TABLE conversations ADD CONSTRAINT fk_conversations_latest_message_id
            FOREIGN KEY (organization_id, latest_message_id)
            REFERENCES messages (organization_id, id);
        ALTER TABLE conversations ADD CONSTRAINT fk_conversations_latest_inbound_message_id
            FOREIGN KEY (organization_id, latest_inbound_message_id)
            REFERENCES messages (organization_id, id);
        ALTER TABLE deliveries ADD CONSTRAINT fk_deliveries_conversation_id
            FOREIGN KEY (organization_id, conversation_id)
            REFERENCES conversations (organization_id, id);
        ALTER TABLE deliveries ADD CONSTRAINT fk_deliveries_message_id
            FOREIGN KEY (organization_id, message_id) REFERENCES messages (organization_id, id);

        CREATE TABLE attachments (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            message_id uuid,
            uploaded_by uuid,
            file_name text NOT NULL,
            mime_type text NOT NULL,
            size_bytes integer CHECK (size_bytes >= 0),
            file_url text,
            part_index integer,
            content_id text,
            status text NOT NULL DEFAULT 'pending' CONSTRAINT ck_attachments_status
                CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
            reason text,
            sha256 text,
            fence integer NOT NULL DEFAULT 0,
            attempts integer NOT NULL DEFAULT 0,
            leased_until timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, message_id) REFERENCES messages (organization_id, id),
            FOREIGN KEY (organization_id, uploaded_by)
                REFERENCES organization_memberships (organization_id, user_id),
            CONSTRAINT ck_attachments_owner
                CHECK (message_id IS NOT NULL OR uploaded_by IS NOT NULL)
        );
        CREATE INDEX ix_attachments_message_id ON attachments (organization_id, message_id);

        CREATE TABLE notifications (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            user_id uuid,
            type text NOT NULL,
            payload jsonb NOT NULL DEFAULT '{}' CHECK (is_small(payload)),
            read_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, user_id)
                REFERENCES organization_memberships (organization_id, user_id)
        );
        CREATE INDEX ix_notifications_created_at ON notifications (organization_id, created_at);
        CREATE INDEX ix_notifications_user_id_created_at
            ON notifications (organization_id, user_id, created_at);
    """)
    protect("conversations", write="INSERT, UPDATE")
    protect("participants", write="INSERT")
    protect("messages", write="INSERT, UPDATE")
    searching.index("messages")
    protect("message_embeddings", write="INSERT, DELETE")
    protect("attachments", write="INSERT, UPDATE")
    protect("notifications", write="INSERT, UPDATE")


def downgrade() -> None:
    searching.drop("messages")
    op.execute("""
        ALTER TABLE deliveries DROP CONSTRAINT fk_deliveries_message_id;
        ALTER TABLE deliveries DROP CONSTRAINT fk_deliveries_conversation_id;
        ALTER TABLE conversations DROP CONSTRAINT fk_conversations_latest_inbound_message_id;
        ALTER TABLE conversations DROP CONSTRAINT fk_conversations_latest_message_id;
        DROP TABLE notifications, attachments, message_embeddings, messages, participants,
            conversations;
    """)
