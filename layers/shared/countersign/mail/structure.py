"""A mail's bytes cut into its parts (RFC 5322, 2.1; 2045; 2046, 5.1), in one pass.

The standard library's parser recurses (RecursionError at about 980 levels) and looks at each line
once for each level it is in. Here each line that begins with -- is looked up once among the open
boundaries; parts are a flat list, each with the number of the one that holds it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from countersign.mail import parameters

MOST_ENTITIES = 10_000
"""Parts of one mail, the multiparts counted; what follows is not read."""

MOST_HEADER_LINES = 250_000
"""Of all parts together; the parts after are taken to have no header."""

LONGEST_VALUE = 1024 * 1024
"""Bytes of a field's value that are read."""

Fields = list[tuple[str, bytes]]
"""Lower-case names and values as they stand, folds included, in order."""

MOST_FIELDS = 5000
"""Of one header; of more, only those about content are kept."""

_NAME = re.compile(rb"([!-9;-~]{1,200})[ \t]*:")
_KNOWN = re.compile(
    rb"\n(?:From|To|Cc|Subject|Date|Message-ID|MIME-Version|Received|Return-Path|Reply-To|Sender|"
    rb"References|In-Reply-To|Delivered-To|Content-[A-Za-z-]{2,40}|X-[\w-]{2,60})[ \t]*:",
    re.IGNORECASE,
)
_GOES_ON = re.compile(rb"[!-9;-~]{1,200}[ \t]*:|[ \t]++[^\s]")
_BLANK_LINE = re.compile(rb"\n\r*(?:\n|\Z)")
_MBOX = re.compile(rb">?From [^\n]*\n")
_GUESSED_BOUNDARY = re.compile(
    rb"(?:^|\n)--(\S[^\r\n]{0,69})\r*\n(?=Content-[\w-]+[ \t]*:)", re.IGNORECASE
)
_GUESS_WITHIN = 4096
_LOOK_AHEAD = 64 * 1024
_LONGEST_BOUNDARY = 4000


@dataclass(slots=True)
class Entity:
    """One part: a leaf, or a multipart that holds others. Positions are in `Structure.raw`."""

    parent: int
    """Its number in `Structure.entities`; -1 for the mail itself."""
    fields: Fields
    """All of the mail's own; of a part's those that begin with content-."""
    content_type: str
    parameters: dict[str, str]
    start: int
    end: int = -1
    children: list[int] = field(default_factory=list)

    def value(self, name: str) -> bytes:
        """The first field of that name; b'' where there is none."""
        return next((value for known, value in self.fields if known == name), b"")


@dataclass(slots=True)
class Structure:
    """Entities in the order of their headers: the mail itself first, each before what it holds."""

    raw: bytes
    entities: list[Entity]
    defects: list[str]


def split(raw: bytes) -> Structure:
    """The entities of a mail. Defects say what was mended."""
    return _Splitter(*_normal(raw)).split()


def graft(found: Structure, number: int, inner: Structure) -> bool:
    """Put the entities of `inner` in place of a leaf, those within it after all others; of the leaf
    its fields stay that are not about content. False, and nothing done, if they are too many."""
    if len(found.entities) + len(inner.entities) > MOST_ENTITIES:
        return False
    base, shift = len(found.raw), len(found.entities) - 1
    for entity in inner.entities:
        entity.start, entity.end = entity.start + base, entity.end + base
        entity.parent = entity.parent + shift if entity.parent > 0 else number
        entity.children = [child + shift for child in entity.children]
    leaf, root = found.entities[number], inner.entities[0]
    about = [(name, value) for name, value in root.fields if name.startswith("content-")]
    root.fields = [one for one in leaf.fields if not one[0].startswith("content-")] + about
    root.parent = leaf.parent
    found.entities[number] = root
    found.entities += inner.entities[1:]
    found.raw += inner.raw
    found.defects += inner.defects
    return True


def fields(block: bytes) -> tuple[Fields, int]:
    """The fields that `block` begins with, and where they end."""
    header = _Splitter(block, []).header(0, only=b"")
    return header.fields, header.end


