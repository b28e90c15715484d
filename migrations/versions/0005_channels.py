"""Channels, webhook events, and the one ledger of what is sent."""

from __future__ import annotations

from alembic import op

from migrations.tenancy import protect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE channels (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            type text NOT NULL CONSTRAINT ck_channels_type CHECK (type IN (
                'email', 'chat', 'shopify', 'slack', 'whatsapp', 'sms', 'messenger', 'instagram',
                'api'
            )),
            provider text NOT NULL,
            external_id text NOT NULL,
            inbound_address citext,
            name text NOT NULL,
            metadata jsonb NOT NULL DEFAULT '{}' CHECK (is_small(metadata)),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            CONSTRAINT uq_channels_type_external_id UNIQUE (organization_id, type, external_id)
        );
        -- A mail names its channel by address alone, so no two organizations may have the same.
        CREATE UNIQUE INDEX uq_channels_mail_address ON channels (lower(external_id))
            WHERE type = 'email';
        CREATE UNIQUE INDEX uq_channels_inbound_address ON channels (inbound_address);
        CREATE TRIGGER touch BEFORE UPDATE ON channels FOR EACH ROW EXECUTE FUNCTION touch();

        CREATE TABLE webhook_deliveries (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            channel_id uuid NOT NULL,
            provider_event_id text NOT NULL,
            status text NOT NULL
                CONSTRAINT ck_webhook_deliveries_status CHECK (status IN ('accepted', 'rejected')),
            reason text,
            received_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, channel_id) REFERENCES channels (organization_id, id),
            CONSTRAINT uq_webhook_deliveries_event
                UNIQUE (organization_id, channel_id, provider_event_id)
        );

        CREATE TABLE deliveries (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            channel_id uuid NOT NULL,
            conversation_id uuid,
            message_id uuid,
            status text NOT NULL DEFAULT 'queued' CONSTRAINT ck_deliveries_status CHECK (status IN (
                'queued', 'sending', 'sent', 'delivered', 'failed', 'unknown', 'cancelled'
            )),
            sender text NOT NULL,
            recipient text NOT NULL,
            payload jsonb NOT NULL CHECK (is_small(payload)),
            not_before timestamptz NOT NULL,
            fence integer NOT NULL DEFAULT 0,
            leased_until timestamptz,
            attempts integer NOT NULL DEFAULT 0,
            may_have_arrived boolean NOT NULL DEFAULT false,
            stop_reason text,
            provider_message_id text,
            reason_code text,
            reason text,
            sent_at timestamptz,
            delivered_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, channel_id) REFERENCES channels (organization_id, id),
            CONSTRAINT uq_deliveries_message_id UNIQUE (organization_id, message_id)
        );
        CREATE INDEX ix_deliveries_conversation_id
            ON deliveries (organization_id, conversation_id, created_at);
        CREATE INDEX ix_deliveries_provider_message_id
            ON deliveries (organization_id, channel_id, provider_message_id);
        CREATE TRIGGER touch BEFORE UPDATE ON deliveries FOR EACH ROW EXECUTE FUNCTION touch();

        CREATE TABLE delivery_attempts (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            delivery_id uuid NOT NULL,
            number integer NOT NULL,
            outcome text CONSTRAINT ck_delivery_attempts_outcome CHECK (outcome IN (
                'accepted', 'refused', 'throttled', 'unreached', 'unknown'
            )),
            provider_message_id text,
            reason_code text,
            reason text,
            started_at timestamptz NOT NULL,
            finished_at timestamptz,
            PRIMARY KEY (organization_id, id),
            FOREIGN KEY (organization_id, delivery_id) REFERENCES deliveries (organization_id, id),
            CONSTRAINT uq_delivery_attempts_number UNIQUE (organization_id, delivery_id, number)
        );
    """)
    protect("channels", write="INSERT, UPDATE")
    op.execute("""
        CREATE FUNCTION find_mail_channels(addresses text[]) RETURNS TABLE (
            address text,
            organization_id uuid,
            id uuid
        )
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
            SELECT a.address, c.organization_id, c.id
            FROM unnest(addresses) AS a (address)
            JOIN public.channels c
                ON c.inbound_address = a.address::public.citext
                OR (c.type = 'email' AND lower(c.external_id) = lower(a.address))
        $$;
        REVOKE ALL ON FUNCTION find_mail_channels FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION find_mail_channels TO app_rw;
    """)
    protect("webhook_deliveries", write="INSERT")
    protect("deliveries", write="INSERT, UPDATE")
    protect("delivery_attempts", write="INSERT, UPDATE")


def downgrade() -> None:
    op.execute("""
        DROP FUNCTION find_mail_channels;
        DROP TABLE delivery_attempts, deliveries, webhook_deliveries, channels;
    """)
