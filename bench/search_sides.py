"""Who is asked by bench/search.py: the product, hand-written SQL, and langchain-postgres.

Each side's `ask` returns the ids it found, best first, and the seconds that it took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import psycopg
from pgvector.psycopg import register_vector

from bench.search_data import Passages, questions
from bench.search_store import SPACE, Store, copy_vectors
from countersign.knowledge.passages import CHUNKS
from countersign.platform.db import Database
from countersign.retrieval.corpus import NOTHING, Filter
from countersign.retrieval.near import LEAST_LIST, near, part
from tests.conftest import PASSWORDS
from tools.environment import python_of

LIMIT = 10
PEER_ENVIRONMENT = Path(".local/peer")
PEER_TABLE = "peer_chunks"
_TAGGED = Filter(
    "EXISTS (SELECT FROM documents d WHERE d.organization_id = :organization_id"
    " AND d.id = t.document_id AND d.tags @> ARRAY[:tag])"
)


class Question(NamedTuple):
    """Which question is asked of whom; `below` is the filter's percentage, None for no filter."""

    tenant: Passages
    below: int | None
    number: int

    def truth(self) -> list[UUID]:
        return self.tenant.nearest(self.number, LIMIT, self.below or 100)


Answer = tuple[list[UUID], float]


def recall(question: Question, found: Sequence[UUID]) -> float:
    truth = question.truth()
    return len(set(truth) & set(found)) / len(truth)


@dataclass(frozen=True)
class Ours:
    """The domain function, in a transaction of the tenant's."""

    database: Database

    def ask(self, question: Question) -> Answer:
        vector = questions()[question.number].tolist()
        where = NOTHING
        if question.below:
            where = Filter(_TAGGED.condition, {"tag": f"below-{question.below}"})
        start = time.perf_counter()
        with self.database.tenant(question.tenant.organization_id) as session:
            found = near(session, CHUNKS, vector, SPACE, LIMIT, where)
        return [each.id for each in found], time.perf_counter() - start


_ALL = """
SELECT chunk_id, embedding <=> %(vector)s AS distance FROM chunk_embeddings
WHERE organization_id = %(organization_id)s AND embedding_space_id = %(space)s
ORDER BY distance LIMIT 10
"""
_ALL_TAGGED = """
SELECT v.chunk_id, v.embedding <=> %(vector)s AS distance
FROM documents d
JOIN chunks c ON c.organization_id = d.organization_id AND c.document_id = d.id
JOIN chunk_embeddings v ON v.organization_id = c.organization_id AND v.chunk_id = c.id
WHERE d.organization_id = %(organization_id)s AND d.tags @> ARRAY[%(tag)s]
    AND v.embedding_space_id = %(space)s
ORDER BY distance LIMIT 10
"""
_INDEXED = """
WITH found AS MATERIALIZED (
    SELECT chunk_id, embedding <=> %(vector)s AS distance FROM chunk_embeddings v
    WHERE {part} {tagged}
    ORDER BY embedding::halfvec(1536) <=> (%(vector)s::vector)::halfvec(1536) LIMIT 20
)
SELECT * FROM found ORDER BY distance LIMIT 10
"""
_TAGGED_BY_HAND = """
AND (SELECT d.tags @> ARRAY[%(tag)s] FROM chunks c
     JOIN documents d ON d.organization_id = c.organization_id AND d.id = c.document_id
     WHERE c.organization_id = v.organization_id AND c.id = v.chunk_id)
"""


