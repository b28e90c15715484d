"""The vector arm at scale: recall and time, beside hand-written SQL and langchain-postgres.

    make bench-search            200,000 chunks, 100 tenants of Zipf sizes, 1536 dimensions
    make bench-search SCALE=0.1  a quick look, with thresholds of a tenth

How the vectors are made stands in bench/search_data.py. Questions are asked of a tenant as often as
it has chunks, without a filter and with filters that 1 %, 10 % and all of its documents match. All
sides have row-level security, set the tenant in each transaction, and get the question's vector:

    ours   `retrieval.near`, as search calls it
    SQL    psycopg alone: for each tenant and filter the faster of two statements, which it knows
    peer   PGVectorStore with its HNSW index of all tenants, an index on the tenant, iterative
           scans, and the shortest list that finds 99 of 100; its table was filled by COPY
    plain  the same without any index, which is its default: it reads the rows of all tenants

One question goes to all sides before the next, in an order by chance.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from bench.search_data import QUESTIONS, SEED, sizes
from bench.search_sides import (
    PEER_TABLE,
    Answer,
    Ours,
    Peer,
    Question,
    by_hand,
    fill_peer,
    index_peer,
    peer,
    recall,
)
from bench.search_store import Store, filled, promote

CHUNKS, TENANTS = 200_000, 100
FILTERS = (None, 1, 10, 100)
ROUNDS, QUESTIONS_PER_ROUND = 5, 200
CHECKED, CHECKED_OF_INDEXED = 3, 100
"""Questions for the recall of each tenant and filter."""
WITHOUT_INDEX = 8
LIST_SIZES = ("40", "100", "200", "400")
ENOUGH = 0.99
BEGUN = time.monotonic()


class Side(Protocol):
    def ask(self, question: Question) -> Answer: ...


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--scale", type=float, default=1.0, help="of the chunks; 0.1 is quick")
    scale = options.parse_args().scale
    random.seed(SEED)
    with filled(sizes(round(CHUNKS * scale), TENANTS)) as store:
        _say("filled")
        indexes = promote(store, scale)
        _say(f"{len(indexes)} tenants promoted")
        result = _recall(store, len(indexes))
        _say("recall measured")
        fill_peer(store)
        _say("peer filled")
        with by_hand(store) as sql, peer(store, "app_rw") as langchain:
            langchain.call("open")
            sql.learn(store.tenants[: len(indexes)], FILTERS)
            ours = Ours(store.database.app_rw)
            plain_sides: dict[str, Side] = {"ours": ours, "plain": langchain}
            plain = _timed(plain_sides, store, WITHOUT_INDEX)
            _say("peer measured without an index")
            index_peer(store)
            _say("peer indexed")
            _tune(langchain, store)
            sides: dict[str, Side] = {"ours": ours, "sql": sql, "peer": langchain}
            rounds = [_timed(sides, store, QUESTIONS_PER_ROUND) for _ in range(ROUNDS)]
        _print_sizes(store, indexes)
    _print_times(rounds, plain)
    print(json.dumps(result | {f"p95_ratio_to_{n}": _ratio(rounds, n) for n in ("sql", "peer")}))


def _say(what: str) -> None:
    print(f"{time.monotonic() - BEGUN:6.0f} s  {what}", flush=True)


def _recall(store: Store, indexed: int) -> dict[str, float]:
    """The least share of the ten nearest, of all tenants and filters, and how many are missing."""
    ours, missing = Ours(store.database.app_rw), 0
    found: dict[tuple[UUID, int | None], list[float]] = defaultdict(list)
    for place, tenant in enumerate(store.tenants):
        count = CHECKED_OF_INDEXED if place < indexed else CHECKED
        for below in FILTERS:
            for number in random.sample(range(QUESTIONS), count):
                question = Question(tenant, below, number)
                ids, _ = ours.ask(question)
                missing += len(question.truth()) - len(ids)
                found[tenant.organization_id, below].append(recall(question, ids))
    print("chunks  recall@10 of tenants with an index: no filter, 1 %, 10 %, 100 %")
    for tenant in store.tenants[:indexed]:
        means = [statistics.mean(found[tenant.organization_id, below]) for below in FILTERS]
        print(f"{len(tenant):>6}  " + "  ".join(f"{mean:.4f}" for mean in means))
    worst = min(statistics.mean(each) for each in found.values())
    return {"recall_min": round(worst, 4), "missing_rows": missing}


def drawn(store: Store, count: int) -> list[Question]:
    """Questions of tenants by their sizes."""
    tenants = random.choices(store.tenants, [len(each) for each in store.tenants], k=count)
    return [Question(each, random.choice(FILTERS), random.randrange(QUESTIONS)) for each in tenants]


def _tune(langchain: Peer, store: Store) -> None:
    """Let it keep the fewest in view with which it finds enough."""
    asked = drawn(store, QUESTIONS_PER_ROUND)
    for size in LIST_SIZES:
        langchain.list_size = size
        found = statistics.mean(recall(each, langchain.ask(each)[0]) for each in asked)
        _say(f"peer with hnsw.ef_search = {size}: recall@10 {found:.4f}")
        if found >= ENOUGH:
            return


def _timed(sides: Mapping[str, Side], store: Store, count: int) -> dict[str, list[float]]:
    """Milliseconds of each side for the same questions."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for question in drawn(store, count):
        random.shuffle(names)
        for name in names:
            _, seconds = sides[name].ask(question)
            times[name].append(1000 * seconds)
    return times


def p95(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def _ratio(rounds: Sequence[Mapping[str, Sequence[float]]], other: str) -> float:
    return round(statistics.median(p95(r["ours"]) / p95(r[other]) for r in rounds), 3)


def _print_sizes(store: Store, indexes: Sequence[str]) -> None:
    for relation in ("chunk_embeddings", *indexes, PEER_TABLE, "peer_hnsw"):
        print(f"{store.size(relation):8.0f} MB  {relation}")


def _print_times(
    rounds: Sequence[Mapping[str, Sequence[float]]], plain: Mapping[str, Sequence[float]]
) -> None:
    print("round " + "".join(f"{name + ' p50/p95':>20}" for name in rounds[0]) + "  ms")
    for number, times in enumerate(rounds):
        row = [f"{statistics.median(each):.1f}/{p95(each):.1f}" for each in times.values()]
        print(f"{number:>5} " + "".join(f"{cell:>20}" for cell in row))
    medians = {name: statistics.median(times) for name, times in plain.items()}
    print(
        f"peer at its defaults, without an index: {medians['plain']:.0f} ms where we took"
        f" {medians['ours']:.1f} (medians of {WITHOUT_INDEX})"
    )


if __name__ == "__main__":
    main()