def _normal(raw: bytes) -> tuple[bytes, list[str]]:
    """Without what stands before a mail: a byte order mark, empty lines, mbox's From line."""
    defects = []
    if raw.startswith(b"\xef\xbb\xbf"):
        raw, defects = raw[3:], ["byte-order-mark"]
    if b"\n" not in raw and b"\r" in raw:
        raw = raw.replace(b"\r", b"\n")
        defects.append("bare-cr")
    if raw[:1] in (b"\r", b"\n", b" ", b"\t"):
        raw = raw.lstrip()
        defects.append("leading-blanks")
    mbox = _MBOX.match(raw)
    return raw[mbox.end() :] if mbox else raw, defects


@dataclass(slots=True)
class _Header:
    fields: Fields
    end: int
    """Where the body begins."""
    next: int
    """Where delimiters are to be sought from: before `end` where one ends the header."""


class _Splitter:
    def __init__(self, raw: bytes, defects: list[str]) -> None:
        self.raw = raw
        self.defects = dict.fromkeys(defects)
        self.entities: list[Entity] = []
        self.open: list[tuple[bytes, int]] = []  # boundaries with their entities, outermost first
        self.depths: dict[bytes, list[int]] = {}  # where in `open` each boundary stands
        self.lines_left = MOST_HEADER_LINES
        self.blank = (0, -1)  # where an empty line was sought from last, and was found

    def split(self) -> Structure:
        position = self._begin(0, parent=-1)
        while self.open:
            found = self._delimiter(position)
            if not found:
                self.defects["unclosed-boundary"] = None
                break
            start, position, depth, closes = found
            self._end(start)
            self._close_below(depth if closes else depth + 1)
            if not closes:
                if len(self.entities) == MOST_ENTITIES:
                    self.defects["too-many-parts"] = None
                    break
                position = self._begin(position, parent=self.open[depth][1])
        if self.entities[-1].end < 0:
            self.entities[-1].end = len(self.raw)
        self._without_parts()
        return Structure(self.raw, self.entities, list(self.defects))

    def _begin(self, start: int, parent: int) -> int:
        """A part whose header is at `start`; returns where the next delimiter is to be sought."""
        header = self.header(start, only=b"" if parent < 0 else b"content-")
        number = len(self.entities)
        entity = self._entity(header, parent)
        self.entities.append(entity)
        if parent >= 0:
            self.entities[parent].children.append(number)
        if entity.content_type.startswith("multipart/"):
            boundary = self._boundary(entity)
            if boundary:
                self.depths.setdefault(boundary, []).append(len(self.open))
                self.open.append((boundary, number))
        return header.next

    def _entity(self, header: _Header, parent: int) -> Entity:
        written = next((value for name, value in header.fields if name == "content-type"), b"")
        head, found = parameters.parse(written)
        content_type = parameters.content_type(head)
        if content_type is None:
            if head:
                self.defects["content-type"] = None
            digest = parent >= 0 and self.entities[parent].content_type == "multipart/digest"
            content_type = "message/rfc822" if digest and not head else "text/plain"
        return Entity(parent, header.fields, content_type, found, header.end)

    def _boundary(self, entity: Entity) -> bytes:
        declared = parameters.raw(entity.parameters, "boundary").rstrip()[:_LONGEST_BOUNDARY]
        start = entity.start
        if declared and self.raw.find(b"--" + declared, start, start + _LOOK_AHEAD) >= 0:
            return declared
        self.defects["no-boundary"] = None
        guessed = _GUESSED_BOUNDARY.search(self.raw[start : start + _GUESS_WITHIN])
        return guessed[1].rstrip() if guessed else declared

    def _delimiter(self, position: int) -> tuple[int, int, int, bool] | None:
        """The next line that ends a part: start, end, the depth it belongs to, if it closes that.

        `position` is the start of a line.
        """
        at = position if self.raw.startswith(b"--", position) else self._dashes(position)
        while at >= 0:
            most = at + 2 * _LONGEST_BOUNDARY
            end = self.raw.find(b"\n", at, most) + 1
            found = self._depth(self.raw[at + 2 : end or most])
            if found:
                return at, end or len(self.raw), *found
            at = self._dashes(at)
        return None

    def _dashes(self, position: int) -> int:
        """The start of the next line that begins with --; -1 if there is none."""
        found = self.raw.find(b"\n--", position)
        return found + 1 if found >= 0 else -1

    def _depth(self, line: bytes) -> tuple[int, bool] | None:
        line = line.rstrip()
        if stack := self.depths.get(line):
            return stack[-1], False
        closing = line.rfind(b"--")  # some write more after it
        if closing >= 0 and (stack := self.depths.get(line[:closing].rstrip())):
            return stack[-1], True
        if stack := self.depths.get(line.split(maxsplit=1)[0] if line else b""):
            return stack[-1], False
        return None

    def _end(self, delimiter: int) -> None:
        """The line break before a delimiter belongs to it (RFC 2046, 5.1.1)."""
        last = self.entities[-1]
        if last.end < 0:
            last.start = min(last.start, delimiter)
            end = delimiter - 1 if delimiter > last.start else delimiter
            while end > last.start and self.raw[end - 1] == 13:
                end -= 1
            last.end = end

    def _close_below(self, depth: int) -> None:
        while len(self.open) > depth:
            boundary, _ = self.open.pop()
            self.depths[boundary].pop()

    def _without_parts(self) -> None:
        """A multipart in which its boundary never comes is read as the text it is."""
        for entity in self.entities:
            if entity.content_type.startswith("multipart/") and not entity.children:
                entity.content_type = "text/plain"
                self.defects["multipart-without-parts"] = None

    def header(self, start: int, only: bytes) -> _Header:
        """The header at `start`, of its fields those whose names begin with `only`."""
        raw, found = self.raw, list[tuple[str, int, int]]()
        position, known_until, sought = start, -1, False
        while position < len(raw):
            if self.lines_left == 0:
                self.defects["too-many-header-lines"] = None
                end = self._blank_after(position)
                return _Header(self._values(found), end, position)
            self.lines_left -= 1
            stop = raw.find(b"\n", position) + 1 or len(raw)
            first = raw[position]
            if first in b" \t\r\n" and self._is_blank(position, stop):
                return _Header(self._values(found), stop, stop)
            name = _NAME.match(raw, position, stop)
            if first in b" \t":
                if found and found[-1][2] == position:
                    found[-1] = (*found[-1][:2], stop)
            elif first == 45 and self.depths and self._depth(raw[position + 2 : stop]):
                return _Header(self._values(found), position, position)
            elif name:
                lower = name[1].lower()
                if lower.startswith(only) and (
                    len(found) < MOST_FIELDS or lower.startswith(b"content-")
                ):
                    found.append((lower.decode("ascii"), name.end(), stop))
            else:
                if not sought:
                    known_until, sought = self._last_known(position), True
                if position > known_until:
                    self.defects["no-blank-line"] = None
                    return _Header(self._values(found), position, position)
                self.defects["not-a-field"] = None
            position = stop
        return _Header(self._values(found), len(raw), len(raw))

    def _is_blank(self, position: int, stop: int) -> bool:
        """Whether a line ends the header. One of blanks alone does, unless the header goes on."""
        line = self.raw[position : min(stop, position + 1000)]
        if not line.strip(b"\r\n"):
            return True
        return not (line.strip() or _GOES_ON.match(self.raw, stop))

    def _values(self, found: list[tuple[str, int, int]]) -> Fields:
        return [
            (name, self.raw[start : min(end, start + LONGEST_VALUE)]) for name, start, end in found
        ]

    def _last_known(self, position: int) -> int:
        """Where the last line up to the next empty one is that is surely a field; else -1.

        What is no field is skipped before it: somebody's program broke a line there. After it, the
        body has begun.
        """
        end = min(self._blank_after(position), position + _LOOK_AHEAD)
        delimiter = self.raw.find(b"\n--", position, end)
        end = delimiter + 1 if delimiter >= 0 else end
        return max((m.start() for m in _KNOWN.finditer(self.raw, position, end)), default=-1)

    def _blank_after(self, position: int) -> int:
        """The end of the first empty line from `position`; each is sought once."""
        sought_from, found = self.blank
        if not sought_from <= position < found:
            match = _BLANK_LINE.search(self.raw, max(0, position - 1))
            found = match.end() if match else len(self.raw)
            self.blank = (position, found)
        return found
