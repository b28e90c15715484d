"""What is found to have been said, beside what people judged was, in public collections of mails.

    make bench-replies REPLIES="FOLDER …"

A folder is a checkout of one of these, or has its form:

    crisp-oss/email-reply-parser    test/fixtures/*.txt, test/test.js
    discourse/email_reply_trimmer   test/emails/*.txt, test/trimmed/*.txt
    Foundry376/Mailspring           app/spec/fixtures/emails/*.html, *_stripped.html

near: the same words in the same order. cut: a line of the writer's is missing, which does harm.
leaked: a line more than theirs is shown. Of an interleaved mail the writer's lines count alone.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.replies_judged import INTERLEAVED, JUDGED, Lines
from countersign.mail.html import to_text
from countersign.mail.model import Mail
from countersign.mail.said import said

RUNS = 3


@dataclass(frozen=True)
class Case:
    """A mail, and the texts that were accepted for it; the shortest holds what must not miss."""

    name: str
    mail: Mail
    accepted: tuple[str, ...]
    is_interleaved: bool = False


@dataclass(frozen=True)
class Result:
    case: Case
    near: bool
    cut: bool
    leaked: bool
    may_have_cut: bool
    milliseconds: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folders", nargs="+", type=Path)
    options.add_argument("--show", action="store_true", help="name each mail that is not near")
    chosen = options.parse_args()
    everything: list[Result] = []
    print(f"{'collection':<40} mails   near%   cut%  leaked%  flagged%  p50 ms  p95 ms")
    for folder in chosen.folders:
        results = [_measured(case) for case in cases(folder)]
        everything += results
        print(f"{folder.name:<40} {_row(results)}")
        for one in results:
            if chosen.show and not one.near:
                print(f"  {one.case.name}: {'cut' if one.cut else 'leaked'}")
    print(json.dumps(_summary(everything)))


def cases(folder: Path) -> Iterator[Case]:
    """The mails of a folder; exits if it has none of the known forms."""
    readers: dict[str, Callable[[Path], Iterator[Case]]] = {
        "test/test.js": _asserted_and_judged,
        "test/trimmed": _trimmed,
        "app/spec/fixtures/emails": _stripped,
    }
    for path, reader in readers.items():
        if (folder / path).exists():
            return reader(folder)
    raise SystemExit(f"{folder} has none of {', '.join(readers)}.")


def _asserted_and_judged(folder: Path) -> Iterator[Case]:
    """Of crisp: what test.js asserts whole, and for the rest what was judged by hand."""
    script = (folder / "test/test.js").read_text()
    quoted = script.split("COMMON_FIRST_FRAGMENT = '", 1)[1].split("';", 1)[0]
    common = quoted.replace("\\n\\\n", "\n")
    asserted = set()
    for function in script.split("export function ")[1:]:
        name = re.search(r'get_email\("([^"]+)"\)', function)
        if name and "COMMON_FIRST_FRAGMENT" in function:
            asserted.add(name[1])
    for file in sorted((folder / "test/fixtures").glob("*.txt")):
        text = file.read_text()
        if file.stem in asserted:
            yield Case(file.stem, _reply(text), (common,))
        elif file.stem in INTERLEAVED:
            yield Case(file.stem, _reply(text), (_lines(text, INTERLEAVED[file.stem]),), True)
        elif file.stem in JUDGED:
            accepted = tuple(_lines(text, lines) for lines in JUDGED[file.stem])
            yield Case(file.stem, _reply(text), accepted)


def _trimmed(folder: Path) -> Iterator[Case]:
    for file in sorted((folder / "test/emails").glob("*.txt")):
        trimmed = folder / "test/trimmed" / file.name
        if trimmed.exists():
            yield Case(file.stem, _reply(file.read_text()), (trimmed.read_text(),))


def _stripped(folder: Path) -> Iterator[Case]:
    for stripped in sorted((folder / "app/spec/fixtures/emails").glob("*_stripped.html")):
        file = stripped.with_name(stripped.name.replace("_stripped", ""))
        mail = Mail(html=file.read_text(errors="replace"), references=("before",))
        yield Case(file.stem, mail, (to_text(stripped.read_text(errors="replace")),))


def _reply(text: str) -> Mail:
    return Mail(text=text, references=("before",))


def _lines(text: str, wanted: Lines) -> str:
    every = text.split("\n")
    if not wanted:
        return text
    return "\n".join(line for first, last in wanted for line in every[first - 1 : last])


def _measured(case: Case) -> Result:
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        got = said(case.mail)
        taken.append((time.perf_counter() - start) * 1e3)
    shown = _words(got.text)
    least, most = min(case.accepted, key=len), max(case.accepted, key=len)
    cut = any(line not in shown for line in _each(least))
    if case.is_interleaved:
        return Result(case, not cut, cut, False, got.may_have_cut, min(taken))
    near = shown in {_words(text) for text in case.accepted}
    leaked = any(line not in _words(most) for line in _each(got.text))
    return Result(case, near, cut, leaked, got.may_have_cut, min(taken))


def _words(text: str) -> str:
    return " ".join(text.split())


def _each(text: str) -> list[str]:
    return [_words(line) for line in text.split("\n") if line.strip()]


def _row(results: Sequence[Result]) -> str:
    values = _summary(results)
    return (
        f"{values['mails']:>5} {values['near']:>7} {values['cut']:>6} {values['leaked']:>8}"
        f" {values['flagged']:>9} {values['p50_ms']:>7} {values['p95_ms']:>7}"
    )


def _summary(results: Sequence[Result]) -> dict[str, float]:
    def percent(true: Sequence[bool]) -> float:
        return round(100 * sum(true) / len(results), 1)

    taken = sorted(one.milliseconds for one in results)
    return {
        "mails": len(results),
        "near": percent([one.near for one in results]),
        "cut": percent([one.cut for one in results]),
        "leaked": percent([one.leaked for one in results]),
        "flagged": percent([one.may_have_cut for one in results]),
        "p50_ms": round(statistics.median(taken), 2),
        "p95_ms": round(taken[int(len(taken) * 0.95)], 2),
    }


if __name__ == "__main__":
    main()
