"""Where in found texts the words of a question stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from countersign.platform.db import TenantSession
from countersign.retrieval.reading import Read, read

Span = tuple[int, int]
"""Where some characters begin and end, in code points."""

# Private-use characters: in a text they stand for nothing, so there they may become others.
_OPEN, _CLOSE, _OTHER = "\ue000", "\ue001", "\ufffd"
# What may part a code: blanks about the end of a line, at most.
_SEPARATORS = r"[-_./:\u2012\u2013\u2212\u200b\s]{0,6}"
_HEADLINES = """
SELECT ts_headline(
    search_language(language), translate(body, :marks, :others), search_any(lexemes),
    'HighlightAll=true, StartSel=' || :open || ', StopSel=' || :close
)
FROM ROWS FROM (
    jsonb_to_recordset(CAST(:asked AS jsonb)) AS (language text, body text, lexemes text[])
) WITH ORDINALITY AS given (language, body, lexemes, place)
ORDER BY place
"""


@dataclass(frozen=True)
class Marked:
    """A found text and the lexemes that it shares with the question."""

    language: str
    text: str
    lexemes: Sequence[str]


def spans(session: TenantSession, found: Sequence[Marked]) -> list[list[Span]]:
    """Of each text, where it has its lexemes: in order, none overlapping another.

    PostgreSQL, which made the lexemes, says where the words are; codes are looked for as they may
    be written, `AB-1234` for `ab1234`.
    """
    asked = [(one, read(one.text)) for one in found if one.lexemes]
    given = [
        {"language": one.language, "body": text_.text, "lexemes": list(one.lexemes)}
        for one, text_ in asked
    ]
    headlines = session.scalars(
        text(_HEADLINES),
        {
            "asked": json.dumps(given),
            "marks": _OPEN + _CLOSE,
            "others": _OTHER * 2,
            "open": _OPEN,
            "close": _CLOSE,
        },
    )
    placed = (
        _placed(text_, [*_words(headline), *_codes(text_.text, one.lexemes)])
        for (one, text_), headline in zip(asked, headlines, strict=True)
    )
    return [next(placed) if one.lexemes else [] for one in found]


def _placed(text_: Read, spans: Iterable[Span]) -> list[Span]:
    """Spans of a text as it is read, as spans of the original."""
    return _merged((text_.starts[start], text_.ends[end - 1]) for start, end in spans)


def _words(headline: str) -> Iterator[Span]:
    """Where the marks are in a text, had it none."""
    at, start = 0, 0
    for part in re.split(f"([{_OPEN}{_CLOSE}])", headline):
        if part == _OPEN:
            start = at
        elif part == _CLOSE:
            yield start, at
        else:
            at += len(part)


def _codes(text_: str, lexemes: Iterable[str]) -> Iterator[Span]:
    for code in lexemes:
        if any(map(str.isdigit, code)):
            written = _SEPARATORS.join(map(re.escape, code))
            for match in re.finditer(rf"(?<!\w){written}(?!\w)", text_, re.IGNORECASE):
                yield match.span()


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
