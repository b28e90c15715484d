"""Reads every file of a folder as a mail, and parts what was said in it from the rest.

Each file is a mail, whatever its name. Counted for each folder in the folder: mails that were read,
those refused with a typed error, those on which anything else was raised (there must be none), and
the milliseconds from bytes to visible text. SHOW=1 prints that text.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from countersign.mail.reading import read
from countersign.mail.said import said
from countersign.platform.errors import Invalid


@dataclass
class Tally:
    parsed: int = 0
    rejected: int = 0
    exceptions: int = 0
    milliseconds: list[float] = field(default_factory=list)
    defects: Counter[str] = field(default_factory=Counter)

    @property
    def mails(self) -> int:
        return self.parsed + self.rejected + self.exceptions

    @property
    def p95_ms(self) -> float:
        many = len(self.milliseconds) > 1
        return statistics.quantiles(self.milliseconds, n=20)[-1] if many else sum(self.milliseconds)

    def add(self, other: Tally) -> None:
        self.parsed += other.parsed
        self.rejected += other.rejected
        self.exceptions += other.exceptions
        self.milliseconds += other.milliseconds
        self.defects += other.defects


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    folder: Path = options.parse_args().folder
    show = os.environ.get("SHOW") == "1"
    tallies: dict[str, Tally] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            inside = path.relative_to(folder)
            name = inside.parts[0] if len(inside.parts) > 1 else "."
            _read(path, inside, tallies.setdefault(name, Tally()), show)
    total = Tally()
    columns = ("mails", "parsed", "rejected", "exceptions", "p95 ms")
    print(f"{'folder':<24}" + "".join(f" {column:>10}" for column in columns))
    for name, tally in tallies.items():
        _print(name, tally)
        total.add(tally)
    _print("all", total)
    print("mended:", ", ".join(f"{name} {count}" for name, count in total.defects.most_common()))
    counts = {name: getattr(total, name) for name in ("mails", "parsed", "rejected", "exceptions")}
    print(json.dumps({**counts, "p95_ms": round(total.p95_ms, 2)}))
    sys.exit(1 if total.exceptions else 0)


def _read(path: Path, inside: Path, tally: Tally, show: bool) -> None:
    raw = path.read_bytes()
    start = time.perf_counter()
    try:
        mail = read(raw)
        text = said(mail).text
        tally.parsed += 1
        tally.defects.update(mail.defects)
    except Invalid as refused:
        tally.rejected += 1
        text = f"[{refused.detail}]"
    except Exception:  # counted, since that there is none is what is shown
        tally.exceptions += 1
        text = traceback.format_exc()
        print(f"{inside}: {text}", file=sys.stderr)
    tally.milliseconds.append((time.perf_counter() - start) * 1000)
    if show:
        print(f"--- {inside}\n{text}")


def _print(name: str, tally: Tally) -> None:
    counts = (tally.mails, tally.parsed, tally.rejected, tally.exceptions)
    print(f"{name:<24}" + "".join(f" {count:>10}" for count in counts) + f" {tally.p95_ms:>10.2f}")


if __name__ == "__main__":
    main()
