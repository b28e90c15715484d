"""How a search's time grows with chunks and with tenants; draws docs/search-growth.svg.

    make bench-search GROWTH=1

Medians and 95th percentiles of `retrieval.near`, asked as in bench/search.py, as chunks grow
tenfold, twice: in 100 tenants, each of which has ten times as many then, and in ten times as many
tenants.
"""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.search import drawn, p95
from bench.search_data import SEED, sizes
from bench.search_sides import Ours
from bench.search_store import filled, promote

DRAWING = Path("docs/search-growth.svg")
TOTALS = (1_000, 10_000, 100_000)
ROUNDS, ASKED = 12, 40
WIDTH, HEIGHT, LEFT, TOP = 460, 250, 50, 20
MILLISECONDS = (0.3, 1, 3, 10, 30, 100)


@dataclass(frozen=True)
class Curve:
    """How many tenants there are as chunks grow, and what a search took then, in milliseconds."""

    name: str
    color: str
    tenants: tuple[int, int, int]
    times: list[list[float]] = field(default_factory=lambda: [[] for _ in TOTALS])

    def medians(self) -> list[float]:
        return [statistics.median(each) for each in self.times]

    def slowest(self) -> list[float]:
        return [p95(each) for each in self.times]


def main() -> None:
    random.seed(SEED)
    curves = [
        Curve("100 tenants", "#0b62a4", (100, 100, 100)),
        Curve("100 chunks a tenant", "#b5532a", (10, 100, 1000)),
    ]
    with ExitStack() as stack:
        places = [(curve, place) for curve in curves for place in range(len(TOTALS))]
        stores = [
            stack.enter_context(filled(sizes(TOTALS[place], curve.tenants[place])))
            for curve, place in places
        ]
        for store in stores:
            promote(store)
        # One after the other again and again: the machine is not as busy all the time.
        for _ in range(ROUNDS):
            for (curve, place), store in zip(places, stores, strict=True):
                ours = Ours(store.database.app_rw)
                for question in drawn(store, ASKED):
                    curve.times[place].append(1000 * ours.ask(question)[1])
    DRAWING.write_text(_drawing(curves))
    for curve in curves:
        for total, median, slow in zip(TOTALS, curve.medians(), curve.slowest(), strict=True):
            print(f"{curve.name}: {total} chunks, {median:.1f} / {slow:.1f} ms")
    grown = {curve.name: round(curve.slowest()[2] / curve.slowest()[0], 2) for curve in curves}
    print(json.dumps({"p95_after_hundredfold": grown}))


def _drawing(curves: Sequence[Curve]) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 150}'
        f' {TOP + HEIGHT + 45}" font-family="sans-serif" font-size="12" fill="#333">',
        "<title>Milliseconds of a search as chunks grow tenfold, and tenfold again</title>",
        f'<text x="{LEFT}" y="{TOP + HEIGHT + 38}">chunks in all; solid: median, dashed: 95th'
        " percentile</text>",
    ]
    for value in MILLISECONDS:
        y = _y(value)
        parts.append(f'<path d="M{LEFT} {y:.0f}H{LEFT + WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">{value} ms</text>')
    for place, total in enumerate(TOTALS):
        x, y = _x(place), TOP + HEIGHT + 18
        parts.append(f'<text x="{x:.0f}" y="{y}" text-anchor="middle">{total:,}</text>')
    for curve in curves:
        parts += [_line(curve.medians(), curve.color), _line(curve.slowest(), curve.color, "5 4")]
        parts.append(
            f'<text x="{_x(2) + 8:.0f}" y="{_y(curve.slowest()[2]) + 4:.0f}" fill="{curve.color}">'
            f"{curve.name}</text>"
        )
    return "\n".join([*parts, "</svg>\n"])


def _line(values: Sequence[float], color: str, dashes: str = "none") -> str:
    points = " ".join(f"{_x(place):.0f},{_y(value):.0f}" for place, value in enumerate(values))
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"'
        f' stroke-dasharray="{dashes}"/>'
    )


def _x(place: int) -> float:
    return LEFT + 30 + place * (WIDTH - 60) / (len(TOTALS) - 1)


def _y(value: float) -> float:
    low, high = math.log(MILLISECONDS[0]), math.log(MILLISECONDS[-1])
    return TOP + HEIGHT * (1 - (math.log(value) - low) / (high - low))


if __name__ == "__main__":
    main()
