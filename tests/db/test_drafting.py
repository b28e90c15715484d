"""Drafting: what a model says is used only if it holds, and only while it still answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path as File
from typing import Any

import pytest
from sqlalchemy import select, update

from countersign.conversations.tables import Conversation, Message, Notification
from countersign.drafting import overtaking, requests
from countersign.drafting.tables import Draft, DraftRequest
from countersign.drafting.working import work
from countersign.drafting.writing import QUOTE_CHARACTERS, Writer
from countersign.identity.tables import OrganizationSettings
from countersign.knowledge.tables import Document
from countersign.models import ChatAnswer, Embeddings
from countersign.models.errors import (
    ModelError,
    ModelMalformed,
    ModelRefused,
    ModelThrottled,
    ModelUnavailable,
)
from countersign.models.spaces import Encoders
from countersign.models.tables import ModelUsage
from countersign.platform import clock
from countersign.platform.errors import NotFound, Stale, Unavailable
from countersign.platform.ids import new_id
from tests import world
from tests.conftest import TestDatabase
from tests.world import (
    MODEL_SETTINGS,
    HashingEncoder,
    MemoryQueues,
    Path,
    QuotingChat,
    memory_queues,
)
from tools import template

__all__ = ["memory_queues"]

APPLICATION = template.load(File(__file__).parents[2] / "template.yaml")

TEXT = "Returns are free for 30 days. Keep the box."
GOOD = {
    "abstain": False,
    "reason": None,
    "answer": "Yes, for 30 days.",
    "citations": [{"source": "S1", "quote": "free for 30 days"}],
}
NOON = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(12), UTC)


class Saying(QuotingChat):
    """Answers what it is told to, one after the other; notes what it was shown."""

    def __init__(self, *answers: Mapping[str, Any] | str | Exception) -> None:
        self.answers, self.shown = list(answers), list[dict[str, Any]]()

    def answer(
        self,
        system: str,
        user: str,
        *,
        schema: Mapping[str, Any] | None = None,
        max_output_tokens: int = 1024,
    ) -> ChatAnswer:
        self.shown.append(json.loads(user))
        said = self.answers.pop(0)
        if isinstance(said, Exception):
            raise said
        text = said if isinstance(said, str) else json.dumps(said)
        return ChatAnswer(text, 1000, 100, self.model)


@pytest.fixture
def path(database: TestDatabase, memory_queues: MemoryQueues) -> Path:
    tenant = world.add_tenant(database)
    world.add_knowledge(database, tenant, [TEXT])
    made = Path(database, tenant, memory_queues)
    made.receive(tenant.webhook("Can I return my order?"))
    return made


def use(path: Path, *answers: Mapping[str, Any] | str | Exception) -> Saying:
    chat = Saying(*answers)
    path.writer = Writer(path.database.app_rw, chat, Encoders(HashingEncoder()), MODEL_SETTINGS)
    return chat


def request(path: Path) -> DraftRequest:
    with path.tenant_session() as session:
        return session.scalars(
            select(DraftRequest).order_by(DraftRequest.created_at.desc()).limit(1)
        ).one()


def draft(path: Path) -> Draft:
    with path.tenant_session() as session:
        return session.scalars(select(Draft).where(Draft.status == "pending")).one()


def test_a_draft_names_its_sources_to_the_letter(path: Path) -> None:
    chat = use(path, GOOD)
    path.draft()
    made = draft(path)
    assert made.suggested_text == "Yes, for 30 days."
    (source,) = made.top_sources
    start, end = source["span"]
    assert TEXT[start:end] == source["quote"] == "free for 30 days"
    assert (source["title"], source["document_version"]) == ("Article 0", 1)
    assert (made.model_key, made.prompt_version) == ("openai/quoter", "reply-1")
    assert chat.shown[0]["conversation"] == [{"from": "customer", "text": "Can I return my order?"}]
    assert path.count(Notification, type="draft_ready") == 1


def test_what_calls_cost_is_noted(path: Path) -> None:
    use(path, GOOD)
    path.draft()
    with path.tenant_session() as session:
        usage = {row.kind: row for row in session.scalars(select(ModelUsage))}
    # 1,000 tokens at $1 a million and 100 at $2; 10 at 10 cents.
    assert (usage["chat"].cost_microusd, usage["embedding"].cost_microusd) == (1200, 1)
    assert usage["chat"].subject_id == request(path).id


@pytest.mark.parametrize(
    ("error", "costs"),
    [
        (ModelMalformed("Cut off.").billed(1000, 100), {"chat": 1200, "embedding": 1}),
        (ModelRefused("Declined.").billed(1000), {"chat": 1000, "embedding": 1}),
        (ModelUnavailable("503"), {"embedding": 1}),
    ],
)
def test_what_a_failed_call_cost_is_noted(
    path: Path, error: ModelError, costs: dict[str, int]
) -> None:
    use(path, error)
    path.draft()
    with path.tenant_session() as session:
        usage = {row.kind: row.cost_microusd for row in session.scalars(select(ModelUsage))}
    assert usage == costs


def test_what_a_failed_embedding_cost_is_noted(path: Path) -> None:
    class Failing(HashingEncoder):
        def embed(self, *_: Any, **__: Any) -> Embeddings:
            raise ModelMalformed("Not a number.").billed(20)

    path.writer = Writer(path.database.app_rw, Saying(), Encoders(Failing()), MODEL_SETTINGS)
    path.draft()
    assert request(path).status == "waiting"
    assert path.count(ModelUsage, kind="embedding", cost_microusd=2) == 1


def test_answers_that_are_cut_off_count_towards_what_a_day_may_cost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with path.tenant_session() as session:
        session.execute(update(OrganizationSettings).values(daily_model_budget_microusd=1200))
    use(path, ModelMalformed("Cut off.").billed(1000, 100))
    at_noon(path, monkeypatch)
    at_noon(path, monkeypatch, timedelta(minutes=1))
    assert (request(path).status, request(path).reason) == ("abstained", "daily_budget_spent")


@pytest.mark.parametrize(
    "said",
    [
        {**GOOD, "citations": [{"source": "S9", "quote": "free for 30 days"}]},
        {**GOOD, "citations": [{"source": "S1", "quote": "free for 90 days"}]},
        {**GOOD, "citations": []},
        {**GOOD, "answer": "  "},
        {**GOOD, "answer": "Yes\x00"},
        {**GOOD, "extra": 1},
        {"answer": "Yes"},
        "Sure! Here is your reply: yes.",
        "[]",
    ],
)
def test_an_answer_that_does_not_hold_is_asked_for_again_and_never_shown(
    path: Path, said: Mapping[str, Any] | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(path, said, GOOD)
    path.draft()
    assert path.count(Draft) == 0
    assert request(path).status == "waiting"
    later = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    path.draft()
    assert draft(path).suggested_text == "Yes, for 30 days."


def test_quotes_are_kept_once_and_no_longer_than_a_person_reads(
    database: TestDatabase, memory_queues: MemoryQueues
) -> None:
    path, chunk = japanese(database, memory_queues)
    quotes = [chunk[start:] for start in range(10)] * 2
    use(path, {**GOOD, "citations": [{"source": "S1", "quote": quote} for quote in quotes]})
    path.draft()
    kept = draft(path).top_sources
    assert [source["span"] for source in kept] == [
        [start, start + QUOTE_CHARACTERS] for start in range(10)
    ]
    assert {source["quote"] for source in kept} == {
        chunk[start : start + QUOTE_CHARACTERS] for start in range(10)
    }


def test_an_answer_with_more_sources_than_a_row_holds_does_not_hold(
    database: TestDatabase, memory_queues: MemoryQueues
) -> None:
    path, chunk = japanese(database, memory_queues)
    with path.tenant_session() as session:
        session.execute(update(Document).values(title="題" * 2000))
    quotes = [chunk[start:] for start in range(20)]
    use(path, {**GOOD, "citations": [{"source": "S1", "quote": quote} for quote in quotes]})
    path.draft()
    assert (path.count(Draft), request(path).status) == (0, "waiting")


def japanese(database: TestDatabase, queues: MemoryQueues) -> tuple[Path, str]:
    """A tenant with one chunk of 3.8 KB in which no two characters are the same; a question."""
    tenant = world.add_tenant(database)
    chunk = "".join(map(chr, range(0x4E00, 0x4E00 + 1260)))
    world.add_knowledge(database, tenant, [chunk])
    path = Path(database, tenant, queues)
    path.receive(tenant.webhook("返品できますか"))
    return path, chunk


def test_a_model_that_never_holds_fails_the_request(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = use(path, *["nonsense"] * requests.MAX_ATTEMPTS)
    for hours in range(requests.MAX_ATTEMPTS):
        monkeypatch.setattr(
            clock, "now", lambda hours=hours: datetime.now(UTC) + timedelta(hours=hours)
        )
        path.draft()
    assert not chat.answers
    assert request(path).status == "failed"
    assert request(path).reason


def test_a_request_that_breaks_its_worker_fails_before_its_message_is_a_dead_letter(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = APPLICATION["Parameters"]["MaxReceiveCount"]["MinValue"]
    use(path, *[RuntimeError("A bug of ours.")] * tries)
    (body,) = path.sent.take("drafts")
    failures = 0
    for number in range(tries):
        later = datetime.now(UTC) + number * timedelta(hours=1)
        monkeypatch.setattr(clock, "now", lambda later=later: later)
        path.sent.sent["drafts"] = [(body, 0)]
        try:
            path.draft()
        except RuntimeError:
            failures += 1
    assert failures == requests.MAX_ATTEMPTS
    assert (request(path).status, request(path).reason) == ("failed", "too_many_attempts")


def test_a_draft_is_no_longer_than_its_channel_takes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with path.database.connect() as owner:
        owner.execute("UPDATE channels SET type = 'sms', provider = 'twilio'")
    chat = use(path, {**GOOD, "answer": "x" * 1601}, {**GOOD, "answer": "x" * 1600})
    path.draft()
    assert (path.count(Draft), request(path).status) == (0, "waiting")
    later = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    path.draft()
    assert draft(path).suggested_text == "x" * 1600
    assert [shown["most_characters"] for shown in chat.shown] == [1600, 1600]


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("no_source_answers", "no_source_answers"),
        (None, "no_source_answers"),
        ("Because\nI said so", "no_source_answers"),
        ("not_a_question", "not_a_question"),
    ],
)
def test_a_model_may_abstain_with_a_reason(path: Path, reason: str | None, kept: str) -> None:
    use(path, {"abstain": True, "reason": reason, "answer": "", "citations": []})
    path.draft()
    assert (request(path).status, request(path).reason) == ("abstained", kept)
    assert path.count(Draft) == 0


def test_nothing_is_asked_without_sources(
    database: TestDatabase, memory_queues: MemoryQueues
) -> None:
    path = Path(database, world.add_tenant(database), memory_queues)
    path.receive(
        path.tenant.webhook("Anyone there?"),
        path.tenant.webhook("   ", conversation="c2", message_id="m2"),
    )
    chat = use(path)
    path.draft()
    assert chat.shown == []
    with path.tenant_session() as session:
        reasons = session.scalars(select(DraftRequest.reason)).all()
    assert set(reasons) == {"no_sources", "empty_message"}


@pytest.mark.parametrize(
    "error", [ModelUnavailable("503"), ModelThrottled("429", 40.0), ModelError("?")]
)
def test_a_model_that_is_away_is_asked_again(path: Path, error: ModelError) -> None:
    use(path, error)
    before = datetime.now(UTC)
    path.draft()
    again = request(path)
    assert again.status == "waiting"
    wait = getattr(error, "retry_after", None) or 10
    assert again.not_before >= before + timedelta(seconds=wait)
    # A message that comes too early is put off: the model is not asked.
    path.draft()
    assert request(path).attempts == 1
    assert len(path.sent.take("drafts")) == 1


@pytest.mark.parametrize("asked", [float("inf"), float("nan"), 1e300, 7200.0])
def test_a_model_cannot_put_a_draft_off_for_ever(path: Path, asked: float) -> None:
    use(path, ModelThrottled("429", asked))
    path.draft()
    assert request(path).status == "waiting"
    assert request(path).not_before < datetime.now(UTC) + timedelta(hours=1, seconds=5)


def test_a_source_that_changed_since_it_was_quoted_makes_an_approval_stale(path: Path) -> None:
    use(path, GOOD)
    path.draft()
    with path.tenant_session() as session:
        session.execute(update(Document).values(version=2))
    with pytest.raises(Stale) as stale:
        path.approve()
    assert stale.value.extra == {"changed": ["sources"]}


def test_a_refusal_of_the_provider_is_final(path: Path) -> None:
    use(path, ModelRefused("401: the key is not accepted"))
    path.draft()
    assert (request(path).status, request(path).reason) == (
        "failed",
        "401: the key is not accepted",
    )


def test_no_more_is_spent_than_a_day_may_cost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with path.tenant_session() as session:
        session.execute(update(OrganizationSettings).values(daily_model_budget_microusd=1200))
    use(path, GOOD)
    at_noon(path, monkeypatch)
    assert path.count(Draft) == 1
    path.receive(path.tenant.webhook("And shipping?", message_id="m2"))
    use(path)
    at_noon(path, monkeypatch)
    assert (request(path).status, request(path).reason) == ("abstained", "daily_budget_spent")
    path.receive(path.tenant.webhook("And returns?", message_id="m3"))
    use(path, GOOD)
    at_noon(path, monkeypatch, timedelta(hours=12))
    assert request(path).status == "drafted"


def at_noon(path: Path, patch: pytest.MonkeyPatch, later: timedelta = timedelta(0)) -> None:
    """Draft at a noon to come, or later, wherever in a day the test runs."""
    patch.setattr(clock, "now", lambda: NOON + later)
    path.draft()
    with path.database.connect() as owner:
        owner.execute("UPDATE model_usage SET created_at = %s", [NOON + later])


def test_bursts_are_answered_once(
    database: TestDatabase, memory_queues: MemoryQueues, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = world.add_tenant(database, debounce_seconds=30)
    world.add_knowledge(database, tenant, [TEXT])
    path = Path(database, tenant, memory_queues)
    now = datetime.now(UTC)
    monkeypatch.setattr(clock, "now", lambda: now)
    for number in range(3):
        path.receive(tenant.webhook(f"Part {number}", message_id=f"m{number}"))
    assert {delay for _, delay in memory_queues.sent["drafts"]} == {30}
    chat = use(path, GOOD)
    path.draft()
    assert chat.shown == []
    later = now + timedelta(seconds=31)
    monkeypatch.setattr(clock, "now", lambda: later)
    path.draft()
    assert [message["text"] for message in chat.shown[0]["conversation"]] == [
        "Part 0",
        "Part 1",
        "Part 2",
    ]
    assert path.count(DraftRequest, status="superseded") == 2


def test_a_message_that_arrives_while_a_model_writes_supersedes(path: Path) -> None:
    class Interrupted(Saying):
        def answer(self, *args: Any, **kwargs: Any) -> ChatAnswer:
            path.receive(path.tenant.webhook("Wait, another thing", message_id="m2"))
            return super().answer(*args, **kwargs)

    chat = Interrupted(GOOD)
    path.writer = Writer(path.database.app_rw, chat, Encoders(HashingEncoder()), MODEL_SETTINGS)
    path.draft()
    assert path.count(Draft) == 0
    assert path.count(DraftRequest, status="superseded", reason="newer_message") == 1
    # The call was made all the same, and cost what it cost.
    assert path.count(ModelUsage, kind="chat") == 1


def test_two_workers_do_not_write_the_same_draft(path: Path) -> None:
    body = path.sent.sent["drafts"][0][0]

    class Nested(Saying):
        def answer(self, *args: Any, **kwargs: Any) -> ChatAnswer:
            with pytest.raises(Unavailable):
                work(path.outbox, path.writer, path.tenant.organization_id, request(path).id)
            return super().answer(*args, **kwargs)

    path.writer = Writer(
        path.database.app_rw, Nested(GOOD), Encoders(HashingEncoder()), MODEL_SETTINGS
    )
    path.draft()
    path.sent.sent["drafts"].append((body, 0))
    path.draft()
    assert path.count(Draft) == 1


def test_a_lease_that_was_taken_over_stores_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Saying):
        def answer(self, *args: Any, **kwargs: Any) -> ChatAnswer:
            later = clock.now() + requests.LEASE + timedelta(seconds=1)
            monkeypatch.setattr(clock, "now", lambda: later)
            path.writer = Writer(
                path.database.app_rw, Saying(GOOD), Encoders(HashingEncoder()), MODEL_SETTINGS
            )
            work(path.outbox, path.writer, path.tenant.organization_id, request(path).id)
            return super().answer(*args, **kwargs)

    slow = Slow({**GOOD, "answer": "Too late."})
    path.writer = Writer(path.database.app_rw, slow, Encoders(HashingEncoder()), MODEL_SETTINGS)
    path.draft()
    assert draft(path).suggested_text == "Yes, for 30 days."
    assert path.count(ModelUsage, kind="chat") == 2


def test_there_is_nothing_to_draft_for_nobody(path: Path) -> None:
    with pytest.raises(NotFound):
        work(path.outbox, path.writer, path.tenant.organization_id, new_id())


def test_a_newer_revision_takes_the_place_of_a_pending_draft(path: Path) -> None:
    use(path, GOOD, {**GOOD, "answer": "Of course."})
    path.draft()
    with path.outbox.transaction(path.tenant.organization_id) as session:
        conversation = session.scalars(select(Conversation).with_for_update()).one()
        message_id = conversation.latest_inbound_message_id
        assert message_id
        message = session.get_one(Message, (session.organization_id, message_id))
        revision = requests.next_revision(session, message_id)
        requests.open_requests(session, [message], datetime.now(UTC), revision)
    path.draft()
    assert (draft(path).suggested_text, draft(path).revision) == ("Of course.", 2)
    assert path.count(Draft, status="superseded") == 1


def test_a_composed_message_is_stopped_without_a_draft(path: Path) -> None:
    with path.tenant_session() as session:
        assert overtaking.revoke_approval(session, new_id(), "superseded", clock.now()) is None
