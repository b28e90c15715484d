"""Sitemaps: which pages a site has, as it says itself (https://www.sitemaps.org/protocol.html)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from xml.parsers import expat

from countersign.platform import urls
from countersign.platform.errors import Invalid
from countersign.platform.urls import Refused, Url

MOST_BYTES = 50 * 1024 * 1024
"""Of a sitemap, unpacked: the protocol allows no more."""
MOST_ENTRIES = 50_000
_PIECE = 1 << 16
_ROOTS = ("urlset", "sitemapindex")
_GZIP = b"\x1f\x8b"


class Unreadable(Invalid):
    """This is no sitemap."""

    code = "no-sitemap"


@dataclass
class Sitemap:
    """What a sitemap lists: pages, or further sitemaps."""

    pages: list[Url] = field(default_factory=list)
    sitemaps: list[Url] = field(default_factory=list)
    is_cut: bool = False
    """Whether it lists more than the protocol allows; the rest was not read."""


def parse(content: bytes, base: Url) -> Sitemap:
    """Read a sitemap or an index of some, XML or a URL a line, packed by gzip or not.

    Raises `Unreadable` for anything else, and for XML that defines entities: a few lines of those
    unfold to gigabytes, and no sitemap needs any.
    """
    found = Sitemap()
    for kind, text in _entries(_pieces(content, found)):
        try:
            url = urls.join(base, text)
        except Refused:
            continue
        if len(found.pages) + len(found.sitemaps) >= MOST_ENTRIES:
            found.is_cut = True
            break
        (found.sitemaps if kind == "sitemap" else found.pages).append(url)
    return found


def _pieces(content: bytes, found: Sitemap) -> Iterator[bytes]:
    if not content.startswith(_GZIP):
        yield from (content[at : at + _PIECE] for at in range(0, len(content), _PIECE))
        return
    unpacking, size = zlib.decompressobj(wbits=31), 0
    try:
        while content and not unpacking.eof:
            piece = unpacking.decompress(content, _PIECE)
            content, size = unpacking.unconsumed_tail, size + len(piece)
            if size > MOST_BYTES:
                found.is_cut = True
                return
            yield piece
    except zlib.error:
        raise Unreadable("The sitemap is not packed by gzip as it says.") from None


def _entries(pieces: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """The kind (`url` or `sitemap`) and the text of each `loc`; or of each line."""
    first = next(pieces, b"")
    if first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"http://", b"https://")):
        text = b"".join([first, *pieces]).decode("utf-8-sig", "replace")
        yield from (("url", line) for line in text.splitlines() if line.strip())
    else:
        yield from _xml(first, pieces)


class _Reader:
    """The handlers of an XML parser, which collect entries."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, str]] = []
        self.root = ""
        self._path: list[str] = []
        self._text: list[str] = []

    def start(self, name: str, _: Any) -> None:
        self._path.append(name.rpartition(" ")[2])
        self.root = self.root or self._path[0]
        self._text.clear()

    def text(self, text: str) -> None:
        if len(self._text) < urls.LONGEST:
            self._text.append(text)

    def end(self, _: str) -> None:
        if len(self._path) == 3 and self._path[1:] in (["url", "loc"], ["sitemap", "loc"]):
            self._entries.append((self._path[1], "".join(self._text)))
        self._path.pop()
        self._text.clear()

    def taken(self) -> list[tuple[str, str]]:
        """The entries that were read since the last time."""
        taken, self._entries = self._entries, []
        return taken


def _xml(first: bytes, pieces: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse_entity
    try:
        for piece in chain([first], pieces):
            parser.Parse(piece, False)
            yield from reader.taken()
        parser.Parse(b"", True)
    # Of an encoding that it does not know, or that has characters of more than a byte.
    except (expat.ExpatError, LookupError, ValueError) as error:
        # What was read of a sitemap that breaks off stands.
        if reader.root not in _ROOTS:
            raise Unreadable(f"The sitemap is not XML: {error}.") from None
    yield from reader.taken()
    if reader.root not in _ROOTS:
        raise Unreadable("The XML is neither a urlset nor a sitemapindex.")


def _refuse_entity(*_: object) -> None:
    raise Unreadable("The sitemap defines entities.")
