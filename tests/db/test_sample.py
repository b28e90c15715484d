"""The sample data: all of it there, real, and written twice without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from countersign.channels import keys
from countersign.channels.tables import Delivery
from countersign.conversations.tables import Conversation, Message, Notification
from countersign.drafting import approvals, exporting, revision
from countersign.drafting.tables import Draft, DraftAction, LearningSample
from countersign.identity import api_keys
from countersign.identity.api_keys import SCOPES
from countersign.identity.tables import OrganizationSettings
from countersign.knowledge import passages
from countersign.knowledge.tables import Chunk, ChunkEmbedding, Document, DocumentVersion
from countersign.models.spaces import space_of
from countersign.models.tables import ModelUsage
from countersign.models.vectors import padded
from countersign.platform.db import Database, Table, engine
from countersign.platform.errors import Unauthenticated
from countersign.platform.secrets import Secret
from countersign.platform.tables import JobRun, OutboxRow
from countersign.platform.verify import verify
from migrations import sample
from migrations.events import Sample
from migrations.organizations import Addressing
from migrations.sample import knowledge
from tests.conftest import TestDatabase
from tests.world import HashingEncoder

ADDRESSING = Addressing("mac-key", "countersign/test/channels/", "https://api.example")


@pytest.fixture
def means(database: TestDatabase) -> Iterator[sample.Means]:
    owner = Database(engine(database.url("app_owner")))
    yield sample.Means(owner, database.app_rw, ADDRESSING, HashingEncoder())
    owner.engine.dispose()


def write(means: sample.Means, **options: int) -> dict[str, Any]:
    """The answer's tenants, by slug."""
    answer: Any = sample.write(means, Sample(action="sample", **options), datetime.now(UTC))
    return {tenant["slug"]: tenant for tenant in answer["tenants"]}


def counts(database: TestDatabase) -> dict[str, int]:
    with database.connect() as connection:
        found = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        made = {}
        for (table,) in found:
            row = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
            assert row
            made[table] = row[0]
        return made


def rows(means: sample.Means, tenant: dict[str, Any], table: type[Table], **values: Any) -> Any:
    with means.rw.tenant(UUID(tenant["organization_id"])) as session:
        return session.scalars(select(table).filter_by(**values)).all()


def test_written_twice_nothing_doubles(database: TestDatabase, means: sample.Means) -> None:
    first = write(means)
    before = counts(database)
    second = write(means)
    after = counts(database)
    assert after.pop("api_keys") == before.pop("api_keys") + len(first)
    # One is revoked, one issued.
    assert after.pop("audit_events") == before.pop("audit_events") + 2 * len(first)
    assert after == before
    for tenants in (first, second):
        for tenant in tenants.values():
            tenant.pop("api_key")
    assert second == first


def test_a_shop_at_work(means: sample.Means) -> None:
    tenant = write(means)["hot-rod-an"]
    assert {user["role"] for user in tenant["users"]} == {"admin", "agent"}
    types = [channel["type"] for channel in tenant["channels"]]
    assert types == ["sms", "whatsapp", "api", "email"]
    assert tenant["articles"] >= 30
    assert len(rows(means, tenant, Document)) == tenant["articles"] + 1
    assert len(rows(means, tenant, Draft, status="pending")) == 1
    (sent,) = rows(means, tenant, Draft, status="sent")
    (action,) = rows(means, tenant, DraftAction, draft_id=sent.id)
    assert (action.type, str(action.user_id)) == ("edit", tenant["user_id"])
    assert len(rows(means, tenant, LearningSample, action_id=action.id)) == 1
    (delivery,) = rows(means, tenant, Delivery)
    assert (delivery.status, delivery.message_id) == ("delivered", action.message_id)
    assert {run.status for run in rows(means, tenant, JobRun)} == {"succeeded"}
    (crawled,) = [each for each in rows(means, tenant, Document) if each.next_refresh_at]
    assert crawled.source_url.startswith("https://www.hotrodan.example/pages/")
    assert {each.type for each in rows(means, tenant, Notification)} == {"draft_ready"}


def test_tenants_share_nothing(means: sample.Means) -> None:
    one, other = write(means).values()
    for table in (Document, Conversation, Message, Draft):
        assert {row.organization_id for row in rows(means, one, table)} == {
            UUID(one["organization_id"])
        }
        ids = {row.id for row in rows(means, one, table)}
        assert ids
        assert ids.isdisjoint(row.id for row in rows(means, other, table))


def test_nothing_of_it_is_promised_to_a_queue(means: sample.Means) -> None:
    for tenant in write(means).values():
        assert rows(means, tenant, OutboxRow) == []


def test_every_source_says_what_the_draft_quotes(means: sample.Means) -> None:
    for tenant in write(means).values():
        versions = {
            (str(each.document_id), each.version): each
            for each in rows(means, tenant, DocumentVersion)
        }
        chunks = {str(each.id): each for each in rows(means, tenant, Chunk)}
        drafts = rows(means, tenant, Draft)
        assert drafts
        for draft in drafts:
            for source in draft.top_sources:
                start, end = source["span"]
                version = versions[source["document_id"], source["document_version"]]
                assert version.content[start:end] == source["quote"]
                assert source["quote"] in chunks[source["chunk_id"]].text


def test_its_record_verifies(means: sample.Means) -> None:
    for tenant in write(means).values():
        with means.rw.tenant(UUID(tenant["organization_id"])) as session:
            for conversation in session.scalars(select(Conversation)).all():
                export = exporting.export(session, conversation.id)
                report = verify(export.model_dump(mode="json"))
                assert report.verified, report
                assert report.bodies_not_included == 0
                assert report.events >= 2


