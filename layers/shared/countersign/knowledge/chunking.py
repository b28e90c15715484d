"""A text to passages: where each begins and ends, and under which headings it stands.

The same text always gives the same passages, so that a job that was killed goes on after the last
one that it kept. Offsets count code points, as everything does that speaks of texts here.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

CHARACTERS = 500
"""The most of a passage: a paragraph or two, which a small encoder reads whole."""
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
_SECTION = 16_000
"""The most that is cut as one: what a text costs to cut grows faster than it does."""
_HEADING = 200
"""The most of each heading that the passages below it name."""
_LONGEST_HEADING = 1000
"""A line that is longer is none: to look for a closing mark in it would take too long."""
_BETWEEN = " › "

# CommonMark 0.31, 4.2 and 4.5. A heading that is underlined is one only below a line of text.
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*\r?\n?")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*\r?\n?")
_NO_TEXT = re.compile(r"\s*(?:$|[>|#*+-]|\d+[.)]\s|```|~~~)")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Piece:
    """A passage: `text` stands at `start` to `end`, below what `heading` says."""

    start: int
    end: int
    heading: str
    text: str

    @property
    def embedded(self) -> str:
        """What an encoder is shown of it (and again, of a chunk, by `vectors.PASSAGES`)."""
        return f"{self.heading}\n\n{self.text}" if self.heading else self.text

    @property
    def hash(self) -> str:
        """Tells whether an encoder has seen the same."""
        return hashlib.sha256(self.embedded.encode()).hexdigest()


@dataclass(frozen=True)
class _Section:
    """What stands below one heading, or as much of it as is cut as one."""

    start: int
    end: int
    heading: str


def pieces(content: str, content_type: str, after: int = 0) -> Iterator[Piece]:
    """The passages of a text that begin at `after` or later, in order, none of them blank.

    A heading is not part of the passages below it, which name it; one that has nothing below it is
    a passage itself.
    """
    is_markdown = content_type == MARKDOWN
    found = _headed(content) if is_markdown else iter([_Section(0, len(content), "")])
    for section in (part for whole in found for part in _parts(content, whole)):
        if section.end > after:
            cut = _splitter(is_markdown).chunk_indices(content[section.start : section.end])
            for offset, text in cut:
                start = section.start + offset
                if start >= after and text.strip():
                    yield Piece(start, start + len(text), section.heading, text)


@functools.cache
def _splitter(is_markdown: bool) -> MarkdownSplitter | TextSplitter:
    # Who only asks what a passage is starts without it.
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    return MarkdownSplitter(CHARACTERS) if is_markdown else TextSplitter(CHARACTERS)


def _headed(content: str) -> Iterator[_Section]:
    """The sections of a Markdown text, each below its heading."""
    path: list[tuple[int, str]] = []
    begun = heading_at = 0
    is_bare = False
    for start, end, level, words in _headings(content):
        # A heading right before a deeper one is told by the path alone.
        is_parent = is_bare and level > path[-1][0] and not content[begun:start].strip()
        if not is_parent:
            yield _section(content, heading_at, begun, start, path)
        path = [(above, text) for above, text in path if above < level]
        path.append((level, words[:_HEADING]))
        # What is cut off a heading is told by the passage, which begins with the whole.
        is_cut = len(words) > _HEADING
        heading_at, begun, is_bare = start, start if is_cut else end, not is_cut
    yield _section(content, heading_at, begun, len(content), path)


def _section(
    content: str, heading_at: int, begun: int, end: int, path: list[tuple[int, str]]
) -> _Section:
    is_empty = not content[begun:end].strip()
    above = path[:-1] if is_empty else path
    start = heading_at if is_empty else begun
    return _Section(start, end, _BETWEEN.join(text for _, text in above if text))


def _headings(content: str) -> Iterator[tuple[int, int, int, str]]:
    """Each heading: where its lines begin and end, its level, its words."""
    fence = ""
    before: re.Match[str] | None = None
    for line in _LINE.finditer(content):
        text = line[0]
        opened = _FENCE.match(text)
        if fence:
            if opened and opened[1].startswith(fence) and not text.strip("`~ \t\r\n"):
                fence = ""
            before = None
        elif opened:
            fence, before = opened[1], None
        elif len(text) <= _LONGEST_HEADING and (atx := _ATX.fullmatch(text)):
            yield line.start(), line.end(), len(atx[1]), _words(atx[2] or "")
            before = None
        elif before and (under := _UNDERLINE.fullmatch(text)):
            level = 1 if under[1][0] == "=" else 2
            yield before.start(), line.end(), level, _words(before[0])
            before = None
        else:
            before = None if _NO_TEXT.match(text) else line


def _words(text: str) -> str:
    return " ".join(text.split())


def _parts(content: str, section: _Section) -> Iterator[_Section]:
    """A section in parts that are not too long, cut where a paragraph, a line or a word ends."""
    start = section.start
    while section.end - start > _SECTION:
        end = _cut(content, start, start + _SECTION)
        yield _Section(start, end, section.heading)
        start = end
    yield _Section(start, section.end, section.heading)


def _cut(content: str, start: int, most: int) -> int:
    for between in ("\n\n", "\n", " "):
        at = content.rfind(between, start + _SECTION // 2, most)
        if at >= 0:
            return at + len(between)
    return most
