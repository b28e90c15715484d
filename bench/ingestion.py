"""What indexing adds to the encoder, and what large files take of it.

    python -m bench.ingestion [--articles N] [--text-megabytes N] [--pages N]
                              [--indexed-megabytes N]

First: passages a second through the indexing of articles, beside the same passages through the same
encoder in batches of the same size and nothing else; the encoder is the local stack's own. Then a
large text and a long PDF with an encoder that answers at once, and a text of a tenant that has a
vector index: memory, and how long each message of the queue takes. Each in a process of its own, so
that the one's memory is not the other's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from countersign.knowledge import chunking, indexing
from countersign.knowledge.parsing import PDF
from countersign.models import EmbeddingModel, Embeddings
from countersign.models.schemas import Purpose
from countersign.platform.db import Database, engine
from local import postgres
from local.models import encoder as minilm
from migrations import vector_indexes
from migrations.sample.knowledge import ARTICLES
from tests import conftest, world
from tests.knowledge import Library
from tests.unit.knowledge import files

ROUNDS = 3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--articles", type=int, default=120, help="of each side, in each round")
    options.add_argument("--text-megabytes", type=int, default=50)
    options.add_argument("--pages", type=int, default=2000)
    options.add_argument(
        "--indexed-megabytes", type=int, default=2, help="beside twice as many that have an index"
    )
    chosen = options.parse_args()
    beside = _apart(_beside_the_encoder, chosen.articles)
    text = _apart(_large_text, chosen.text_megabytes)
    pdf = _apart(_long_pdf, chosen.pages)
    indexed = _apart(_into_an_index, chosen.indexed_megabytes)
    print(f"passages a second: {beside['ours']:.1f}, the encoder alone {beside['alone']:.1f}")
    large = {"text": text, "pdf": pdf, "indexed": indexed}
    for name, one in large.items():
        print(
            f"{name}: {one['passages']} passages, {one['messages']} messages, the longest"
            f" {one['longest_seconds']:.1f} s, {one['peak_megabytes']:.0f} MB at most"
        )
    print(json.dumps({"ratio_to_encoder": round(beside["ratio"], 3), **large}))


def _apart(measure: Callable[[int], dict[str, float]], size: int) -> dict[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as process:
        return process.apply(measure, (size,))


class _Local:
    """The local stack's encoder, without its server."""

    provider, model, dimensions, price = "openai", "minilm", minilm.DIMENSIONS, 0.0

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        rows, count = minilm.encoder().embed(texts)
        return Embeddings(tuple(map(tuple, rows.tolist())), count, self.model)


class _Instant:
    """Answers at once, each text with the same vector."""

    provider, model, dimensions, price = "openai", "instant", 1536, 0.0

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        return Embeddings(((0.0255,) * 1536,) * len(texts), len(texts), self.model)


class _Scattered:
    """Answers at once, each text with a direction of its own."""

    provider, model, dimensions, price = "openai", "scattered", 1536, 0.0

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        rows = (
            np.random.default_rng(zlib.crc32(text.encode())).normal(size=1536) for text in texts
        )
        return Embeddings(tuple(tuple(row.tolist()) for row in rows), len(texts), self.model)


def _beside_the_encoder(articles: int) -> dict[str, float]:
    encoder = _Local()
    rows = []
    with _library(encoder) as library:
        for number in range(ROUNDS):
            text = _articles(articles, number)
            pieces = list(chunking.pieces(text, chunking.MARKDOWN))
            began = time.perf_counter()
            left = iter(pieces)
            while batch := list(islice(left, indexing.BATCH)):
                encoder.embed([piece.embedded for piece in batch])
            alone = len(pieces) / (time.perf_counter() - began)
            document_id = library.add()
            library.write(document_id, text)
            began = time.perf_counter()
            library.work()
            ours = len(pieces) / (time.perf_counter() - began)
            assert library.read(document_id).processing_status == "completed"
            rows.append((ours, alone))
    return {
        "ours": statistics.median(ours for ours, _ in rows),
        "alone": statistics.median(alone for _, alone in rows),
        "ratio": statistics.median(ours / alone for ours, alone in rows),
    }


def _articles(count: int, mark: int) -> str:
    """Sample articles one after the other, none of their passages twice."""
    there = [file.read_text("utf-8") for file in sorted(ARTICLES.glob("*/*.md"))]
    return "\n\n".join(
        there[number % len(there)].replace("\n\n", f"\n\n({mark}/{number}) ")
        for number in range(count)
    )


def _manual(megabytes: int, mark: str = "") -> str:
    """A text no two passages of which are alike."""
    line = "Part {n} of the manual{mark} says what to do about the fitting AN-{n} when it leaks.\n"
    length = len(line.format(n=100_000, mark=mark))
    lines = (line.format(n=n, mark=mark) + "\n" * (n % 6 == 5) for n in itertools.count(100_000))
    return "".join(islice(lines, megabytes * 2**20 // length))


def _large_text(megabytes: int) -> dict[str, float]:
    with _library(_Instant()) as library:
        return _large(library, _manual(megabytes).encode(), "text/plain")


def _long_pdf(pages: int) -> dict[str, float]:
    lines = [
        f"Line {n} of the manual says what to do when the hose AN-{n} leaks." for n in range(45)
    ]
    content = files.pdf(*[[f"Page {n}", *lines] for n in range(pages)])
    with _library(_Instant()) as library:
        return _large(library, content, PDF)


def _into_an_index(megabytes: int) -> dict[str, float]:
    """A text of a tenant whose vectors have an index, into which each goes by itself."""
    with _library(_Scattered()) as library:
        _large(library, _manual(2 * megabytes).encode(), "text/plain")
        owner = Database(engine(library.database.url("app_owner")))
        made = vector_indexes.maintain(owner, vector_indexes.Thresholds(1_000, 500))
        owner.engine.dispose()
        assert made["made"]
        return _large(library, _manual(megabytes, " of another kind").encode(), "text/plain")


def _large(library: Library, content: bytes, content_type: str) -> dict[str, float]:
    """Index a file with an encoder that answers at once."""
    document_id = library.add()
    library.bring(document_id, content, content_type)
    del content
    took = []
    while library.sent.sent["index"]:
        library.sent.take("index")
        began = time.perf_counter()
        library.indexer().index(library.tenant.organization_id, document_id)
        took.append(time.perf_counter() - began)
    document = library.read(document_id)
    assert document.processing_status == "completed", document.reason
    metrics = library.run(document_id).metrics or {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "passages": metrics["chunks"],
        "messages": len(took),
        "longest_seconds": round(max(took), 1),
        "peak_megabytes": round(peak),
    }


@contextmanager
def _library(encoder: EmbeddingModel) -> Iterator[Library]:
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.running(Path(folder) / "postgres", fsync=True) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        template = conftest.make_template(cluster)
        with conftest.copied(cluster, template, "bench") as database:
            sent = world.MemoryQueues()
            patch.setattr("countersign.platform.queues.send_delayed", sent.send_delayed)
            library = Library(database, world.add_tenant(database), sent, patch)
            made: Any = encoder
            library.encoder = made
            with database.connect() as owner:
                owner.execute(
                    "UPDATE organization_settings SET daily_model_budget_microusd = 10^15"
                )
            yield library


if __name__ == "__main__":
    main()
