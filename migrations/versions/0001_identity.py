"""Organizations, users, identities, memberships, API keys; the shared trigger functions."""

from __future__ import annotations

from alembic import op

from migrations.tenancy import TENANT, protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
phase = "pre"


def upgrade() -> None:
    op.execute("""
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at := now();
            RETURN NEW;
        END $$;

        CREATE FUNCTION is_small(value jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE
            RETURN octet_length(value::text) <= 65536;

        CREATE TABLE organizations (
            id uuid PRIMARY KEY,
            slug citext NOT NULL,
            name text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT uq_organizations_slug UNIQUE (slug)
        );

        CREATE TABLE organization_settings (
            organization_id uuid PRIMARY KEY REFERENCES organizations (id),
            undo_seconds integer NOT NULL DEFAULT 10 CHECK (undo_seconds BETWEEN 0 AND 900),
            debounce_seconds integer NOT NULL DEFAULT 5 CHECK (debounce_seconds BETWEEN 0 AND 900),
            daily_model_budget_microusd bigint NOT NULL DEFAULT 5000000
                CHECK (daily_model_budget_microusd >= 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        );

        CREATE TABLE users (
            id uuid PRIMARY KEY,
            email citext NOT NULL,
            display_name text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT uq_users_email UNIQUE (email)
        );

        CREATE TABLE identities (
            id uuid PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES users (id),
            provider text NOT NULL,
            subject text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT uq_identities_provider_subject UNIQUE (provider, subject)
        );
        CREATE INDEX ix_identities_user_id ON identities (user_id);

        CREATE TABLE organization_memberships (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            user_id uuid NOT NULL REFERENCES users (id),
            role text NOT NULL DEFAULT 'agent'
                CONSTRAINT ck_organization_memberships_role CHECK (role IN ('admin', 'agent')),
            ended_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, user_id)
        );
        CREATE INDEX ix_organization_memberships_user_id ON organization_memberships (user_id);

        CREATE TABLE api_keys (
            organization_id uuid NOT NULL REFERENCES organizations (id),
            id uuid NOT NULL,
            user_id uuid,
            name text NOT NULL,
            secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
            scopes text[] NOT NULL,
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, id),
            CONSTRAINT uq_api_keys_id UNIQUE (id),
            FOREIGN KEY (organization_id, user_id)
                REFERENCES organization_memberships (organization_id, user_id),
            CONSTRAINT ck_api_keys_approver_is_a_person
                CHECK (user_id IS NOT NULL OR NOT 'drafts:approve' = ANY (scopes))
        );

        CREATE TRIGGER touch BEFORE UPDATE ON organizations FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE TRIGGER touch BEFORE UPDATE ON organization_settings
            FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
    """)
    protect("organizations", key="id", write="UPDATE", system="SELECT")
    protect("organization_settings", write="UPDATE")
    protect("organization_memberships", write="")
    protect("api_keys", write="", analytics=False)
    _show_to_members("users", "id")
    _show_to_members("identities", "user_id")
    op.execute("""
        CREATE FUNCTION find_api_key(key_id uuid) RETURNS TABLE (
            organization_id uuid,
            user_id uuid,
            secret_hash bytea,
            scopes text[],
            expires_at timestamptz,
            revoked_at timestamptz,
            membership_ended_at timestamptz
        )
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
            SELECT k.organization_id, k.user_id, k.secret_hash, k.scopes, k.expires_at,
                   k.revoked_at, m.ended_at
            FROM public.api_keys k
            LEFT JOIN public.organization_memberships m
                ON m.organization_id = k.organization_id AND m.user_id = k.user_id
            WHERE k.id = key_id
        $$;
        REVOKE ALL ON FUNCTION find_api_key FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION find_api_key TO app_rw;
    """)


def _show_to_members(table: str, user: str) -> None:
    """Show a row of `table` to every organization that its `user` is or was a member of."""
    op.execute(f"""
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY owner ON {table} TO app_owner USING (true) WITH CHECK (true);
        CREATE POLICY member ON {table} FOR SELECT TO app_rw, app_ro USING (EXISTS (
            SELECT FROM organization_memberships m
            WHERE m.user_id = {table}.{user} AND m.organization_id = {TENANT}
        ));
        GRANT SELECT ON {table} TO app_rw, app_ro;
    """)


def downgrade() -> None:
    op.execute("""
        DROP FUNCTION find_api_key;
        DROP TABLE api_keys, organization_memberships, identities, users, organization_settings,
            organizations;
        DROP FUNCTION is_small;
        DROP FUNCTION touch;
    """)