def test_its_pending_draft_can_be_decided_on(means: sample.Means) -> None:
    tenant = write(means, undo_seconds=0)["hot-rod-an"]
    now = datetime.now(UTC)
    with means.rw.system() as session:
        principal = api_keys.authenticate(session, f"Bearer {tenant['api_key']}", now)
    with means.rw.tenant(principal.organization_id) as session:
        draft = session.scalars(select(Draft).where(Draft.status == "pending")).one()
        conversation = session.get_one(
            Conversation, (principal.organization_id, draft.conversation_id)
        )
        seen = revision.token(session, conversation, draft)
        approved = approvals.approve(session, principal, draft.id, seen, None, None, now)
    assert (approved.type, approved.undo_until) == ("approve", now)


def test_each_writing_makes_new_keys_and_revokes_the_old(means: sample.Means) -> None:
    first, second = write(means), write(means)
    now = datetime.now(UTC)
    with means.rw.system() as session:
        for slug, tenant in second.items():
            found = api_keys.authenticate(session, f"Bearer {tenant['api_key']}", now)
            assert str(found.organization_id) == tenant["organization_id"]
            assert str(found.user_id) == tenant["user_id"]
            assert sorted(found.scopes) == sorted(SCOPES)
            with pytest.raises(Unauthenticated, match="revoked"):
                api_keys.authenticate(session, f"Bearer {first[slug]['api_key']}", now)


def test_channels_are_told_with_keys_that_prove_themselves(means: sample.Means) -> None:
    for tenant in write(means).values():
        for channel in tenant["channels"]:
            key = keys.read(channel["channel_key"], Secret("mac-key"))
            assert str(key.channel_id) == channel["channel_id"]
            assert str(key.organization_id) == tenant["organization_id"]
            assert key.provider == channel["provider"]
            assert channel["secret_name"] == f"countersign/test/channels/{key.channel_id}"
            assert channel["webhook_url"] == (
                f"https://api.example/webhooks/{channel['channel_key']}"
            )


def test_options_are_set_and_kept_until_given_again(means: sample.Means) -> None:
    tenant = write(means, undo_seconds=0, debounce_seconds=0)["hot-rod-an"]
    assert _options(means, tenant) == (0, 0)
    write(means)
    assert _options(means, tenant) == (0, 0)
    write(means, undo_seconds=3)
    assert _options(means, tenant) == (3, 0)


def _options(means: sample.Means, tenant: dict[str, Any]) -> tuple[int, int]:
    (found,) = rows(means, tenant, OrganizationSettings)
    return found.undo_seconds, found.debounce_seconds


def test_chunks_are_exact(means: sample.Means) -> None:
    for tenant in write(means).values():
        texts = {each.document_id: each.content for each in rows(means, tenant, DocumentVersion)}
        for chunk in rows(means, tenant, Chunk):
            span = slice(chunk.start_offset, chunk.end_offset)
            assert texts[chunk.document_id][span] == chunk.text


def test_an_article_is_found_by_its_vectors(means: sample.Means) -> None:
    tenant = write(means)["hot-rod-an"]
    encoder = HashingEncoder()
    question = "AN-8 has a 3/4-16 thread."
    with means.rw.tenant(UUID(tenant["organization_id"])) as session:
        space = space_of(session, encoder)
        vector = padded(encoder.embed([question]).vectors[0])
        found = passages.find(session, question, passages.Embedded(vector, space), 3)
    assert "Thread chart for AN fittings" in {passage.title for passage in found}


def test_without_a_model_articles_wait_for_their_vectors(
    database: TestDatabase, means: sample.Means
) -> None:
    bare = sample.Means(means.owner, means.rw, ADDRESSING, None)
    tenant = write(bare)["hot-rod-an"]
    assert tenant["embedded"] is False
    assert rows(means, tenant, ChunkEmbedding) == []
    assert {each.processing_status for each in rows(means, tenant, Document)} == {"pending"}
    tenant = write(means)["hot-rod-an"]
    assert tenant["embedded"] is True
    assert len(rows(means, tenant, ChunkEmbedding)) == len(rows(means, tenant, Chunk))
    assert {each.processing_status for each in rows(means, tenant, Document)} == {"completed"}
    with means.rw.tenant(UUID(tenant["organization_id"])) as session:
        assert session.scalar(select(func.sum(ModelUsage.cost_microusd)))


def test_a_changed_article_becomes_a_new_version(
    means: sample.Means, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in knowledge.ARTICLES.iterdir():
        (tmp_path / folder.name).mkdir()
        for file in folder.glob("*.md"):
            (tmp_path / folder.name / file.name).write_text(file.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(knowledge, "ARTICLES", tmp_path)
    write(means)
    changed = tmp_path / "hotrodan" / "tools.md"
    changed.write_text("# Other tools\n\nOne hammer.\n")
    tenant = write(means)["hot-rod-an"]
    url = "https://www.hotrodan.example/help/tools"
    (document,) = rows(means, tenant, Document, source_url=url)
    assert (document.version, document.title) == (2, "Other tools")
    (chunk,) = rows(means, tenant, Chunk, document_id=document.id)
    assert (chunk.heading, chunk.text) == ("Other tools", "One hammer.")
    assert len(rows(means, tenant, ChunkEmbedding, chunk_id=chunk.id)) == 1
    others = {each.version for each in rows(means, tenant, Document) if each.id != document.id}
    assert others == {1}
