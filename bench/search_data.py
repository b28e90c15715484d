"""Vectors for bench/search.py: real embeddings, put together anew and jittered in all dimensions.

The local MiniLM encoder embeds some thousand sentences, those of the docstrings of Python's own
library. Encoding 200,000 passages would take hours, so that a passage's vector is a mixture of two
sentences', as a passage speaks of more than one thing; each tenant has sentences of its own. By one
random rotation the 384 dimensions become 1536, which changes no distance, and then noise is added
in all of them: zeros at the end would make three quarters of each vector free. Questions are the
embeddings of sentences that no passage has, rotated alike, without noise.
"""

from __future__ import annotations

import ast
import functools
import random
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from countersign.models.vectors import STORED_DIMENSIONS
from local.models.encoder import encoder

SEED = 4
SENTENCES, QUESTIONS = 4_000, 500
NOISE = 0.35
"""Length of the noise, where a sentence's vector has 1."""
CHUNKS_PER_DOCUMENT = 10
CACHE = Path(".local/bench")

Vectors = NDArray[np.float32]
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, eq=False)
class Passages:
    """A tenant's passages; ten have a document in common, and with it its `tag`, from 0 to 99."""

    organization_id: UUID
    ids: list[UUID]
    documents: list[UUID]
    tags: NDArray[np.int64]
    """Of each document."""
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.ids)

    def matching(self, tags_below: int) -> NDArray[np.int64]:
        """The positions of those whose document has a tag below the given one."""
        return np.flatnonzero(self.tags_of_chunks() < tags_below)

    def tags_of_chunks(self) -> NDArray[np.int64]:
        return np.repeat(self.tags, CHUNKS_PER_DOCUMENT)[: len(self)]

    def nearest(self, question: int, limit: int, tags_below: int) -> list[UUID]:
        """The `limit` of those that are nearest to the question of that number."""
        rows = self.matching(tags_below)
        best = rows[np.argsort(-self.similarities[rows, question], kind="stable")[:limit]]
        return [self.ids[row] for row in best]

    @functools.cached_property
    def similarities(self) -> Vectors:
        """All passages, as rows, compared with all questions."""
        return self.vectors @ questions().T


def sizes(chunks: int, tenants: int) -> list[int]:
    """How many passages each tenant has: Zipf's law, the largest first."""
    weights = 1 / np.arange(1, tenants + 1)
    return [max(1, round(chunks * float(share))) for share in weights / weights.sum()]


def tenants(counts: list[int]) -> Iterator[Passages]:
    """Tenants of so many passages, the same at each call."""
    for number, count in enumerate(counts):
        yield _tenant(np.random.default_rng([SEED, number]), count)


@functools.cache
def questions() -> Vectors:
    """Unit vectors of what may be asked, as rows."""
    return _embedded()[SENTENCES:] @ _rotation()


def _tenant(chance: np.random.Generator, count: int) -> Passages:
    known = chance.choice(SENTENCES, max(50, min(SENTENCES, count // 5)), replace=False)
    first, second = chance.choice(known, (2, count))
    share = chance.uniform(0.5, 1.0, (count, 1)).astype(np.float32)
    mixed = share * _embedded()[first] + (1 - share) * _embedded()[second]
    noise = chance.standard_normal((count, STORED_DIMENSIONS), np.float32)
    vectors = mixed @ _rotation() + noise * (NOISE / STORED_DIMENSIONS**0.5)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    documents = -(-count // CHUNKS_PER_DOCUMENT)
    return Passages(
        _ids(chance, 1)[0],
        _ids(chance, count),
        _ids(chance, documents),
        chance.permutation(documents) % 100,
        vectors,
    )


def _ids(chance: np.random.Generator, count: int) -> list[UUID]:
    return [UUID(bytes=chance.bytes(16), version=4) for _ in range(count)]


@functools.cache
def _rotation() -> Vectors:
    chance = np.random.default_rng(SEED)
    width = _embedded().shape[1]
    square = chance.standard_normal((STORED_DIMENSIONS, width))
    return np.ascontiguousarray(np.linalg.qr(square)[0].T, np.float32)


@functools.cache
def _embedded() -> Vectors:
    """The sentences' vectors as rows, kept from one run to the next."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    kept = CACHE / f"sentences-{version}-{SEED}-{SENTENCES + QUESTIONS}.npy"
    if not kept.exists():
        print("Embedding the sentences, once …", file=sys.stderr, flush=True)
        vectors, _ = encoder().embed(_sentences(SENTENCES + QUESTIONS))
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, vectors)
    loaded: Vectors = np.load(kept)
    return loaded


def _sentences(count: int) -> list[str]:
    found: set[str] = set()
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("**/*.py")):
        if not {"test", "tests", "site-packages", "lib2to3"} & set(file.parts):
            found.update(_docstring_sentences(file))
    return random.Random(SEED).sample(sorted(found), count)


def _docstring_sentences(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_text("utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, described) else None
        for sentence in _SENTENCE.split(" ".join((text or "").split())):
            if 40 <= len(sentence) <= 250:
                yield sentence
