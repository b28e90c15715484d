"""What search reads of a text, one form of each character, and where each of these stands in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# As search_read does: migrations/searching.py says why.
_READ_AS = str.maketrans("—―™℠¹²³⁰⁴⁵⁶⁷⁸⁹‐‑", " " * 14 + "--", "\u00ad\u2060\ufeff")
_LONG_RUN = re.compile(r"(\S{200,254})[-._/@:]")
# Of no category of marks, and yet read together with what they follow: parts of Korean syllables,
# Japanese marks of half a width, and what is not read at all, behind which marks may come.
_FOLLOWING = re.compile(r"[\u1160-\u11ff\u3131-\u318e\uff9e\uff9f\uffa0-\uffdc\u00ad\u2060\ufeff]")


@dataclass(frozen=True)
class Read:
    """A text as it is read; each character of it is made of the original's from its place in
    `starts` to that in `ends`."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


def read(text: str) -> Read:
    """`text` as search reads it."""
    same = Read(_one_form(text), range(len(text)), range(1, len(text) + 1))
    if same.text != text:
        same = _read_by_pieces(text)
    return Read(_LONG_RUN.sub(r"\1 ", same.text), same.starts, same.ends)


def _one_form(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text.translate(_READ_AS))


def _read_by_pieces(text: str) -> Read:
    forms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    end = 0
    for piece in _pieces(text):
        start, end = end, end + len(piece)
        form = _one_form(piece)
        forms.append(form)
        starts += [start] * len(form)
        ends += [end] * len(form)
    return Read("".join(forms), starts, ends)


def _pieces(text: str) -> Iterator[str]:
    """Characters, each with the marks that follow it."""
    start = 0
    for at, character in enumerate(text):
        is_mark = unicodedata.category(character)[0] == "M" or _FOLLOWING.match(character)
        if at > start and not is_mark:
            yield text[start:at]
            start = at
    yield text[start:]
