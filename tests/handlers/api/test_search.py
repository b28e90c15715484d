"""POST /v1/search: what is found, by whom, of what, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from countersign.identity.access import Access
from countersign.knowledge import passages
from countersign.knowledge.searching import Embedder
from countersign.models.errors import ModelUnavailable
from countersign.models.spaces import Encoders
from countersign.models.tables import ModelUsage
from functions.search import app
from tests import world
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story, issue

TEXTS = [
    "The seal AB-1234 fits the pump of the big machine.",
    "The seal AB-1235 fits the pump of the small machine.",
    "Orders ship within two days, by courier.",
]


@pytest.fixture
def searcher(database: TestDatabase, story: Story) -> Api:
    """The API, on a tenant who knows of seals."""
    world.add_knowledge(database, story.tenant, TEXTS, slug="seals")
    return story.api


def texts(found: Any) -> list[str]:
    return [one["text"] for one in found["items"]]


@pytest.mark.parametrize("code", ["AB-1234", "AB1234", "ab 1234", "does ab 1234 fit the machine"])
def test_a_code_finds_its_text_however_it_is_written(searcher: Api, code: str) -> None:
    found = searcher.post("/search", {"query": code, "dataset": "seals"})
    assert texts(found)[0] == TEXTS[0]
    assert [9, 16] in found["items"][0]["highlights"]
    assert [9, 16] not in found["items"][1]["highlights"]


def test_what_is_found_says_where_it_stands_and_how_it_was_found(searcher: Api) -> None:
    found = searcher.post("/search", {"query": "by courier", "limit": 1, "explain": True})
    (one,) = found["items"]
    assert one["document"]["title"] == "Article 2"
    assert one["message"] is None
    assert one["score"] == pytest.approx(one["similarity"] + 0.5 * one["evidence"] ** 2)
    assert one["lexemes"] == ["courier"]
    assert TEXTS[2][slice(*one["highlights"][0])] == "courier"
    (term,) = found["terms"]
    assert (term["lexeme"], term["is_code"], term["texts"]) == ("courier", False, 1)


def test_filters_leave_out_what_they_do_not_fit(searcher: Api, database: TestDatabase) -> None:
    with database.connect() as owner:
        owner.execute("UPDATE documents SET tags = '{a,b}' WHERE title = 'Article 0'")
        owner.execute("UPDATE documents SET indexed_at = '2026-01-02' WHERE title = 'Article 1'")
        owner.execute("UPDATE documents SET language = 'german' WHERE title = 'Article 2'")
        owner.execute("UPDATE chunks SET language = 'german' WHERE text LIKE 'Orders%'")

    def found(**filters: Any) -> list[str]:
        return texts(searcher.post("/search", {"query": "seal", "dataset": "seals", **filters}))

    assert set(found()) == set(TEXTS)
    assert found(tags=["a", "b"]) == [TEXTS[0]]
    assert found(tags=["a", "c"]) == []
    assert found(fresh_since="2026-01-01T00:00:00Z") == [TEXTS[1]]
    assert found(language="german") == [TEXTS[2]]
    assert found(least_score=2) == []
    assert len(found(limit=2)) == 2


def test_a_search_sees_one_moment(
    searcher: Api, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published while it looks does not take away what it has found."""
    described = passages.described

    def after_another(*args: Any) -> Any:
        with database.connect() as owner:
            owner.execute("DELETE FROM chunks")
        return described(*args)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(passages, "described", after_another)
        assert len(texts(searcher.post("/search", {"query": "seal", "dataset": "seals"}))) == 3
    assert texts(searcher.post("/search", {"query": "seal", "dataset": "seals"})) == []


def test_messages_are_a_corpus_of_their_own(story: Story) -> None:
    story.drafted("Where is my order 123-4567890?")
    story.ada_writes("It still has not come.", "c1")
    asked = {"query": "1234567890", "corpus": "messages"}
    before = story.api.post("/search", asked)["items"][0]
    assert before["similarity"] is None
    story.index()
    first = story.api.post("/search", asked)["items"][0]
    assert first["text"] == "Where is my order 123-4567890?"
    assert first["message"]["direction"] == "inbound"
    assert first["document"] is None
    assert first["similarity"] is not None
    assert first["score"] > before["score"]


