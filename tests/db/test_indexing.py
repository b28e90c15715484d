"""Documents become passages that search finds: all of them at once, or none with a reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from countersign.knowledge import documents, indexing, parsing, passages, progress, staging
from countersign.knowledge.parsing import PDF
from countersign.knowledge.tables import (
    Chunk,
    ChunkEmbedding,
    Document,
    DocumentVersion,
)
from countersign.models import Embeddings
from countersign.models.errors import ModelDenied, ModelMalformed, ModelRefused, ModelThrottled
from countersign.models.schemas import Purpose
from countersign.models.tables import ModelUsage
from countersign.models.vectors import checked
from countersign.platform import clock, storage
from countersign.platform.audit import SYSTEM
from countersign.platform.errors import Conflict, Invalid, NotFound, Unavailable
from countersign.platform.ids import new_id
from countersign.platform.tables import AuditEvent, OutboxRow
from tests import knowledge, world
from tests.conftest import TestDatabase
from tests.knowledge import Library
from tests.unit.knowledge import files
from tests.world import MemoryQueues, memory_queues

__all__ = ["memory_queues"]


@pytest.fixture
def library(
    database: TestDatabase, memory_queues: MemoryQueues, monkeypatch: pytest.MonkeyPatch
) -> Library:
    return Library(database, world.add_tenant(database), memory_queues, monkeypatch)


def sections(count: int, mark: str = "") -> str:
    return "".join(f"# Part {n}\n\nPart {n} costs {n} dollars{mark}.\n\n" for n in range(count))


def test_a_text_becomes_passages_with_vectors(library: Library) -> None:
    document_id = library.add()
    text = "# Returns\n\nAny part.\n\n## Refunds\n\nIn two weeks."
    assert library.write(document_id, text)
    assert library.shown(document_id) == []
    library.work()
    assert library.shown(document_id) == ["Any part.", "In two weeks."]
    document = library.read(document_id)
    assert (document.processing_status, document.version) == ("completed", 1)
    assert document.indexed_at
    assert document.leased_until is None
    for chunk in library.rows(Chunk):
        assert text[chunk.start_offset : chunk.end_offset] == chunk.text
    assert library.encoder.asked == [["Returns\n\nAny part.", "Returns › Refunds\n\nIn two weeks."]]
    run = library.run(document_id)
    assert (run.type, run.status) == ("index", "succeeded")
    assert run.started_at
    assert run.finished_at
    assert run.metrics == {
        "document_id": str(document_id),
        "chunks": 2,
        "embedded": 2,
        "characters": len(text),
        "of_characters": len(text),
        "version": 1,
    }
    (usage,) = library.rows(ModelUsage)
    assert (usage.input_tokens, usage.subject_id) == (20, document_id)
    assert library.under_work() == []
    assert library.rows(OutboxRow) == []
    told = [each.type for each in library.rows(AuditEvent) if each.stream_id == document_id]
    assert told == ["document.created", "document.indexed"]


def test_a_file_becomes_passages(library: Library) -> None:
    document_id = library.add()
    library.bring(document_id, files.pdf(["Page one."], ["Page two."]), PDF)
    library.work()
    assert library.shown(document_id) == ["Page one.\n\nPage two."]
    (version,) = library.rows(DocumentVersion)
    assert (version.content_type, version.content) == ("text/plain", "Page one.\n\nPage two.")


def test_an_unchanged_passage_keeps_its_vector(library: Library) -> None:
    document_id = library.add()
    library.write(document_id, sections(70))
    library.work()
    before = {c.text: v.embedding for c, v in vectors(library)}
    library.encoder.asked.clear()
    library.write(document_id, sections(70).replace("costs 7 dollars", "costs 8 dollars"))
    library.work()
    assert library.encoder.asked == [["Part 7\n\nPart 7 costs 8 dollars."]]
    after = {c.text: v.embedding for c, v in vectors(library)}
    same = after.keys() & before.keys()
    assert len(same) == 69
    assert all(list(after[text]) == list(before[text]) for text in same)
    assert (library.run(document_id).metrics or {})["embedded"] == 1
    assert library.read(document_id).version == 2
    contents = {v.version: v.content for v in library.rows(DocumentVersion)}
    assert contents[1] == sections(70)


def vectors(library: Library) -> list[tuple[Chunk, ChunkEmbedding]]:
    embeddings = {each.chunk_id: each for each in library.rows(ChunkEmbedding)}
    return [(chunk, embeddings[chunk.id]) for chunk in library.rows(Chunk)]


def test_the_same_content_is_no_new_version(library: Library) -> None:
    document_id = library.add()
    page = b"<h1>Returns</h1><p>Any part.</p>"
    library.bring(document_id, page, "text/html")
    library.work()
    assert not library.bring(document_id, page, "text/html")
    # Other bytes that say the same.
    assert library.bring(document_id, page + b"<!-- later -->", "text/html")
    library.work()
    document = library.read(document_id)
    assert (document.version, document.processing_status) == (1, "completed")
    assert len(library.encoder.asked) == 1
    assert library.run(document_id).status == "succeeded"
    text = library.add()
    assert library.write(text, "Once.")
    library.work()
    assert not library.write(text, "Once.")


@pytest.mark.parametrize("as_text", [True, False])
def test_a_document_may_be_indexed_again(library: Library, as_text: bool) -> None:
    document_id = library.add()
    if as_text:
        library.write(document_id, "Once.")
    else:
        library.bring(document_id, b"Once.", "text/plain")
    library.work()
    with library.session() as session:
        documents.index_again(session, documents.locked(session, document_id))
    library.work()
    assert library.shown(document_id) == ["Once."]
    assert library.read(document_id).version == 2
    assert len(library.encoder.asked) == 1


def test_work_goes_on_in_the_next_message(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message has time for one batch; search sees nothing before the last."""
    document_id = library.add()
    library.write(document_id, sections(150))
    times = iter([0.0, 0.0, 1.0] * 10)
    monkeypatch.setattr(indexing, "SECONDS", 0.5)
    monkeypatch.setattr("countersign.knowledge.indexing.time.monotonic", lambda: next(times))
    seen: list[int] = []
    real = staging.stage

    def stage(*given: Any) -> None:
        seen.append(given[3])
        real(*given)

    monkeypatch.setattr(staging, "stage", stage)
    assert library.work() == 3
    assert seen == [0, 64, 128]
    assert [len(asked) for asked in library.encoder.asked] == [64, 64, 22]
    assert len(library.shown(document_id)) == 150
    assert [chunk.chunk_index for chunk in sorted(library.rows(Chunk), key=index_of)] == [
        *range(150)
    ]


