"""Sentences of a text, as spans: a quotation must be an exact part of its source."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"[^\n]+")
_MARKER = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_HEADING = re.compile(r"\s*#")
_END = re.compile(r"[.!?][\"')\]]*\s+(?=[\"'(]?[A-Z0-9])")


@dataclass(frozen=True)
class Sentence:
    """`text` is `source[start:start + len(text)]`; `line` counts the source's lines from 0."""

    text: str
    start: int
    line: int


def sentences(source: str) -> list[Sentence]:
    """The sentences of plain or Markdown text, without headings and list markers."""
    found: list[Sentence] = []
    for number, line in enumerate(_LINE.finditer(source)):
        if _HEADING.match(line.group()):
            continue
        marker = _MARKER.match(line.group())
        start = line.start() + (marker.end() if marker else 0)
        ends = [end.end() for end in _END.finditer(source, start, line.end())]
        for begin, end in zip([start, *ends], [*ends, line.end()], strict=True):
            text = source[begin:end]
            trimmed = text.strip()
            if trimmed:
                found.append(Sentence(trimmed, begin + text.index(trimmed), number))
    return found
