"""The database under the stage: one organization, and the way back to a moment of it."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from pgvector import Vector
from psycopg.rows import dict_row

from countersign.channels.keys import ChannelKey, make
from countersign.identity.api_keys import SCOPES
from countersign.models.vectors import padded
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id
from local.providers.sendgrid import SigningKey
from tests.conftest import PASSWORDS, TestDatabase
from tests.world import HashingEncoder

if TYPE_CHECKING:
    from tests.crash.acts import Act

ARTICLE = "Returns are free for 30 days. Keep the box."
CUSTOMER, OUR_NUMBER = "+15550100001", "+15550100002"
CUSTOMERS_ADDRESS, SUPPORT = "ada@example.com", "support@shop.example"
CHANNELS = {
    "sms": ("sms", "twilio"),
    "whatsapp": ("whatsapp", "twilio"),
    "api": ("api", "api"),
    "ses": ("email", "ses"),
    "sendgrid": ("email", "sendgrid"),
    "smtp": ("email", "smtp"),
}
"""The channels that acts name: of which type each is, and who stands behind it."""
ACCOUNT, TOKEN = "AC" + "0" * 32, "token-of-twilio"
SIGNING_SECRET = "whsec_c2VjcmV0LW9mLXRoZS1yZWNlaXZlciE="
RECEIVER_URL = "https://receiver.example/receivers/shop"
SENDGRID_KEY, EVENT_KEY, PARSE_KEY = "SG.key", SigningKey(), SigningKey()
BUCKET_OF_SES = "raw"
KEY_SECRET = "secret-of-the-agents-key"
MAC_KEY = "key-of-channel-keys"
PUBLIC_URL = "https://countersign.example"


class OlderEncoder(HashingEncoder):
    """The model that organizations are moved away from."""

    model, dimensions = "older", 32


ENCODERS = {encoder.model: encoder for encoder in (HashingEncoder(), OlderEncoder())}
_FOUND = """
    INSERT INTO embedding_spaces (id, provider, model, dimensions)
    VALUES (%(space)s, 'openai', %(model)s, %(dimensions)s);
    INSERT INTO organizations (id, slug, name) VALUES (%(org)s, 'shop', 'Shop');
    INSERT INTO organization_settings
        (organization_id, undo_seconds, debounce_seconds, embedding_space_id)
    VALUES (%(org)s, %(undo)s, %(debounce)s, %(space)s);
    INSERT INTO users (id, email, display_name) VALUES (%(user)s, 'agent@shop.example', 'Agent');
    INSERT INTO organization_memberships (organization_id, user_id) VALUES (%(org)s, %(user)s);
    INSERT INTO api_keys (organization_id, id, user_id, name, secret_hash, scopes, expires_at)
    VALUES (%(org)s, %(key)s, %(user)s, 'test', %(secret_hash)s, %(scopes)s,
            now() + interval '3 days');
    INSERT INTO channels (organization_id, id, type, provider, external_id, name)
    VALUES (%(org)s, %(channel)s, %(type)s, %(provider)s, %(address)s, 'Channel');
    INSERT INTO datasets (organization_id, id, slug, name) VALUES (%(org)s, %(set)s, 'faq', 'FAQ');
    INSERT INTO documents (organization_id, id, dataset_id, title, hash, version, processing_status)
    VALUES (%(org)s, %(document)s, %(set)s, 'Returns', 'h', 1, 'completed');
    INSERT INTO document_versions
        (organization_id, document_id, version, title, content_type, content, hash)
    VALUES (%(org)s, %(document)s, 1, 'Returns', 'text/plain', %(text)s, 'h');
    INSERT INTO chunks
        (organization_id, id, document_id, version, chunk_index, start_offset, end_offset, text,
         hash)
    VALUES (%(org)s, %(chunk)s, %(document)s, 1, 0, 0, length(%(text)s), %(text)s, 'h');
    INSERT INTO chunk_embeddings (organization_id, embedding_space_id, chunk_id, embedding)
    VALUES (%(org)s, %(space)s, %(chunk)s, %(vector)s);
"""
# Of what is founded, this changes when documents are indexed and an organization moves.
_CHANGING = (
    "embedding_spaces",
    "organization_settings",
    "documents",
    "document_versions",
    "chunks",
    "chunk_embeddings",
)
# What is under work is left out as by `passages.shown`.
_HALF_INDEXED = """
    SELECT documents.title
    FROM documents
    JOIN organization_settings USING (organization_id)
    JOIN document_versions versions
        ON versions.document_id = documents.id AND versions.version = documents.version
    LEFT JOIN chunks ON chunks.document_id = documents.id
        AND (chunks.version <= documents.version
             OR processing_status NOT IN ('pending', 'processing'))
    LEFT JOIN chunk_embeddings vectors ON vectors.chunk_id = chunks.id
        AND vectors.embedding_space_id = organization_settings.embedding_space_id
    GROUP BY documents.id, documents.title, versions.content
    HAVING NOT coalesce(
        count(vectors.chunk_id) = max(chunk_index) + 1
        AND max(end_offset) = length(versions.content)
        AND bool_and(chunks.text = substr(content, start_offset + 1, end_offset - start_offset)),
        false)