def index_of(chunk: Chunk) -> int:
    return chunk.chunk_index


def test_a_message_takes_so_many_tokens(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "TOKENS", 640)
    document_id = library.add()
    library.write(document_id, sections(150))
    assert library.work() == 3
    assert len(library.shown(document_id)) == 150


def test_a_killed_worker_costs_a_batch(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    document_id = library.add()
    library.write(document_id, sections(150))
    (body,) = library.sent.take("index")
    with monkeypatch.context() as patch:
        patch.setattr(library.encoder, "embed", dies_at(library, 2))
        with pytest.raises(KeyboardInterrupt):
            library.indexer().index(UUID(body["organization_id"]), document_id)
    assert len(library.under_work()) == 64
    assert library.shown(document_id) == []
    with pytest.raises(Unavailable, match="Another worker"):
        library.indexer().index(UUID(body["organization_id"]), document_id)
    later = clock.now() + progress.LEASE + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    library.indexer().index(UUID(body["organization_id"]), document_id)
    assert [len(asked) for asked in library.encoder.asked] == [64, 64, 22]
    assert len(library.shown(document_id)) == 150


def dies_at(library: Library, call: int) -> Any:
    calls = iter(range(1, 100))
    real = library.encoder.embed

    def embed(texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        if next(calls) == call:
            raise KeyboardInterrupt
        return real(texts, purpose=purpose)

    return embed


def test_what_no_worker_survives_fails(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    document_id = library.add()
    library.bring(document_id, b"x", "text/plain")
    (body,) = library.sent.take("index")
    monkeypatch.setattr(parsing, "parse", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    now = clock.now()
    for attempt in range(progress.MOST_DEATHS):
        monkeypatch.setattr(clock, "now", lambda n=attempt: now + n * 2 * progress.LEASE)
        with pytest.raises(KeyboardInterrupt):
            library.indexer().index(UUID(body["organization_id"]), document_id)
    monkeypatch.setattr(clock, "now", lambda: now + 20 * progress.LEASE)
    library.indexer().index(UUID(body["organization_id"]), document_id)
    document = library.read(document_id)
    assert (document.processing_status, document.reason) == ("failed", "too_many_attempts")


def test_a_content_that_comes_meanwhile_wins(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    document_id = library.add()
    library.write(document_id, "Old.")
    real = library.encoder.embed

    def embed(texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        monkeypatch.setattr(library.encoder, "embed", real)
        library.write(document_id, "New.")
        return real(texts, purpose=purpose)

    monkeypatch.setattr(library.encoder, "embed", embed)
    library.work()
    assert library.shown(document_id) == ["New."]
    assert library.read(document_id).version == 1
    assert [v.content for v in library.rows(DocumentVersion)] == ["New."]
    # What was lost has been paid for.
    assert len(library.rows(ModelUsage)) == 2


def test_a_document_that_is_deleted_meanwhile_stays_deleted(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    document_id = library.add()
    library.write(document_id, "Old.")
    real = library.encoder.embed

    def embed(texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        with library.session() as session:
            document = documents.locked(session, document_id)
            documents.remove(session, SYSTEM, document, clock.now())
        return real(texts, purpose=purpose)

    monkeypatch.setattr(library.encoder, "embed", embed)
    library.work()
    assert library.shown(document_id) == []
    assert library.under_work() == []
    with library.session() as session, pytest.raises(NotFound):
        documents.locked(session, document_id)


def test_a_deleted_document_keeps_what_was_cited(library: Library) -> None:
    document_id = library.add(source_url="https://shop.example/a")
    library.write(document_id, "Old.")
    library.work()
    with library.session() as session:
        documents.remove(session, SYSTEM, documents.locked(session, document_id), clock.now())
    assert library.shown(document_id) == []
    assert [v.content for v in library.rows(DocumentVersion)] == ["Old."]
    assert library.add(source_url="https://shop.example/a") != document_id


@pytest.mark.parametrize(
    ("content", "content_type", "reason"),
    [
        (b"", "text/plain", "empty"),
        (b"\x89PNG\0", "text/markdown", "binary"),
        (b"Gr\xf6\xdfe", "text/plain; charset=utf-8", "charset"),
        (b"%PDF-1.4", PDF, "corrupt"),
        (files.locked_pdf("secret", ["x"]), PDF, "encrypted"),
        (b"x", "image/png", "unsupported"),
        (b"x" * (documents.MOST_BYTES + 1), "text/plain", "too_large"),
    ],
    ids=["empty", "binary", "charset", "corrupt", "encrypted", "unsupported", "too_large"],
)
def test_what_cannot_be_read_fails_and_the_live_version_stays(
    library: Library, content: bytes, content_type: str, reason: str
) -> None:
    document_id = library.add()
    library.write(document_id, "Old.")
    library.work()
    library.bring(document_id, content, content_type)
    assert library.work() == 1
    document = library.read(document_id)
    assert (document.processing_status, document.reason) == ("failed", reason)
    assert library.shown(document_id) == ["Old."]
    run = library.run(document_id)
    assert run.status == "failed"
    assert run.error
    assert [v.content for v in library.rows(DocumentVersion)] == ["Old."]
    library.write(document_id, "New.")
    library.work()
    assert library.shown(document_id) == ["New."]


def test_bytes_that_are_not_there_fail(library: Library) -> None:
    document_id = library.add()
    library.receive(document_id, knowledge.stored(library))
    library.work()
    assert library.read(document_id).reason == "gone"


BROKEN: dict[str, Callable[[list[list[float]]], list[list[float]]]] = {
    "half a batch": lambda vectors: vectors[: len(vectors) // 2],
    "dimensions": lambda vectors: [vector[:-1] for vector in vectors],
    "NaN": lambda vectors: [[math.nan, *vector[1:]] for vector in vectors],
    "zero": lambda vectors: [[0.0] * len(vector) for vector in vectors],
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_encoder_that_answers_nonsense_is_asked_again_then_fails(
    library: Library, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the providers check answers; a batch of which a part is of no use is kept by no part."""
    document_id = library.add()
    library.write(document_id, sections(100))
    real = library.encoder.embed

    def embed(texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        answer = real(texts, purpose=purpose)
        given = [list(vector) for vector in answer.vectors]
        checked(BROKEN[fault](given), count=len(texts), dimensions=64)
        return answer

    monkeypatch.setattr(library.encoder, "embed", embed)
    assert library.work() == indexing.MOST_MALFORMED
    document = library.read(document_id)
    assert (document.processing_status, document.reason) == ("failed", "model_malformed")
    assert library.under_work() == []
    assert library.shown(document_id) == []


def test_an_encoder_that_is_busy_is_asked_again_later(library: Library) -> None:
    document_id = library.add()
    library.write(document_id, "Once.")
    library.encoder.failures = [ModelThrottled(retry_after=30).billed(7)]
    (body,) = library.sent.take("index")
    library.indexer().index(UUID(body["organization_id"]), document_id)
    ((_, delay),) = library.sent.sent["index"]
    assert delay >= 30
    document = library.read(document_id)
    assert (document.processing_status, document.reason) == ("pending", "model_throttled")
    library.work()
    assert library.shown(document_id) == ["Once."]
    assert library.read(document_id).reason is None
    assert sum(usage.input_tokens for usage in library.rows(ModelUsage)) == 17


@pytest.mark.parametrize("before", ["", "Old."])
def test_a_text_that_failed_may_be_indexed_again(library: Library, before: str) -> None:
    document_id = library.add()
    if before:
        library.write(document_id, before)
        library.work()
    library.write(document_id, "New.")
    library.encoder.failures = [ModelRefused("No.")]
    library.work()
    assert library.read(document_id).processing_status == "failed"
    assert library.shown(document_id) == [before] * bool(before)
    assert library.under_work() == []
    with library.session() as session:
        documents.index_again(session, documents.locked(session, document_id))
    library.work()
    assert library.shown(document_id) == ["New."]
    assert library.read(document_id).version == 1 + bool(before)


def test_an_encoder_that_lets_nobody_in_is_asked_again_later(library: Library) -> None:
    """The key may have expired: that is for the operator to mend, and no fault of the text."""
    document_id = library.add()
    library.write(document_id, "Once.")
    library.encoder.failures = [ModelDenied("It does not accept the key.") for _ in range(7)]
    library.work()
    assert library.shown(document_id) == ["Once."]


def test_a_document_under_work_is_shown_as_it_was(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    document_id = library.add()
    library.write(document_id, "# Seals\n\nAB-1234 fits.")
    library.work()
    other_id = library.add()
    library.write(other_id, "Nothing is under work here.")
    library.work()
    library.write(document_id, sections(150))
    monkeypatch.setattr(library.encoder, "embed", dies_at(library, 2))
    with pytest.raises(KeyboardInterrupt):
        library.work()
    assert len(library.under_work()) == 64
    encoder = world.HashingEncoder()
    for question in ("AB-1234", "Part 7 costs 7 dollars"):
        with library.session() as session:
            vector = [*encoder.embed([question]).vectors[0], *[0.0] * 1472]
            asked = passages.Embedded(vector, library.encoders.of(session).space)
            found = [one.text for one in passages.find(session, question, asked, 10)]
        assert set(found) == {"AB-1234 fits.", "Nothing is under work here."}


def test_an_encoder_that_refuses_is_not_asked_again(library: Library) -> None:
    document_id = library.add()
    library.write(document_id, "Once.")
    library.encoder.failures = [ModelRefused("Not this text.")]
    assert library.work() == 1
    assert library.read(document_id).reason == "model_refused"
    assert library.run(document_id).error == "Not this text."


def test_a_malformed_answer_is_no_outage() -> None:
    assert not issubclass(ModelMalformed, Unavailable)


def test_storage_that_does_not_answer_is_asked_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    document_id = library.add()
    library.bring(document_id, b"Once.", "text/plain")
    real = storage.get

    def get(*given: Any) -> bytes:
        monkeypatch.setattr(storage, "get", real)
        raise Unavailable

    monkeypatch.setattr(storage, "get", get)
    assert library.work() == 2
    assert library.shown(document_id) == ["Once."]


def test_work_waits_for_the_next_days_budget(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge.at_noon(monkeypatch)
    with library.database.connect() as owner:
        owner.execute("UPDATE organization_settings SET daily_model_budget_microusd = 60")
    document_id = library.add()
    library.write(document_id, sections(150))
    assert library.work() == 1
    document = library.read(document_id)
    assert (document.processing_status, document.reason) == ("pending", "daily_budget_spent")
    assert len(library.under_work()) == 64
    (promise,) = library.rows(OutboxRow)
    tomorrow = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert promise.not_before == tomorrow
    library.indexer().index(library.tenant.organization_id, document_id)
    assert len(library.encoder.asked) == 1
    with library.database.connect() as owner:
        owner.execute("UPDATE organization_settings SET daily_model_budget_microusd = 6000")
    library.indexer().index(library.tenant.organization_id, document_id)
    assert len(library.shown(document_id)) == 150


def test_an_address_has_one_document_and_a_document_a_dataset(library: Library) -> None:
    there = library.add(source_url="https://shop.example/a")
    with pytest.raises(Conflict) as caught:
        library.add(source_url="https://shop.example/a")
    assert caught.value.extra == {"document_id": str(there)}
    with library.session() as session, pytest.raises(Invalid):
        documents.add(session, SYSTEM, new_id(), "x", clock.now())
    assert len(library.rows(Document)) == 1
