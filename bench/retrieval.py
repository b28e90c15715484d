"""How well questions find the documents that answer them: by vectors, by words, by both.

Two sets: a file of questions that people put in their own words about how-to articles, and
questions with exact tokens that are made from a seed (bench/exact_tokens.py). The texts lie in a
real Postgres as the product keeps them, embedded by the encoder of the local stack, and are
searched through the product's functions as the role app_rw. Each set is a tenant's. A document
ranks as its best passage does, and what is not among the first passages is not found.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from bench import exact_tokens
from bench.exact_tokens import Article, Question
from countersign.knowledge import chunking
from countersign.knowledge.passages import CHUNKS
from countersign.knowledge.tables import Chunk, ChunkEmbedding, Dataset, Document
from countersign.models.tables import EmbeddingSpace
from countersign.models.vectors import padded
from countersign.platform.db import TenantSession
from countersign.platform.ids import new_id
from countersign.retrieval import hybrid, words
from countersign.retrieval.near import near
from local import postgres
from local.models.encoder import DIMENSIONS, encoder
from tests import conftest, world

PASSAGES = 50
CUT = 10
"""Where nDCG ends."""
Arm = Callable[[TenantSession, hybrid.Question], list[UUID]]


@dataclass(frozen=True)
class Filled:
    """A tenant with the articles of a set: whose each passage is, and the space of the vectors."""

    organization_id: UUID
    space: UUID
    articles: dict[UUID, int]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("faq", type=Path, help='{"documents": [{"title", "body", "queries"}]}')
    options.add_argument("--seed", type=int, default=1, help="of the exact tokens")
    chosen = options.parse_args()
    sets = {"faq": _read(chosen.faq), "exact": exact_tokens.make(chosen.seed)}
    summary = {}
    with _database() as database:
        for name, (articles, questions) in sets.items():
            filled = _fill(database, name, articles)
            ranks = _ranks(database, filled, questions)
            print(f"{name}: {len(articles)} documents, {len(questions)} questions")
            print("method         R@1    R@5    MRR  nDCG@10")
            for method, found in ranks.items():
                print(f"{method:<11} {_row(found)}")
            for kind in sorted({one.kind for one in questions if one.kind}):
                _print_kind(kind, questions, ranks)
            summary[name] = {f"{arm}_r1": _recall(found, 1) for arm, found in ranks.items()}
    print(json.dumps(summary))


def _read(file: Path) -> tuple[list[Article], list[Question]]:
    documents = json.loads(file.read_text())["documents"]
    articles = [Article(document["title"], document["body"]) for document in documents]
    questions = [
        Question(text, position, "")
        for position, document in enumerate(documents)
        for text in document["queries"]
    ]
    return articles, questions


@contextmanager
def _database() -> Iterator[conftest.TestDatabase]:
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.running(Path(folder) / "postgres", fsync=False) as cluster,
    ):
        template = conftest.make_template(cluster)
        with conftest.copied(cluster, template, "bench") as database:
            yield database


def _fill(database: conftest.TestDatabase, name: str, articles: Sequence[Article]) -> Filled:
    tenant = world.add_tenant(database, name)
    own = {"organization_id": tenant.organization_id}
    dataset, space = new_id(), new_id()
    documents: list[dict[str, Any]] = []
    chunks: list[dict[str, Any]] = []
    positions: dict[UUID, int] = {}
    embedded: list[str] = []
    for position, article in enumerate(articles):
        document = {
            **own,
            "id": new_id(),
            "dataset_id": dataset,
            "title": article.title,
            "version": 1,
            "processing_status": "completed",
        }
        documents.append(document)
        content = f"# {article.title}\n\n{article.text}"
        for index, piece in enumerate(chunking.pieces(content, chunking.MARKDOWN)):
            chunk: dict[str, Any] = {
                **own,
                "id": new_id(),
                "document_id": document["id"],
                "version": 1,
                "chunk_index": index,
                "start_offset": piece.start,
                "end_offset": piece.end,
                "heading": piece.heading,
                "text": piece.text,
                "hash": piece.hash,
            }
            chunks.append(chunk)
            positions[chunk["id"]] = position
            embedded.append(piece.embedded)
    vectors, _ = encoder().embed(embedded)
    embeddings = [
        {
            **own,
            "embedding_space_id": space,
            "chunk_id": chunk["id"],
            "embedding": padded(vector.tolist()),
        }
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    spaces = {"id": space, "provider": "bench", "model": name, "dimensions": DIMENSIONS}
    with database.app_rw.tenant(tenant.organization_id) as session:
        session.execute(insert(EmbeddingSpace), [spaces])
        session.execute(insert(Dataset), [{**own, "id": dataset, "slug": "all", "name": "All"}])
        session.execute(insert(Document), documents)
        session.execute(insert(Chunk), chunks)
        session.execute(insert(ChunkEmbedding), embeddings)
    return Filled(tenant.organization_id, space, positions)


def _ranks(
    database: conftest.TestDatabase, filled: Filled, questions: Sequence[Question]
) -> dict[str, list[float]]:
    """By method, the rank of each question's answer, from 1; infinite where it is not found."""
    vectors, _ = encoder().embed([question.text for question in questions])
    ranks: dict[str, list[float]] = {name: [] for name in ARMS}
    with database.app_rw.tenant(filled.organization_id) as session:
        for question, vector in zip(questions, vectors, strict=True):
            asked = hybrid.Question(question.text, padded(vector.tolist()), filled.space)
            for name, arm in ARMS.items():
                found = dict.fromkeys(filled.articles[id_] for id_ in arm(session, asked))
                ranks[name].append(_rank(list(found), question.answer))
    return ranks


def _vector(session: TenantSession, asked: hybrid.Question) -> list[UUID]:
    return [one.id for one in near(session, CHUNKS, asked.vector, asked.space, PASSAGES)]


def _lexical(session: TenantSession, asked: hybrid.Question) -> list[UUID]:
    terms = words.terms(session, CHUNKS, asked.words, asked.languages)
    return [one.id for one in words.worded(session, CHUNKS, terms, PASSAGES)]


def _hybrid(session: TenantSession, asked: hybrid.Question) -> list[UUID]:
    return [hit.id for hit in hybrid.search(session, CHUNKS, asked, PASSAGES).hits]


ARMS: dict[str, Arm] = {"vector": _vector, "lexical": _lexical, "hybrid": _hybrid}


def _rank(found: Sequence[int], answer: int) -> float:
    return found.index(answer) + 1 if answer in found else math.inf


def _recall(ranks: Sequence[float], most: int) -> float:
    return round(statistics.mean(rank <= most for rank in ranks), 4)


def _row(ranks: Sequence[float]) -> str:
    reciprocal = statistics.mean(1 / rank for rank in ranks)
    gain = statistics.mean(1 / math.log2(rank + 1) if rank <= CUT else 0.0 for rank in ranks)
    return f"{_recall(ranks, 1):.4f} {_recall(ranks, 5):.4f} {reciprocal:.4f}   {gain:.4f}"


def _print_kind(kind: str, questions: Sequence[Question], ranks: dict[str, list[float]]) -> None:
    for method, found in ranks.items():
        own = [rank for rank, one in zip(found, questions, strict=True) if one.kind == kind]
        print(f"{method:<11} {_row(own)}  {kind}")


if __name__ == "__main__":
    main()