@dataclass
class ByHand:
    """psycopg and SQL. `by_index` holds for whom, and with which filter, the index is faster."""

    connection: psycopg.Connection[Any]
    by_index: set[tuple[UUID, int | None]] = field(default_factory=set)

    def ask(self, question: Question) -> Answer:
        organization_id, below = question.tenant.organization_id, question.below
        by_index = (organization_id, below) in self.by_index
        statement = _ALL_TAGGED if below else _ALL
        if by_index:
            tagged = _TAGGED_BY_HAND if below else ""
            statement = _INDEXED.format(part=part(organization_id, SPACE), tagged=tagged)
        asked = {
            "organization_id": organization_id,
            "space": SPACE,
            "vector": questions()[question.number],
            "tag": f"below-{below}",
        }
        entry = "SELECT set_config('app.organization_id', %s, true)"
        if by_index:
            entry += f", set_config('hnsw.ef_search', '{LEAST_LIST}', true)"
            entry += ", set_config('hnsw.iterative_scan', 'relaxed_order', true)"
        start = time.perf_counter()
        with self.connection.transaction():
            self.connection.execute(entry, [str(organization_id)])
            rows = self.connection.execute(statement, asked).fetchall()
        return [row[0] for row in rows], time.perf_counter() - start

    def learn(self, tenants: Sequence[Passages], filters: Sequence[int | None]) -> None:
        """Find out which statement is faster for each of the tenants that have an index."""
        for tenant in tenants:
            for below in filters:
                self.by_index.add((tenant.organization_id, below))
                indexed = self._seconds(tenant, below)
                self.by_index.remove((tenant.organization_id, below))
                if indexed < self._seconds(tenant, below):
                    self.by_index.add((tenant.organization_id, below))

    def _seconds(self, tenant: Passages, below: int | None) -> float:
        return float(np.median([self.ask(Question(tenant, below, n))[1] for n in range(9)]))


@contextmanager
def by_hand(store: Store) -> Iterator[ByHand]:
    conninfo = psycopg.conninfo.make_conninfo(
        store.superuser, user="app_rw", password=PASSWORDS["app_rw"]
    )
    with psycopg.connect(conninfo) as connection:
        register_vector(connection)
        yield ByHand(connection)


@dataclass
class Peer:
    """bench/search_peer.py in its own environment."""

    process: subprocess.Popen[str]
    list_size: str = ""
    """`hnsw.ef_search`; with none, settings are its defaults."""

    def call(self, method: str, *arguments: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([method, *arguments]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("langchain-postgres ended with an error; see above.")
        return json.loads(answer)

    def ask(self, question: Question) -> Answer:
        tenant = str(question.tenant.organization_id)
        said = self.call("ask", tenant, question.below, question.number, self.list_size)
        return [UUID(each) for each in said["ids"]], said["seconds"]


@contextmanager
def peer(store: Store, role: str) -> Iterator[Peer]:
    """A process of the peer that enters the store as `role`."""
    kept = store.folder / "questions.npy"
    np.save(kept, questions())
    url = store.database.url(role).render_as_string(hide_password=False)
    command = [str(python_of(PEER_ENVIRONMENT)), "bench/search_peer.py", url, str(kept)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={}
    ) as process:
        yield Peer(process)
        assert process.stdin
        process.stdin.close()


def fill_peer(store: Store) -> None:
    """Its own table, with the same rows, under the same policy, filled by COPY."""
    with psycopg.connect(store.superuser, autocommit=True) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO app_owner")
        with peer(store, "app_owner") as owner:
            owner.call("create")
        connection.execute(f"ALTER TABLE {PEER_TABLE} ALTER content SET DEFAULT 'Text'")
        for tenant in store.tenants:
            copy_vectors(
                connection,
                f"{PEER_TABLE} (langchain_id, organization_id, tag, embedding)",
                [tenant.ids, [tenant.organization_id] * len(tenant)],
                tenant.vectors,
                [tenant.tags_of_chunks()],
            )
        connection.execute(
            f"""
            ALTER TABLE {PEER_TABLE} ENABLE ROW LEVEL SECURITY;
            ALTER TABLE {PEER_TABLE} FORCE ROW LEVEL SECURITY;
            CREATE POLICY owner ON {PEER_TABLE} TO app_owner USING (true);
            CREATE POLICY tenant ON {PEER_TABLE} TO app_rw USING (
                organization_id = nullif(current_setting('app.organization_id', true), '')::uuid
            );
            GRANT SELECT ON {PEER_TABLE} TO app_rw;
            """
        )
        connection.execute(f"VACUUM ANALYZE {PEER_TABLE}")


def index_peer(store: Store) -> None:
    """Its HNSW index, as it makes it, and one on the tenant."""
    with psycopg.connect(store.superuser, autocommit=True) as connection:
        connection.execute(f"CREATE INDEX peer_tenant ON {PEER_TABLE} (organization_id)")
        with peer(store, "app_owner") as owner:
            owner.call("open")
            owner.call("index")
        connection.execute(f"ANALYZE {PEER_TABLE}")