def test_messages_are_searched_by_the_stems_of_their_language(story: Story) -> None:
    story.ada_writes("Wann kommt die Lieferung? Ich warte seit Wochen auf sie.", "c1")
    story.ada_writes("When will the delivery be here? I have waited for it.", "c2")
    story.index()
    asked = {"query": "Lieferungen", "corpus": "messages"}
    first, second = story.api.post("/search", {**asked, "explain": True})["items"]
    assert (first["evidence"] > 0, second["evidence"]) == (True, 0)
    assert first["text"].startswith("Wann kommt die Lieferung?")
    assert first["text"][slice(*first["highlights"][0])] == "Lieferung"
    (only,) = story.api.post("/search", {**asked, "language": "english"})["items"]
    assert only["text"].startswith("When will")


def test_what_is_not_near_enough_is_left_out(searcher: Api, database: TestDatabase) -> None:
    asked = {"query": "Orders ship within two days, by courier.", "dataset": "seals"}
    (only,) = searcher.post("/search", {**asked, "least_similarity": 0.99})["items"]
    assert only["text"] == TEXTS[2]
    with database.connect() as owner:
        owner.execute("DELETE FROM chunk_embeddings")
    assert len(searcher.post("/search", asked)["items"]) == 1, "by its words"
    assert searcher.post("/search", {**asked, "least_similarity": -1})["items"] == []


def test_messages_are_shown_to_who_may_read_them(database: TestDatabase, story: Story) -> None:
    api = Api(issue(database, story.tenant, "search:read"))
    assert api.call("POST", "/search", {"query": "box"}).status == 200
    answer = api.call("POST", "/search", {"query": "box", "corpus": "messages"})
    assert (answer.status, answer.problem) == (403, "forbidden")
    other = Api(issue(database, story.tenant, "conversations:read"))
    assert other.call("POST", "/search", {"query": "box"}).status == 403


def test_another_tenant_finds_only_its_own(searcher: Api, database: TestDatabase) -> None:
    other = world.add_tenant(database, "other")
    assert Api(other.key).post("/search", {"query": "AB-1234"})["items"] == []
    answer = Api(other.key).call("POST", "/search", {"query": "AB-1234", "dataset": "seals"})
    assert (answer.status, answer.problem) == (404, "not-found")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"query": " "}, {"query"}),
        ({"query": "a\x00"}, {"query"}),
        ({"query": "x" * 4001}, {"query"}),
        ({"query": "x", "limit": 51}, {"limit"}),
        ({"query": "x", "language": "klingon"}, {"language"}),
        ({"query": "x", "fresh_since": "2026-01-01"}, {"fresh_since"}),
        ({"query": "x", "corpus": "messages", "tags": ["a"]}, {"body"}),
    ],
)
def test_what_is_of_another_shape_is_refused(searcher: Api, body: Any, where: set[str]) -> None:
    assert searcher.call("POST", "/search", body).wrong == where


@pytest.mark.parametrize("query", ["'", "\\", "a' | b:*", "C'est ça \\ & !", "<b>seal</b> \ue000"])
def test_no_question_breaks_the_query(searcher: Api, query: str) -> None:
    assert len(searcher.post("/search", {"query": query, "dataset": "seals"})["items"]) == 3


def test_what_it_costs_is_noted_and_limited(
    searcher: Api, database: TestDatabase, story: Story
) -> None:
    searcher.post("/search", {"query": "seal"})
    with story.path.tenant_session() as session:
        (usage,) = session.scalars(select(ModelUsage))
        assert (usage.kind, usage.input_tokens) == ("embedding", 10)
    with database.connect() as owner:
        owner.execute("UPDATE organization_settings SET daily_model_budget_microusd = 0")
    answer = searcher.call("POST", "/search", {"query": "seal"})
    assert (answer.status, answer.problem) == (429, "exhausted")


def test_a_model_that_does_not_answer_is_unavailable_and_billed(
    database: TestDatabase, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(world.HashingEncoder):
        def embed(self, *_: Any, **__: Any) -> Any:
            raise ModelUnavailable().billed(7)

    embedder = Embedder(database.app_rw, Encoders(Broken()))
    access = Access(database.app_rw, prepare=embedder.prepare)
    monkeypatch.setattr(app, "_access", lambda: access)
    answer = story.api.call("POST", "/search", {"query": "seal"})
    assert answer.status == 503
    with story.path.tenant_session() as session:
        assert [usage.input_tokens for usage in session.scalars(select(ModelUsage))] == [7]
