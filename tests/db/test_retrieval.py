"""Hybrid search: nearest vectors, words joined by OR, and one tenant at a time."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from countersign.knowledge import passages
from countersign.models.spaces import space_of
from countersign.models.vectors import padded
from countersign.platform.ids import new_id
from countersign.retrieval import hybrid
from tests import world
from tests.conftest import TestDatabase
from tests.world import HashingEncoder, Tenant

TEXTS = [
    "Returns are free for 30 days if the box is kept.",
    "The hose HR-AN6-90 fits fuel systems and takes ninety degrees.",
    "Orders ship within two working days, by courier.",
    "Our shop opens at nine and closes at six.",
]


@pytest.fixture
def tenant(database: TestDatabase) -> Tenant:
    made = world.add_tenant(database)
    world.add_knowledge(database, made, TEXTS)
    return made


def find(
    database: TestDatabase, tenant: Tenant, question: str, limit: int = 3
) -> list[passages.Passage]:
    encoder = HashingEncoder()
    vector = padded(encoder.embed([question]).vectors[0])
    with database.app_rw.tenant(tenant.organization_id) as session:
        space = space_of(session, encoder)
        return passages.find(session, question, passages.Embedded(vector, space), limit)


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("when do orders ship by courier", 2),
        # Most of these words are in no text: were all of them asked for, nothing would be found.
        ("hello, please tell me: is there any hose of ninety degrees that fits fuel systems", 1),
        ("the shop opens at", 3),
        ("returns & | ! ( free : * '", 0),
    ],
)
def test_the_best_passage_comes_first(
    database: TestDatabase, tenant: Tenant, question: str, best: int
) -> None:
    found = find(database, tenant, question)
    assert found[0].text == TEXTS[best]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_as_many_as_asked_for_come_back(database: TestDatabase, tenant: Tenant) -> None:
    assert len(find(database, tenant, "hose", limit=2)) == 2
    assert len(find(database, tenant, "of the and", limit=10)) == len(TEXTS)


def test_words_are_stemmed_once_as_the_texts_were(database: TestDatabase) -> None:
    tenant = world.add_tenant(database, "learned")
    world.add_knowledge(database, tenant, ["Universities get a discount.", *TEXTS])
    encoder = HashingEncoder()
    with database.app_rw.tenant(tenant.organization_id) as session:
        space = space_of(session, encoder)
        vector = padded(encoder.embed(["hose"]).vectors[0])
        asked = hybrid.Question("universities", vector, space)
        found = hybrid.search(session, passages.CHUNKS, asked, 10)
    assert [hit.lexemes for hit in found.hits if hit.evidence] == [["univers"]]


def test_another_tenant_finds_only_its_own(database: TestDatabase, tenant: Tenant) -> None:
    other = world.add_tenant(database, "other")
    world.add_knowledge(database, other, ["We sell bicycles."])
    assert [one.text for one in find(database, other, "returns hose ship")] == ["We sell bicycles."]


def test_vectors_of_another_space_are_not_compared(database: TestDatabase, tenant: Tenant) -> None:
    with database.app_rw.tenant(tenant.organization_id) as session:
        asked = hybrid.Question("the hose", padded([1.0]), new_id())
        (hit,) = hybrid.search(session, passages.CHUNKS, asked, 3).hits
    assert hit.similarity is None
    assert hit.lexemes == ["hose"]


def test_words_decide_between_passages_that_are_equally_near(
    database: TestDatabase, tenant: Tenant
) -> None:
    with database.connect() as owner:
        owner.execute(
            "UPDATE chunk_embeddings SET embedding = (SELECT embedding FROM"
            " chunk_embeddings LIMIT 1)"
        )
    assert find(database, tenant, "fuel systems")[0].text == TEXTS[1]


def test_a_tenant_is_searched_by_its_index(database: TestDatabase, tenant: Tenant) -> None:
    """Among a hundred tenants, one's search reads the vectors of that one."""
    with database.connect() as owner:
        owner.execute(
            """
            CREATE TEMP TABLE others AS SELECT gen_random_uuid() AS id FROM generate_series(1, 100);
            INSERT INTO organizations (id, slug, name) SELECT id, id::text, 'x' FROM others;
            INSERT INTO datasets (organization_id, id, slug, name)
                SELECT id, id, 'd', 'd' FROM others;
            INSERT INTO documents (organization_id, id, dataset_id, title)
                SELECT id, id, id, 't' FROM others;
            INSERT INTO chunks (organization_id, id, document_id, version, chunk_index,
                                start_offset, end_offset, text, hash)
                SELECT o.id, gen_random_uuid(), o.id, 1, n, 0, 1, 'word', 'h'
                FROM others o, generate_series(1, 20) n;
            INSERT INTO chunk_embeddings (organization_id, embedding_space_id, chunk_id, embedding)
                SELECT c.organization_id, (SELECT id FROM embedding_spaces LIMIT 1), c.id,
                       (SELECT embedding FROM chunk_embeddings LIMIT 1)
                FROM chunks c JOIN others o ON o.id = c.organization_id;
            ANALYZE chunk_embeddings;
            """
        )
    with database.app_rw.tenant(tenant.organization_id) as session:
        plan = session.scalars(
            text(
                "EXPLAIN SELECT chunk_id FROM chunk_embeddings WHERE organization_id = :o AND"
                " embedding_space_id = (SELECT id FROM embedding_spaces LIMIT 1) LIMIT 5"
            ),
            {"o": tenant.organization_id},
        ).all()
    assert "Index Cond: (organization_id = " in "\n".join(plan)
    assert "Seq Scan on chunk_embeddings" not in "\n".join(plan)