"""


@dataclass(frozen=True)
class Tenant:
    """An organization with an agent, one channel and one article."""

    organization_id: UUID
    channel_id: UUID
    channel: str
    api_key: str

    @property
    def type(self) -> str:
        return CHANNELS[self.channel][0]

    @property
    def provider(self) -> str:
        return CHANNELS[self.channel][1]

    def address(self, number: str) -> str:
        """What a number is called on the channel."""
        return f"whatsapp:{number}" if self.channel == "whatsapp" else number

    @property
    def webhook_url(self) -> str:
        """Where the channel's provider brings its events."""
        key = make(ChannelKey(self.provider, self.channel_id, self.organization_id), MAC_KEY)
        return f"{PUBLIC_URL}/webhooks/{key}"

    @property
    def secrets(self) -> dict[str, str]:
        """What Secrets Manager holds for it."""
        roles = {
            role: json.dumps({"username": role, "password": PASSWORDS[role]})
            for role in ("app_rw", "app_system")
        }
        credentials = {
            "twilio": {"account_sid": ACCOUNT, "auth_token": TOKEN},
            "api": {"secret": SIGNING_SECRET, "url": RECEIVER_URL},
            "ses": {"configuration_set": "countersign"},
            "sendgrid": {
                "api_key": SENDGRID_KEY,
                "event_key": EVENT_KEY.public,
                "parse_key": PARSE_KEY.public,
            },
            "smtp": {"host": "mx.example", "port": "25", "security": "none"},
        }[self.provider]
        own = {"channel-key": MAC_KEY, f"channels/{self.channel_id}": json.dumps(credentials)}
        return roles | own


class Ground:
    """What the tests do to the database beside the product: look into it, and turn it back."""

    def __init__(self, database: TestDatabase, act: Act, lock_timeout: str) -> None:
        self._database = database
        self._connection = psycopg.connect(
            database.cluster.conninfo(database.name), autocommit=True, row_factory=dict_row
        )
        self.run(f"ALTER DATABASE {database.name} SET lock_timeout = '{lock_timeout}'")
        self._clear()
        self.tenant = self._found(act)
        self._written = self._make_room()

    def close(self) -> None:
        self._connection.close()

    def tenant_session(self) -> AbstractContextManager[TenantSession]:
        """A transaction of the organization."""
        return self._database.app_rw.tenant(self.tenant.organization_id)

    def run(self, sql: str) -> None:
        """Statements that answer nothing."""
        self._connection.execute(sql)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a query finds."""
        return self._connection.execute(sql).fetchall()

    def _clear(self) -> None:
        """Leave nothing of another test in the database."""
        self.run("SET session_replication_role = replica")
        # Of few rows: quicker than TRUNCATE, which makes new files.
        self.run("".join(f"DELETE FROM {table};" for table in self._tables()))
        self.run("SET session_replication_role = origin")

    def _tables(self) -> list[str]:
        sql = "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
        return [row["name"] for row in self.rows(sql) if row["name"] != "alembic_version"]

    def _found(self, act: Act) -> Tenant:
        names = ("org", "user", "key", "channel", "set", "document", "chunk", "space")
        ids = {name: new_id() for name in names}
        api_key = f"cs_{ids['key'].hex}_{KEY_SECRET}"
        tenant = Tenant(ids["org"], ids["channel"], act.channel, api_key)
        encoder = ENCODERS[act.model]
        values = {
            **ids,
            "undo": act.undo_seconds,
            "debounce": act.debounce_seconds,
            "scopes": list(SCOPES),
            "secret_hash": hashlib.sha256(KEY_SECRET.encode()).digest(),
            "provider": tenant.provider,
            "type": tenant.type,
            "address": SUPPORT if tenant.type == "email" else tenant.address(OUR_NUMBER),
            "text": ARTICLE,
            "model": encoder.model,
            "dimensions": encoder.dimensions,
            "vector": Vector(padded(encoder.embed([ARTICLE]).vectors[0])).to_text(),
        }
        with psycopg.ClientCursor(self._connection) as cursor:
            cursor.execute(_FOUND, values)
        return tenant

    def suppress(self, address: str) -> None:
        """Note that nobody may write to an address, as another conversation could have led to."""
        self._connection.execute(
            "INSERT INTO suppressions (organization_id, id, address, reason)"
            " VALUES (%s, gen_random_uuid(), %s, 'complained') ON CONFLICT DO NOTHING",
            [self.tenant.organization_id, address],
        )

    def half_indexed(self) -> list[str]:
        """Documents of which search does not find the live version alone and whole, by vectors of
        the organization's own space."""
        return [row["title"] for row in self.rows(_HALF_INDEXED)]

    def _make_room(self) -> dict[str, str]:
        """The tables that founding left empty, or that change, with the columns that are written:
        what the product writes. Each gets a place to be copied to."""
        tables = self._tables()
        written = {
            table: self._columns(table)
            for table in tables
            if table in _CHANGING or not self.rows(f"SELECT FROM {table} LIMIT 1")
        }
        self.run("CREATE SCHEMA IF NOT EXISTS marked")
        for table, columns in written.items():
            copied = f"SELECT {columns} FROM public.{table}"
            self.run(f"CREATE UNLOGGED TABLE IF NOT EXISTS marked.{table} AS {copied} WITH NO DATA")
        return written

    def _columns(self, table: str) -> str:
        """Those that are not generated from others."""
        found = self.rows(
            "SELECT attname FROM pg_attribute"
            f" WHERE attrelid = 'public.{table}'::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = ''"
        )
        return ", ".join(f'"{row["attname"]}"' for row in found)

    def mark(self) -> None:
        """Remember this moment, for `rewind`."""
        self._copy("public", "marked")

    def rewind(self) -> None:
        """Go back to the moment that was marked."""
        # Neither triggers nor foreign keys matter: the rows stood like this before.
        self.run("SET session_replication_role = replica")
        self._copy("marked", "public")
        self.run("SET session_replication_role = origin")

    def _copy(self, source: str, target: str) -> None:
        self.run(
            "".join(
                f"DELETE FROM {target}.{table};"
                f"INSERT INTO {target}.{table} ({columns}) SELECT {columns} FROM {source}.{table};"
                for table, columns in self._written.items()
            )
        )
