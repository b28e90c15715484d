"""What a person changed in a draft, as operations that a person can read and a machine can replay.

The form is that of the seed's `diffJson` (drafts-and-approvals.md): keep, delete, insert, as
`[["=", 6], ["-", 5], ["+", "world"]]`. Counts are Unicode code points of the original, which are
not JavaScript's string indices. `apply` is the reference of what they mean; why the comparison is
not difflib's is decision 8 (docs/adr/0008-the-difference-is-our-own.md).
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise, zip_longest
from typing import Any, NamedTuple

from countersign.platform.errors import Invalid

Operations = list[list[Any]]

# Scripts that put no spaces between words, where each character stands alone: Thai, Lao, Tibetan,
# Myanmar, Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_PIECES = re.compile(
    rf"\r?\n|[^\S\n]+|[{_UNSPACED}]"
    rf"|(?P<word>[^\W{_UNSPACED}]+(?:['\u2019][^\W{_UNSPACED}]+)*)"
    r"|[\U0001f1e6-\U0001f1ff]{2}|.",
    re.DOTALL,
)
_FIRST_MARK = "\u0300"
_JOINER = "\u200d"
_EMOJI_STYLE = "\ufe0f"

# Table cells, a bit each: 32 MB and a fifth of a second, enough for two of the longest messages.
_MOST_CELLS = 16_000**2
_CHANCE_WORDS = 2


class UnfitDiff(Invalid):
    """The operations do not fit the text that they are to change."""

    code = "unfit-diff"


class _Edit(NamedTuple):
    """The original's tokens from i1 to i2 gave way to the final text's from j1 to j2."""

    i1: int
    i2: int
    j1: int
    j2: int


class _Text(NamedTuple):
    """A text as tokens, with what comes before each: code points (`at`) and words (`nth`)."""

    tokens: list[str]
    at: list[int]
    nth: list[int]


def diff(original: str, final: str) -> Operations:
    """What turns `original` into `final`: `["=", count]`, `["-", count]`, `["+", text]`.

    Whole words are compared, and words that stayed by chance amid a rewriting count as rewritten.
    Neighbours differ in kind, "-" comes before "+", nothing is empty, and the same texts always
    give the same operations. Texts longer than any message count as rewritten between their ends.
    """
    a, b = _text(_words(original)), _text(_words(final))
    edits = _merge(_edits(_pairs(a.tokens, b.tokens), a, b), a, b)
    return _operations(_slide([_trim(edit, a, b) for edit in edits], a, b), a, b)


def _words(text: str) -> list[str]:
    """Words, spaces, line ends and signs; what a reader sees as one sign stays in one piece."""
    starts = []
    previous = None
    for piece in _PIECES.finditer(text):
        if previous is None or not _continues(previous, piece):
            starts.append(piece.start())
        previous = piece
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def _continues(previous: re.Match[str], piece: re.Match[str]) -> bool:
    """Whether `piece` is a combining mark, or goes on with a word or sign that has one."""
    last, first = previous[0][-1], piece[0][0]
    if last < _FIRST_MARK and first < _FIRST_MARK:
        return False
    if last == _JOINER or first == _JOINER or _is_mark(first) or _is_skin_tone(first):
        return True
    return piece.lastgroup == "word" and _is_mark(last) and last != _EMOJI_STYLE


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _is_skin_tone(character: str) -> bool:
    return "\U0001f3fb" <= character <= "\U0001f3ff"


def _pairs(a: list[str], b: list[str]) -> list[tuple[int, int]]:
    """Indices of a longest common subsequence; where that takes too long, of the ends alone."""
    head = _same_start(a, b)
    tail = _same_start(a[head:][::-1], b[head:][::-1])
    stop_a, stop_b = len(a) - tail, len(b) - tail
    fits = (stop_a - head) * (stop_b - head) <= _MOST_CELLS
    inner = _subsequence(a[head:stop_a], b[head:stop_b]) if fits else []
    return [
        *zip(range(head), range(head), strict=True),
        *((head + i, head + j) for i, j in inner),
        *zip(range(stop_a, len(a)), range(stop_b, len(b)), strict=True),
    ]


def _same_start(a: Sequence[str], b: Sequence[str]) -> int:
    same = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        same += 1
    return same


def _subsequence(a: list[str], b: list[str]) -> list[tuple[int, int]]:
    """The pairs of a longest common subsequence, traced back through the whole table."""
    rows = list(_rows(a, b))
    pairs = []
    i, j = len(a) - 1, len(b) - 1
    while i >= 0 and j >= 0:
        if rows[j] >> i & 1:
            i -= 1
        elif j and not rows[j - 1] >> i & 1:
            j -= 1
        else:
            pairs.append((i, j))
            i, j = i - 1, j - 1
    return pairs[::-1]


def _rows(a: list[str], b: list[str]) -> Iterator[int]:
    """The comparison's table, a row for each of `b`, a bit for each of `a`: 0 where length grows.

    Hyyrö 2004, "Bit-parallel LCS-length computation revisited": one addition does a row, so that
    the worst case is quadratic in machine words and not in interpreted steps.
    """
    places: dict[str, int] = defaultdict(int)
    for i, token in enumerate(a):
        places[token] |= 1 << i
    full = (1 << len(a)) - 1
    row = full
    for token in b:
        matched = row & places[token]
        row = ((row + matched) | (row - matched)) & full
        yield row


def _text(tokens: list[str]) -> _Text:
    at = accumulate((len(token) for token in tokens), initial=0)
    nth = accumulate((token[0].isalnum() for token in tokens), initial=0)
    return _Text(tokens, list(at), list(nth))


def _edits(pairs: list[tuple[int, int]], a: _Text, b: _Text) -> Iterator[_Edit]:
    """What lies between the tokens that stayed."""
    i1 = j1 = 0
    for i2, j2 in [*pairs, (len(a.tokens), len(b.tokens))]:
        if i1 < i2 or j1 < j2:
            yield _Edit(i1, i2, j1, j2)
        i1, j1 = i2 + 1, j2 + 1


def _merge(edits: Iterator[_Edit], a: _Text, b: _Text) -> list[_Edit]:
    """Join edits with only a few words between them that stayed by chance."""
    merged: list[_Edit] = []
    for edit in edits:
        while merged and _is_chance(merged[-1], edit, a, b):
            left = merged.pop()
            edit = _Edit(left.i1, edit.i2, left.j1, edit.j2)
        merged.append(edit)
    return merged


def _is_chance(left: _Edit, right: _Edit, a: _Text, b: _Text) -> bool:
    stayed = a.at[right.i1] - a.at[left.i2]
    words = a.nth[right.i1] - a.nth[left.i2]
    return words <= _CHANCE_WORDS and stayed <= min(_size(left, a, b), _size(right, a, b))


def _size(edit: _Edit, a: _Text, b: _Text) -> int:
    return max(a.at[edit.i2] - a.at[edit.i1], b.at[edit.j2] - b.at[edit.j1])


def _trim(edit: _Edit, a: _Text, b: _Text) -> _Edit:
    """Leave out what merging took in at the ends although it did not change."""
    i1, i2, j1, j2 = edit
    before, after = a.tokens[i1:i2], b.tokens[j1:j2]
    head = _same_start(before, after)
    tail = _same_start(before[head:][::-1], after[head:][::-1])
    return _Edit(i1 + head, i2 - tail, j1 + head, j2 - tail)


def _slide(edits: list[_Edit], a: _Text, b: _Text) -> list[_Edit]:
    """Move each mere insertion or deletion, where it may stand in several places, to the best."""
    placed: list[_Edit] = []
    for edit, following in zip_longest(edits, edits[1:]):
        if edit.i1 < edit.i2 and edit.j1 < edit.j2:
            placed.append(edit)
            continue
        left = edit.i1 - placed[-1].i2 - 1 if placed else edit.i1
        right = following.i1 - edit.i2 - 1 if following else len(a.tokens) - edit.i2
        tokens, start, stop = (b.tokens, *edit[2:]) if edit.i1 == edit.i2 else (a.tokens, *edit[:2])
        by = _best_shift(tokens, start, stop, left, right)
        placed.append(_Edit(*(index + by for index in edit)))
    return placed


def _best_shift(tokens: list[str], start: int, stop: int, left: int, right: int) -> int:
    """How far to move tokens[start:stop], at most so far left or right, without another result."""
    lowest = highest = 0
    while lowest > -left and tokens[start + lowest - 1] == tokens[stop + lowest - 1]:
        lowest -= 1
    while highest < right and tokens[start + highest] == tokens[stop + highest]:
        highest += 1
    return max(
        range(highest, lowest - 1, -1),
        key=lambda by: _cut_quality(tokens, start + by) + _cut_quality(tokens, stop + by),
    )


def _cut_quality(tokens: list[str], at: int) -> int:
    """How natural it is to a reader that an edit begins or ends before this token."""
    if at in (0, len(tokens)) or tokens[at - 1].endswith("\n"):
        return 3
    return 2 if tokens[at - 1].isspace() else 0


def _operations(edits: list[_Edit], a: _Text, b: _Text) -> Operations:
    operations: Operations = []
    kept_from = 0
    for edit in edits:
        operations += [
            ["=", a.at[edit.i1] - kept_from],
            ["-", a.at[edit.i2] - a.at[edit.i1]],
            ["+", "".join(b.tokens[edit.j1 : edit.j2])],
        ]
        kept_from = a.at[edit.i2]
    operations.append(["=", a.at[-1] - kept_from])
    return [operation for operation in operations if operation[1]]


def apply(original: str, operations: Operations) -> str:
    """The text that `operations` make of `original`. Raises `UnfitDiff` if they do not fit it."""
    parts = []
    at = 0
    for number, operation in enumerate(operations, 1):
        kind, value = _checked(operation, number)
        if kind == "+":
            parts.append(value)
            continue
        if kind == "=":
            parts.append(original[at : at + value])
        at += value
        if at > len(original):
            raise UnfitDiff(
                f"operation {number} reaches to {at}, but the text ends at {len(original)}: "
                "apply it to the text that the difference was taken from"
            )
    if at < len(original):
        raise UnfitDiff(
            f"the operations cover {at} of the text's {len(original)} code points: "
            "apply them to the text that the difference was taken from"
        )
    return "".join(parts)


def _checked(operation: Any, number: int) -> tuple[str, Any]:
    match operation:
        case ["+", str(text)] if text:
            return "+", text
        case ["=" | "-" as kind, int(count)] if count > 0 and not isinstance(count, bool):
            return kind, count
    raise UnfitDiff(
        f'operation {number} is {operation!r:.80}; write ["=", count], ["-", count] or '
        '["+", text], with counts above zero and text that is not empty'
    )
