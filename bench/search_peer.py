"""langchain-postgres PGVectorStore, asked by bench/search.py; runs in an environment of its own.

Reads lines of JSON from stdin and answers each with one. Its table has row-level security too, and
each of its transactions begins with the tenant's setting.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import HNSWIndex
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

TABLE = "peer_chunks"
COLUMNS = ["organization_id", "tag"]


class NoEmbeddings(Embeddings):  # type: ignore[misc]
    """It gets vectors, never texts."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError

    def embed_query(self, text: str) -> list[float]:
        raise NotImplementedError


class Peer:
    """The store on one connection, and what each of its transactions begins with."""

    def __init__(self, url: str, questions: str) -> None:
        pool = create_async_engine(url, pool_size=1, max_overflow=0)
        self.engine = PGEngine.from_engine(pool)
        self.questions = np.load(questions).tolist()
        self.settings: dict[str, str] = {}
        event.listen(pool.sync_engine, "begin", self._begin)

    def _begin(self, connection: Any) -> None:
        if self.settings:
            said = ", ".join(f"set_config('{n}', '{v}', true)" for n, v in self.settings.items())
            connection.exec_driver_sql(f"SELECT {said}")

    async def create(self) -> None:
        """Make its table, as it makes it."""
        columns = [Column(COLUMNS[0], "UUID"), Column(COLUMNS[1], "INTEGER")]
        await self.engine.ainit_vectorstore_table(TABLE, 1536, metadata_columns=columns)

    async def open(self) -> None:
        self.store = await PGVectorStore.create(
            self.engine, NoEmbeddings(), TABLE, metadata_columns=COLUMNS
        )

    async def index(self) -> None:
        await self.store.aapply_vector_index(HNSWIndex(name="peer_hnsw"))

    async def ask(self, tenant: str, below: int | None, question: int, ef: str) -> dict[str, Any]:
        """What is nearest, and the seconds that it took."""
        self.settings = {"app.organization_id": tenant}
        if ef:
            self.settings |= {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": ef}
        wanted: list[dict[str, Any]] = [{"organization_id": tenant}]
        if below is not None:
            wanted.append({"tag": {"$lt": below}})
        start = time.perf_counter()
        found = await self.store.asimilarity_search_with_score_by_vector(
            self.questions[question],
            k=10,
            filter={"$and": wanted} if below is not None else wanted[0],
        )
        seconds = time.perf_counter() - start
        return {"ids": [document.id for document, _ in found], "seconds": seconds}


async def main() -> None:
    """Answer until stdin ends: `[method, argument, …]` a line."""
    peer = Peer(*sys.argv[1:])
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        answer = await getattr(peer, method)(*arguments)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
