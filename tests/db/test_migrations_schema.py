"""`make schema-check` is silent about the schema, and loud about each way to break it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from local import postgres
from tests.conftest import copied
from tools import schema, tenancy

LEAK = "CREATE FUNCTION leak() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"
PLAIN_KEY = """
    ALTER TABLE messages ADD CONSTRAINT uq_messages_id UNIQUE (id);
    ALTER TABLE attachments
        ADD CONSTRAINT fk_plain FOREIGN KEY (message_id) REFERENCES messages (id)
"""
OTHER_VALUES = """
    ALTER TABLE deliveries DROP CONSTRAINT ck_deliveries_status;
    ALTER TABLE deliveries ADD CHECK (status IN ('queued', 'lost'))
"""
OTHER_KEY = """
    ALTER TABLE draft_claims DROP CONSTRAINT draft_claims_pkey;
    ALTER TABLE draft_claims ADD PRIMARY KEY (organization_id, draft_id, user_id)
"""
USER_KEY = """
    ALTER TABLE drafts ADD CONSTRAINT fk_user FOREIGN KEY (author_user_id) REFERENCES users (id)
"""

BROKEN = {
    "ALTER TABLE messages ADD COLUMN extra text": "column of messages: extra is in the database",
    "ALTER TABLE messages DROP COLUMN raw_key": "column of messages: raw_key is mapped, but not",
    "ALTER TABLE messages ALTER body_html SET NOT NULL": "messages.body_html is mapped nullable",
    "ALTER TABLE messages ALTER sent_at SET DEFAULT now()": "messages.sent_at is mapped with a def",
    "ALTER TABLE deliveries ALTER fence TYPE bigint": "deliveries.fence is mapped of type integer",
    "DROP TABLE learning_samples": "table learning_samples is mapped, but not in the database",
    "CREATE TABLE stray (id uuid)": "table stray is in the database, but not mapped",
    "CREATE TABLE stray ()": "stray has no organization_id",
    "CREATE TABLE stray (organization_id uuid)": "stray lacks forced row-level security",
    OTHER_KEY: "draft_claims: the mapped primary key is ['organization_id', 'draft_id']",
    OTHER_VALUES: "value of deliveries.status: lost is in the database, but not mapped",
    "ALTER TABLE drafts DROP CONSTRAINT ck_drafts_status": "of values: drafts.status is mapped",
    "ALTER TABLE drafts NO FORCE ROW LEVEL SECURITY": "drafts lacks forced row-level security",
    "ALTER TABLE drafts DISABLE ROW LEVEL SECURITY": "drafts lacks forced row-level security",
    "ALTER TABLE users DISABLE ROW LEVEL SECURITY": "users lacks forced row-level security",
    "ALTER TABLE identities NO FORCE ROW LEVEL SECURITY": "identities lacks forced row-level secu",
    "DROP POLICY tenant ON drafts": "drafts: the policy tenant is absent",
    "DROP POLICY owner ON drafts": "drafts: the policy owner is absent",
    "ALTER POLICY tenant ON drafts USING (true)": "drafts: the policy tenant is ALL to app_ro, app",
    "ALTER POLICY tenant ON drafts WITH CHECK (true)": "with check true; it must be",
    "CREATE POLICY extra ON drafts USING (true)": "drafts: the policy extra is ALL to public",
    "GRANT SELECT ON drafts TO PUBLIC": "drafts: PUBLIC may SELECT; it must not",
    "GRANT INSERT ON drafts TO app_ro": "drafts: app_ro may INSERT, SELECT; that is too much",
    "GRANT SELECT ON api_keys TO app_ro": "api_keys: app_ro may SELECT; that is too much",
    "GRANT SELECT (name) ON api_keys TO app_ro": "api_keys.name has a grant of its own",
    "GRANT TRUNCATE ON drafts TO app_rw": "TRUNCATE, UPDATE; it must be able to SELECT",
    "REVOKE SELECT ON drafts FROM app_rw": "drafts: app_rw may INSERT, UPDATE; it must be able",
    "GRANT DELETE ON audit_events TO app_rw": "to an append-only table it may SELECT and INSERT",
    "GRANT UPDATE ON users TO app_rw": "users: app_rw may SELECT, UPDATE and app_ro SELECT, not as",
    "GRANT SELECT ON messages TO app_system": "messages: app_system may SELECT; it must be able to",
    "REVOKE SELECT ON outbox FROM app_system": "outbox: app_system may DELETE; it must be able to",
    "ALTER VIEW draft_outcomes SET (security_invoker = false)": "without security_invoker",
    LEAK: "'leak', 'messages_frequencies', 'messages_with_any'], not ['chunks_freq",
    "GRANT EXECUTE ON FUNCTION find_api_key TO PUBLIC": "yet everybody may call it",
    "ALTER FUNCTION find_api_key RESET search_path": "without a search_path of its own",
    PLAIN_KEY: "attachments: fk_plain lets a row point to another tenant's in messages",
    USER_KEY: "drafts: fk_user names a user who need not be a member",
    "ALTER TABLE messages DROP CONSTRAINT messages_organization_id_channel_id_fkey": (
        "messages.channel_id has no foreign key"
    ),
    "CREATE INDEX ix_stray ON messages (sent_at)": "ix_stray on messages is led by sent_at",
}


@pytest.fixture(scope="module")
def connection(cluster: postgres.Cluster, template: str) -> Iterator[psycopg.Connection[Any]]:
    with (
        copied(cluster, template, "schema_rules") as database,
        database.connect(autocommit=False) as connection,
    ):
        yield connection
        connection.rollback()


def problems(connection: psycopg.Connection[Any]) -> list[str]:
    return schema.differences(connection) + tenancy.problems(connection)


def test_tables_policies_and_grants_are_as_they_should_be(
    connection: psycopg.Connection[Any],
) -> None:
    assert problems(connection) == []


@pytest.mark.parametrize(("change", "said"), BROKEN.items(), ids=list(BROKEN))
def test_what_is_broken_is_named(
    connection: psycopg.Connection[Any], change: str, said: str
) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(change)
        found = problems(connection)
    assert any(said in problem for problem in found), found


def test_a_mapped_foreign_key_is_named(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import Column, ForeignKey, MetaData, Table, Text

    metadata = MetaData()
    table = Table("people", metadata, Column("name", Text, ForeignKey("users.email")))
    monkeypatch.setattr(schema, "mapped_tables", lambda: [table])
    said = "people: a mapped table has no foreign keys; they stand in migrations."
    assert said in schema.differences(connection)


def test_the_file_is_what_the_revisions_make(capsys: pytest.CaptureFixture[str]) -> None:
    schema.main(["--check"])
    assert capsys.readouterr().out == ""


def test_a_difference_of_the_file_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    old = tmp_path / "schema.sql"
    old.write_text(
        schema.SCHEMA.read_text("utf-8").replace("    reason text,", "    excuse text,", 1)
    )
    monkeypatch.setattr(schema, "SCHEMA", old)
    with pytest.raises(SystemExit) as failed:
        schema.main(["--check"])
    said = str(failed.value).splitlines()
    assert "-    excuse text," in said
    assert "+    reason text," in said
    assert said[-1] == "Run `make schema` and check in migrations/schema.sql."
