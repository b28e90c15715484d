"""An organization moves from one embedding space to another, and can be searched all the while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from countersign.conversations.tables import Conversation
from countersign.drafting import composing
from countersign.knowledge import embedding, moving, progress, vectors
from countersign.knowledge.indexing import Indexer
from countersign.knowledge.moving import Mover
from countersign.knowledge.passages import CHUNKS
from countersign.knowledge.progress import Job
from countersign.knowledge.searching import Embedder
from countersign.knowledge.tables import Chunk, ChunkEmbedding, DocumentVersion, MessageEmbedding
from countersign.knowledge.vectors import PASSAGES
from countersign.knowledge.working import work
from countersign.models import Embeddings
from countersign.models.errors import ModelMalformed, ModelRefused, ModelThrottled
from countersign.models.schemas import Purpose
from countersign.models.spaces import Encoders, own, space_of
from countersign.models.tables import ModelUsage
from countersign.platform import clock
from countersign.platform.errors import Unavailable
from countersign.platform.tables import JobRun, OutboxRow
from countersign.retrieval import near
from tests import world
from tests.conftest import TestDatabase
from tests.knowledge import BUCKET, Encoder, Library, at_noon
from tests.world import MemoryQueues, Path, memory_queues

__all__ = ["memory_queues"]


class Newer(Encoder):
    """Another model: other words are alike, and a text with "never" in it is refused."""

    model, dimensions = "newer", 32

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        if any("never" in text for text in texts):
            raise ModelRefused("Not that text.")
        return super().embed(texts, purpose=purpose)


class Organization(Library):
    """A library that is about to move from the encoder of all tests to a newer one."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.newer = Newer()

    def begin(self) -> UUID:
        """Start the move; the run's id."""
        with self.session() as session:
            return moving.begin(session).id

    @property
    def moving(self) -> Encoders:
        """Both encoders, as they are configured while organizations move."""
        return Encoders(self.newer, self.encoder)

    def move(self) -> int:
        """Work on all that is queued, with both encoders; how many messages that took."""
        count = 0
        while bodies := self.sent.take("index"):
            for body in bodies:
                count += 1
                work(self.outbox, self.moving, BUCKET, body)
        return count

    def state(self, run_id: UUID) -> JobRun:
        with self.session() as session:
            found = session.get_one(JobRun, (session.organization_id, run_id))
            assert isinstance(found, JobRun)
            return found

    def is_in(self, encoder: Encoder) -> bool:
        """Whether it is searched in the space of an encoder."""
        with self.session() as session:
            return bool(own(session) == space_of(session, encoder))

    def having(self, encoder: Encoder, table: Any = ChunkEmbedding) -> int:
        """How many vectors of a table are of an encoder's space."""
        with self.session() as session:
            space = space_of(session, encoder)
            mine = table.organization_id == session.organization_id
            count = select(func.count()).where(mine, table.embedding_space_id == space)
            return int(session.scalar(count) or 0)

    def found(self, question: str) -> list[str]:
        """What the organization's search finds nearest, by vectors alone."""
        with self.session() as session:
            encoder = self.moving.of(session)
            vector = encoder.model.embed([question], purpose="query").vectors[0]
            padded = [*vector, *[0.0] * (1536 - len(vector))]
            hits = near.near(session, CHUNKS, padded, encoder.space, 10)
            texts = dict(session.execute(select(Chunk.id, Chunk.text)).all())
            return [texts[hit.id] for hit in hits]

    def later(self, monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
        then = clock.now() + by
        monkeypatch.setattr(clock, "now", lambda: then)


@pytest.fixture
def organization(
    database: TestDatabase, memory_queues: MemoryQueues, monkeypatch: pytest.MonkeyPatch
) -> Organization:
    made = Organization(database, world.add_tenant(database), memory_queues, monkeypatch)
    made.write(made.add(), "".join(f"# Part {n}\n\nIt costs {n} dollars.\n\n" for n in range(100)))
    made.work()
    return made


def test_the_first_vectors_say_which_space_an_organization_is_in(
    organization: Organization,
) -> None:
    assert organization.is_in(organization.encoder)
    assert organization.having(organization.encoder) == 100


def test_an_organization_moves_as_a_whole(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = organization.begin()
    assert len(organization.found("Part 7")) == 10
    organization.sent.take("index")
    seen: list[bool] = []
    embed = organization.newer.embed

    def looking(texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        if purpose == "document":
            seen.append(organization.is_in(organization.encoder))
            assert len(organization.found("Part 7")) == 10
        return embed(texts, purpose=purpose)

    monkeypatch.setattr(organization.newer, "embed", looking)
    Mover(organization.outbox, organization.moving, organization.tenant.organization_id).work(
        run_id
    )
    assert seen == [True, True]
    assert organization.is_in(organization.newer)
    run = organization.state(run_id)
    assert (run.status, run.error) == ("succeeded", None)
    assert run.metrics == {"texts": 100, "embedded": 100}
    assert len(organization.found("Part 7")) == 10


def test_old_vectors_go_when_nobody_can_be_searching_them(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = organization.begin()
    organization.move()
    # The promise is for later than a queue's delay: it waits in the outbox for the relay.
    (promised,) = organization.rows(OutboxRow)
    assert promised.not_before > clock.now() + timedelta(minutes=59)
    assert organization.having(organization.encoder) == 100
    monkeypatch.setattr(moving, "FORGOTTEN", 7)
    work(organization.outbox, organization.moving, BUCKET, promised.body)
    assert organization.having(organization.encoder) == 100, "its first message came twice"
    organization.later(monkeypatch, moving.GRACE + timedelta(seconds=1))
    work(organization.outbox, organization.moving, BUCKET, promised.body)
    assert organization.having(organization.encoder) == 0
    assert organization.having(organization.newer) == 100
    assert organization.state(run_id).status == "succeeded"


def test_the_vectors_of_another_move_that_has_begun_stay(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization.begin()
    organization.move()
    (promised,) = organization.rows(OutboxRow)
    organization.later(monkeypatch, moving.GRACE + timedelta(seconds=1))
    organization.begin()
    work(organization.outbox, organization.moving, BUCKET, promised.body)
    assert organization.having(organization.encoder) == 100


def test_what_was_indexed_meanwhile_moves_too(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = organization.begin()
    embed = organization.newer.embed
    brought: list[UUID] = []

    def meanwhile(texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        if not brought:
            brought.append(document_id := organization.add())
            organization.write(document_id, "A late text.")
            for body in organization.sent.take("index"):
                work(organization.outbox, organization.moving, BUCKET, body)
            assert organization.shown(document_id) == ["A late text."]
        return embed(texts, purpose=purpose)

    monkeypatch.setattr(organization.newer, "embed", meanwhile)
    organization.move()
    assert organization.state(run_id).status == "succeeded"
    assert "A late text." in organization.found("A late text.")
    assert organization.having(organization.newer) == 101


def test_a_document_under_work_during_the_move_is_embedded_anew(
    organization: Organization,
) -> None:
    document_id = organization.add()
    organization.write(document_id, "A slow text.")
    (body,) = organization.sent.take("index")
    embed = organization.encoder.embed

    class Slow(Encoder):
        def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
            organization.begin()
            organization.move()
            return embed(texts, purpose=purpose)

    work(organization.outbox, Encoders(organization.newer, Slow()), BUCKET, body)
    assert organization.is_in(organization.newer)
    assert organization.read(document_id).processing_status == "pending"
    organization.move()
    assert organization.read(document_id).processing_status == "completed"
    metrics = organization.run(document_id).metrics or {}
    assert (metrics["chunks"], metrics["embedded"]) == (1, 1)
    assert organization.having(organization.encoder) == 100
    assert "A slow text." in organization.found("A slow text.")


def test_who_lost_a_document_lets_nothing_of_it_go(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    document_id = organization.add()
    organization.write(document_id, "A slow text.")
    (body,) = organization.sent.take("index")
    read = Indexer._text

    def slowly(self: Indexer, job: Job) -> DocumentVersion | None:
        text = read(self, job)
        monkeypatch.setattr(Indexer, "_text", read)
        organization.later(monkeypatch, progress.LEASE)
        organization.begin()
        organization.move()
        work(organization.outbox, organization.moving, BUCKET, body)
        return text

    monkeypatch.setattr(Indexer, "_text", slowly)
    work(organization.outbox, organization.moving, BUCKET, body)
    assert organization.read(document_id).version == 1
    assert "A slow text." in organization.found("A slow text.")


def test_there_is_one_move_at_a_time(organization: Organization) -> None:
    first, second = organization.begin(), organization.begin()
    assert first == second
    (body,) = organization.sent.take("index")
    work(organization.outbox, organization.moving, BUCKET, body)
    work(organization.outbox, organization.moving, BUCKET, body)
    assert organization.begin() != first


def test_where_the_space_is_the_right_one_what_is_missing_is_embedded(
    organization: Organization, database: TestDatabase
) -> None:
    with database.connect() as owner:
        owner.execute(
            "DELETE FROM chunk_embeddings"
            " WHERE chunk_id IN (SELECT id FROM chunks ORDER BY id LIMIT 3)"
        )
    run_id = organization.begin()
    organization.work()
    assert organization.state(run_id).metrics == {"texts": 3, "embedded": 3}
    assert organization.having(organization.encoder) == 100


def test_a_worker_that_dies_costs_a_batch(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = organization.begin()
    (body,) = organization.sent.take("index")
    embed, calls = organization.newer.embed, []

    def dying(texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        calls.append(len(texts))
        if len(calls) == 2:
            raise SystemExit
        return embed(texts, purpose=purpose)

    monkeypatch.setattr(organization.newer, "embed", dying)
    with pytest.raises(SystemExit):
        work(organization.outbox, organization.moving, BUCKET, body)
    with pytest.raises(Unavailable):
        work(organization.outbox, organization.moving, BUCKET, body)
    organization.later(monkeypatch, moving.LEASE)
    work(organization.outbox, organization.moving, BUCKET, body)
    assert calls == [64, 36, 36]
    assert organization.state(run_id).status == "succeeded"


def test_what_no_worker_survives_fails(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = organization.begin()
    (body,) = organization.sent.take("index")

    def dying(*_: Any, **__: Any) -> Embeddings:
        raise SystemExit

    monkeypatch.setattr(organization.newer, "embed", dying)
    for _ in range(moving.MOST_DEATHS):
        with pytest.raises(SystemExit):
            work(organization.outbox, organization.moving, BUCKET, body)
        organization.later(monkeypatch, moving.LEASE)
    work(organization.outbox, organization.moving, BUCKET, body)
    run = organization.state(run_id)
    assert (run.status, run.error) == ("failed", "No worker survived it.")
    assert organization.is_in(organization.encoder)


def test_who_lost_the_lease_keeps_nothing(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = organization.begin()
    (body,) = organization.sent.take("index")
    embed, calls = organization.newer.embed, []

    def slow(texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        calls.append(len(texts))
        if len(calls) == 2:
            raise SystemExit
        organization.later(monkeypatch, moving.LEASE)
        with pytest.raises(SystemExit):
            work(organization.outbox, organization.moving, BUCKET, body)
        return embed(texts, purpose=purpose)

    monkeypatch.setattr(organization.newer, "embed", slow)
    work(organization.outbox, organization.moving, BUCKET, body)
    assert calls == [64, 64]
    assert organization.having(organization.newer) == 0
    assert organization.state(run_id).metrics == {"texts": 100, "embedded": 0}


def test_what_comes_right_before_the_switch_is_not_left_behind(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = organization.begin()
    switch, late = Mover._switch, iter(["A late text."])

    def after_another(mover: Mover, job: moving.Job) -> str:
        for text in late:
            organization.write(organization.add(), text)
            for body in organization.sent.take("index"):
                work(organization.outbox, organization.moving, BUCKET, body)
        return switch(mover, job)

    monkeypatch.setattr(Mover, "_switch", after_another)
    organization.move()
    assert organization.state(run_id).metrics == {"texts": 100, "embedded": 101}
    assert "A late text." in organization.found("A late text.")


def test_an_outage_is_waited_for(organization: Organization) -> None:
    run_id = organization.begin()
    organization.newer.failures = [ModelThrottled("429", 30.0)]
    (body,) = organization.sent.take("index")
    work(organization.outbox, organization.moving, BUCKET, body)
    ((_, delay),) = organization.sent.sent["index"]
    assert delay >= 30
    assert organization.state(run_id).status == "running"
    organization.move()
    assert organization.state(run_id).status == "succeeded"


def test_an_outage_that_does_not_end_is_a_failure(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "MOST_FAILURES", 3)
    run_id = organization.begin()
    organization.newer.failures = [ModelThrottled("The provider is busy.") for _ in range(9)]
    assert organization.move() == 3
    run = organization.state(run_id)
    assert (run.status, run.error) == ("failed", "The provider is busy.")
    assert organization.is_in(organization.encoder)


def test_a_text_that_is_refused_is_left_out(organization: Organization) -> None:
    document_id = organization.add()
    organization.write(document_id, "# A\n\nYes.\n\n# B\n\nSay never.\n")
    organization.work()
    run_id = organization.begin()
    organization.move()
    run = organization.state(run_id)
    assert run.status == "succeeded"
    (refused,) = [c for c in organization.rows(Chunk) if "never" in c.text]
    assert run.metrics == {"texts": 102, "embedded": 101, "refused": [str(refused.id)]}


def test_texts_that_are_all_refused_are_a_failure(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Embeddings:
        raise ModelRefused("No such model.")

    monkeypatch.setattr(organization.newer, "embed", refuse)
    monkeypatch.setattr(moving, "MOST_REFUSED", 20)
    run_id = organization.begin()
    organization.move()
    run = organization.state(run_id)
    assert (run.status, run.error) == ("failed", "No such model.")


def test_a_move_stops_where_the_days_money_ends(
    organization: Organization, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_noon(monkeypatch)
    with database.connect() as owner:
        owner.execute("UPDATE organization_settings SET daily_model_budget_microusd = 0")
    run_id = organization.begin()
    organization.move()
    assert organization.newer.asked == []
    (promised,) = organization.rows(OutboxRow)
    assert promised.not_before.hour == 0
    assert organization.state(run_id).status == "queued"


def test_a_move_notes_what_it_costs(organization: Organization) -> None:
    run_id = organization.begin()
    organization.move()
    usage = [row for row in organization.rows(ModelUsage) if row.subject_id == run_id]
    assert sum(row.input_tokens for row in usage) == 1000


def test_time_that_is_over_is_gone_on_with(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "SECONDS", -1.0)
    organization.begin()
    (body,) = organization.sent.take("index")
    work(organization.outbox, organization.moving, BUCKET, body)
    assert organization.newer.asked == []
    assert len(organization.sent.sent["index"]) == 1


def test_a_model_that_is_not_configured_any_more_is_not_asked_for(
    organization: Organization,
) -> None:
    """Its vectors cannot be searched: the search is by words, and by what is embedded since."""
    with organization.session() as session:
        encoder = Encoders(organization.newer).of(session)
    assert encoder.model is organization.newer
    document_id = organization.add()
    organization.write(document_id, "A new text.")
    for body in organization.sent.take("index"):
        work(organization.outbox, Encoders(organization.newer), BUCKET, body)
    assert organization.having(organization.newer) == 1
    assert organization.is_in(organization.encoder)


def test_a_question_is_embedded_for_the_space_that_is_searched(
    organization: Organization,
) -> None:
    embedder = Embedder(organization.database.app_rw, organization.moving)

    class Asked:
        query = "Part 7"

    assert embedder.prepare(organization.tenant.principal, {"body": Asked}).space == (
        _space(organization, organization.encoder)
    )
    organization.begin()
    organization.move()
    assert embedder.prepare(organization.tenant.principal, {"body": Asked}).space == (
        _space(organization, organization.newer)
    )


def _space(organization: Organization, encoder: Encoder) -> UUID:
    with organization.session() as session:
        return space_of(session, encoder)


def test_a_passage_is_shown_to_an_encoder_as_when_it_was_indexed(
    organization: Organization,
) -> None:
    organization.write(organization.add(), "Bare.\n\n# A\n\n## B\n\nBelow two headings.")
    organization.work()
    with organization.session() as session:
        shown = vectors.lacking(session, PASSAGES, UUID(int=7), 1000)
    texts = {one.text for one in shown}
    assert "A › B\n\nBelow two headings." in texts
    assert "Bare." in texts
    asked = {text for batch in organization.encoder.asked for text in batch}
    assert texts == asked


# Messages


@pytest.fixture
def path(organization: Organization) -> Path:
    """Messages of the organization."""
    return Path(organization.database, organization.tenant, organization.sent)


def test_each_message_gets_a_vector(organization: Organization, path: Path) -> None:
    tenant = path.tenant
    path.receive(
        tenant.webhook("What does part 7 cost?", conversation="c1", message_id="m1"),
        tenant.webhook("And part 8?", conversation="c2", message_id="m2"),
    )
    (body,) = path.sent.take("index")
    assert len(body["message_ids"]) == 2
    organization.encoder.asked.clear()
    work(organization.outbox, organization.encoders, BUCKET, body)
    assert sorted(organization.encoder.asked[0]) == ["And part 8?", "What does part 7 cost?"]
    assert organization.having(organization.encoder, MessageEmbedding) == 2
    work(organization.outbox, organization.encoders, BUCKET, body)
    assert len(organization.encoder.asked) == 1, "what has a vector is not embedded again"


def test_a_reply_gets_a_vector(organization: Organization, path: Path) -> None:
    path.receive(path.tenant.webhook("What does part 7 cost?"))
    path.draft()
    organization.work()
    path.approve("Part 7 costs 7 dollars.")
    organization.encoder.asked.clear()
    organization.work()
    assert organization.encoder.asked == [["Part 7 costs 7 dollars."]]


def test_words_of_ones_own_get_a_vector(organization: Organization, path: Path) -> None:
    path.receive(path.tenant.webhook("What does part 7 cost?"))
    organization.work()
    organization.encoder.asked.clear()
    with organization.session() as session:
        (conversation_id,) = session.scalars(select(Conversation.id))
        said = "Less than part 8."
        composing.compose(session, path.tenant.principal, conversation_id, said, None, clock.now())
    organization.work()
    assert organization.encoder.asked == [["Less than part 8."]]


def test_a_message_without_words_needs_no_vector(organization: Organization, path: Path) -> None:
    path.receive(path.tenant.webhook(" \n"))
    organization.encoder.asked.clear()
    organization.work()
    assert organization.encoder.asked == []


def test_messages_wait_for_a_model_and_for_money(
    organization: Organization,
    path: Path,
    database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_noon(monkeypatch)
    path.receive(path.tenant.webhook("What does part 7 cost?"))
    organization.encoder.failures = [ModelThrottled("429", 30.0), ModelMalformed("Half a batch.")]
    (body,) = path.sent.take("index")
    work(organization.outbox, organization.encoders, BUCKET, body)
    ((again, delay),) = path.sent.sent["index"]
    assert (again["attempts"], delay >= 30) == (1, True)
    path.sent.take("index")
    with database.connect() as owner:
        owner.execute("UPDATE organization_settings SET daily_model_budget_microusd = 0")
    work(organization.outbox, organization.encoders, BUCKET, again)
    (promised,) = organization.rows(OutboxRow)
    assert (promised.not_before.hour, promised.body["attempts"]) == (0, 1)
    with database.connect() as owner:
        owner.execute("UPDATE organization_settings SET daily_model_budget_microusd = 10^9")
    work(organization.outbox, organization.encoders, BUCKET, promised.body)
    organization.work()
    assert organization.having(organization.encoder, MessageEmbedding) == 1


def test_messages_that_never_get_a_vector_end_as_dead_letters(
    organization: Organization, path: Path
) -> None:
    path.receive(path.tenant.webhook("What does part 7 cost?"))
    (body,) = path.sent.take("index")
    body["attempts"] = embedding.MOST_ATTEMPTS
    organization.encoder.failures = [ModelThrottled("429")]
    with pytest.raises(ModelThrottled):
        work(organization.outbox, organization.encoders, BUCKET, body)


def test_a_message_that_is_refused_does_not_keep_others_back(
    organization: Organization, path: Path
) -> None:
    encoders = Encoders(organization.newer)
    tenant = path.tenant
    path.receive(
        tenant.webhook("I never ordered this.", conversation="c1", message_id="m1"),
        tenant.webhook("And part 8?", conversation="c2", message_id="m2"),
    )
    while bodies := path.sent.take("index"):
        for body in bodies:
            work(organization.outbox, encoders, BUCKET, body)
    assert organization.having(organization.newer, MessageEmbedding) == 1


def test_messages_move_with_their_organization(organization: Organization, path: Path) -> None:
    path.receive(path.tenant.webhook("What does part 7 cost?"))
    organization.work()
    run_id = organization.begin()
    organization.move()
    assert organization.state(run_id).metrics == {"texts": 101, "embedded": 101}
    assert organization.having(organization.newer, MessageEmbedding) == 1


def test_a_message_that_was_embedded_during_the_move_is_embedded_anew(
    organization: Organization, path: Path
) -> None:
    path.receive(path.tenant.webhook("What does part 7 cost?"))
    (body,) = path.sent.take("index")
    embed = organization.encoder.embed

    class Slow(Encoder):
        def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
            organization.begin()
            organization.move()
            return embed(texts, purpose=purpose)

    work(organization.outbox, Encoders(organization.newer, Slow()), BUCKET, body)
    assert organization.having(organization.encoder, MessageEmbedding) == 0
    organization.move()
    assert organization.having(organization.newer, MessageEmbedding) == 1
