"""Where in found texts the words of a question stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from countersign.platform.db import TenantSession

Span = tuple[int, int]
"""Where some characters begin and end, in code points."""

# Private-use characters: in a text they stand for nothing, so there they may become others.
_OPEN, _CLOSE, _OTHER = "\ue000", "\ue001", "\ufffd"
# As `search_read` reads them: dashes, blanks, and what nobody sees.
_SEPARATOR = r"[-_./:\u2010-\u2015\u2212\ufe63\uff0d\s\u00ad\u200b\u2060\ufeff]{0,3}+"
_FULL_WIDTH = 0xFEE0
_NO_NOTE = r"[^\W\u00b2\u00b3\u00b9\u2070\u2074-\u2079]"
"""What goes on with a word: raised digits do not."""
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
    asked = [
        {"language": one.language, "body": one.text, "lexemes": list(one.lexemes)}
        for one in found
        if one.lexemes
    ]
    marked = session.scalars(
        text(_HEADLINES),
        {
            "asked": json.dumps(asked),
            "marks": _OPEN + _CLOSE,
            "others": _OTHER * 2,
            "open": _OPEN,
            "close": _CLOSE,
        },
    )
    headlines = iter(marked.all())
    return [
        _merged([*_words(next(headlines)), *_codes(one.text, one.lexemes)]) if one.lexemes else []
        for one in found
    ]


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
            written = _SEPARATOR.join(map(_written, code))
            for match in re.finditer(rf"(?<!\w){written}(?!{_NO_NOTE})", text_, re.IGNORECASE):
                yield match.span()


def _written(character: str) -> str:
    """A character of a code as it may stand in a text: in full width, too."""
    wide = chr(ord(character) + _FULL_WIDTH) if character.isascii() else ""
    return f"[{re.escape(character)}{wide}]"


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
