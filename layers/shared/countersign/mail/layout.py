"""What a mail shows, line by line, and what its mail program marked as quote or signature."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import nh3

from countersign.mail import markup
from countersign.mail.markup import names

Mark = Literal["quote", "attribution", "signature"]


@dataclass(slots=True)
class Line:
    """A line: as it is shown, as it reads without the signs of quoting, and what it is part of."""

    raw: str
    text: str
    depth: int = 0
    """In how many quotes it stands, by `>` or by a blockquote."""
    mark: Mark | None = None
    """What its mail program says it is."""
    group: int | None = None
    """Marked element that it stands in; only some hold nothing but a quote."""


_CITED = re.compile(r"[ \t]{0,3}>(?!=)(?:[ \t]?>)*[ \t]?")
_LEFT_OVER = re.compile(r">[ \t]?[^\s>:@]{0,14}[ \t]?[:：][ \t]*")

_BLOCKS = names("address article aside center div fieldset footer form header main section")
_PARAGRAPHS = names("blockquote dl figure h1 h2 h3 h4 h5 h6 ol p pre table ul")
_LINES = names("caption dd dt figcaption li tr")
_APART = _BLOCKS | _PARAGRAPHS | _LINES
_KEPT = _APART | names("a br hr img span td th")
_ATTRIBUTES = {
    "*": {"class", "data-marker", "data-smartmail", "id", "name", "style"},
    "a": {"href"},
    "blockquote": {"cite", "type"},
    "hr": {"tabindex"},
    "img": {"alt"},
    "ol": {"start"},
}

# How mail programs name what they add. The names are those that their mails carry; others that
# forward or answer put `x_` (Outlook) or `m_-123` (Gmail) before them.
_QUOTES = names(
    "gmail_quote gmail_quote_container yahoo_quoted protonmail_quote tutanota_quote"
    " zmail_extra olk_src_body_section mail-editor-reference-message-container"
    " ms-outlook-mobile-reference-message appleoriginalcontents isreplycontent quoted-content"
    " front-blockquote missive_quote freshdesk_quote quotedreply messagereplysection includetail"
    " __quoted_text__ orm-quote quote-container reply-quote"
)
_QUOTE_FOLLOWS = names("divrplyfwdmsg appendonsend zwchr")
_ATTRIBUTIONS = names("gmail_attr moz-cite-prefix")
_SIGNATURES = names(
    "gmail_signature gmail_signature_prefix signature ms-outlook-mobile-signature moz-signature"
    " applemailsignature yahoo-signature ymail_android_signature protonmail_signature_block"
    " zmail_signature zmail_signature_below sh-signature messagesignaturesection"
    " tutanota_signature"
)
_NAMING = re.compile(r' (?:id|class|name|data-marker|data-smartmail)="([^"]*)"')
_STRANGE = re.compile(r"(?:x_)+|m_-?\d+")
_HIDDEN = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)
_PREFORMATTED = re.compile(r"white-space\s*:\s*pre", re.IGNORECASE)
_INDENTED = re.compile(r"border\s*:\s*(?:none|medium none|0)", re.IGNORECASE)
_CLOSE = re.compile(r'MsoNormal|margin\s*:\s*0|margin-top\s*:\s*0|"mso', re.IGNORECASE)

_TOKEN = re.compile(r'<(/?)([a-z0-9]+)((?: [^\s"=>]+="[^"]*")*)>|([^<]+)')
_SPACE = re.compile(r"[ \t\r\n\f]+")
_UNSEEN = re.compile("[\u200b\u2060\ufeff\u00ad\u034f\u061c\u200e\u200f]+")
MOST_TAGS = 30_000
_LONGEST_LINK = 150
_LONGEST_ALTERNATIVE = 200


def plain(text: str) -> list[Line]:
    """The lines of a plain text."""
    found: list[Line] = []
    for raw in re.split(r"\r\n|[\r\n]", text):
        cited = _CITED.match(raw) if ">" in raw else None
        # An address that was wrapped before its `>`, at the end of an attribution.
        if cited and found and _LEFT_OVER.fullmatch(raw) and found[-1].depth == 0:
            before = found[-1].raw
            if before.rfind("<") > before.rfind(">"):
                cited = None
        if cited:
            found.append(Line(raw, raw[cited.end() :], cited[0].count(">")))
        else:
            found.append(Line(raw, raw))
    return found


def of_html(text: str) -> list[Line]:
    """The lines that a reader sees of HTML: paragraphs, lists, tables, links, quotes."""
    text = markup.encodable(text)
    tidy = markup.plainly(text, _KEPT, _ATTRIBUTES)
    if tidy is None or tidy.count("<") > MOST_TAGS:
        return plain(markup.without_tags(text))
    # nh3 closes and nests elements as a browser does.
    tidy = nh3.clean(
        tidy,
        tags=set(_KEPT),
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel", "cid", "mid"},
        link_rel=None,
    )
    page = _Page()
    for closing, name, attributes, content in _TOKEN.findall(tidy):
        if content:
            page.write(html.unescape(content))
        elif closing:
            page.close()
        else:
            page.open(name, attributes)
    return page.finish()


@dataclass(slots=True)
class _Element:
    name: str
    hidden: bool
    preformatted: bool
    depth: int
    mark: Mark | None
    group: int | None
    items: int = 0
    """Of a list: its next number; 0 has none."""
    level: int = 0
    """How many lists it stands in."""
    cells: list[int] = field(default_factory=list)
    """Of a row: how many lines there were when each cell began."""
    is_close: bool = False
    """Without a blank line before and behind it."""
    link: str = ""
    written: int = 0
    """Of a link: how many pieces the line had when it began."""


class _Page:
    """Lines as they come to be."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._pieces: list[str] = []
        self._open = [_Element("", False, False, 0, None, None)]
        self._prefix = ""
        self._apart = False
        self._cell_begins = -1
        self._groups = 0
        self._quote_follows = False

    def write(self, text: str) -> None:
        """Add text where it stands."""
        inside = self._open[-1]
        if inside.hidden:
            return
        text = _UNSEEN.sub("", text).replace("\xa0", " ")
        if inside.preformatted:
            first, *others = text.replace("\r", "").split("\n")
            self._pieces.append(first)
            for line in others:
                self._break(always=True)
                self._pieces.append(line)
            return
        text = _SPACE.sub(" ", text)
        if not self._pieces or self._pieces[-1].endswith(" "):
            text = text.lstrip(" ")
        if text:
            self._pieces.append(text)

    def open(self, name: str, attributes: str) -> None:
        """Begin an element; those without content end at once."""
        if name == "br":
            self._break(always=True)
        elif name == "hr":
            self._rule(attributes)
        elif name == "img":
            self._image(attributes)
        else:
            self._begin(name, attributes)

    def close(self) -> None:
        """End the element that was begun last."""
        ended = self._open[-1]
        if ended.name == "a":
            self._link(ended)
        elif ended.name in _APART:
            self._break()
            self._apart |= ended.name in _PARAGRAPHS and not ended.is_close
        self._open.pop()
        if ended.name == "tr":
            self._join_cells(ended.cells)

    def finish(self) -> list[Line]:
        """All lines."""
        self._break()
        return self._lines

    def _begin(self, name: str, attributes: str) -> None:
        around = self._open[-1]
        element = _Element(
            name,
            around.hidden or bool(attributes and _HIDDEN.search(attributes)),
            around.preformatted or name == "pre" or bool(_PREFORMATTED.search(attributes)),
            around.depth,
            around.mark,
            around.group,
            level=around.level,
        )
        if name in _APART:
            self._break()
        if name in _PARAGRAPHS and not around.hidden:
            close = name == "p" and bool(_CLOSE.search(attributes))
            element.is_close = close or (name in ("ul", "ol") and around.level > 0)
            self._apart |= not element.is_close and name != "table"
        self._open.append(element)
        self._name(element, attributes)
        if name == "blockquote":
            self._apart = True
            element.depth += not _INDENTED.search(attributes) or "cite" in attributes
        elif name in ("ul", "ol"):
            element.level += 1
            element.items = _start(attributes) if name == "ol" else 0
        elif name == "li":
            self._item(around)
        elif name in ("td", "th") and around.name == "tr":
            self._cell(around)
        elif name == "a":
            element.link = _value(attributes, "href")
            element.written = len(self._pieces)

    def _name(self, element: _Element, attributes: str) -> None:
        """Take note of what a mail program calls it."""
        if not attributes:
            return
        called = {
            _STRANGE.sub("", name, count=1)
            for value in _NAMING.findall(attributes)
            for name in value.lower().split()
        }
        if called & _QUOTES or any(name.startswith("yahoo_quoted") for name in called):
            # A blockquote says by itself what is quoted; of the others the outermost counts.
            if element.name != "blockquote" and element.group is None:
                self._groups += 1
                element.group, element.mark = self._groups, "quote"
        elif called & _SIGNATURES:
            element.mark = "signature"
        elif called & _ATTRIBUTIONS:
            element.mark = "attribution"
        elif called & _QUOTE_FOLLOWS and not element.depth and not element.mark:
            self._break()
            self._quote_follows = True

    def _item(self, around: _Element) -> None:
        if around.items:
            bullet = f"{around.items}. "
            around.items += 1
        else:
            bullet = "- "
        self._prefix = "  " * max(around.level - 1, 0) + bullet

    def _cell(self, row: _Element) -> None:
        self._break()
        self._cell_begins = len(self._lines)
        row.cells.append(self._cell_begins)

    def _join_cells(self, cells: Sequence[int]) -> None:
        """Put a row into one line if none of its cells has more."""
        if len(cells) < 2 or any(
            end - start > 1
            for start, end in zip(cells, [*cells[1:], len(self._lines)], strict=True)
        ):
            return
        row = self._lines[cells[0] :]
        if len(row) > 1:
            joined = row[0].text
            for line in row[1:]:
                joined += (" " if joined.endswith((":", "：")) else " | ") + line.text
            del self._lines[cells[0] :]
            self._lines.append(_line(joined, row[0].depth, row[0].mark, row[0].group))

    def _link(self, link: _Element) -> None:
        shown = "".join(self._pieces[link.written :]).strip()
        target = link.link.strip()
        if not shown or link.hidden or len(target) > _LONGEST_LINK:
            return
        scheme, _, rest = target.partition(":")
        bare = rest.strip("/").removeprefix("www.")
        if scheme == "mailto":
            bare = target = bare.partition("?")[0]
        if scheme in ("http", "https", "mailto") and bare and bare.lower() not in shown.lower():
            self._pieces.append(f" <{target}>")

    def _image(self, attributes: str) -> None:
        shown = _SPACE.sub(" ", _value(attributes, "alt")).strip()
        if shown and len(shown) <= _LONGEST_ALTERNATIVE:
            self.write(shown if not any(map(str.isalnum, shown)) else f"[{shown}]")

    def _rule(self, attributes: str) -> None:
        self._break()
        if not self._open[-1].hidden:
            self._pieces.append("-" * 10)
            self._break()

    def _break(self, always: bool = False) -> None:
        """End the line; where nothing stands in it, only a `br` makes one."""
        text = "".join(self._pieces).rstrip()
        inside = self._open[-1]
        self._pieces.clear()
        if not text.strip():
            if always and not inside.hidden:
                self._add("", inside, inside.depth)
            return
        begins = len(self._lines) in (0, self._cell_begins)
        if self._apart and not begins and self._lines[-1].text:
            self._add("", inside, min(inside.depth, self._lines[-1].depth))
        self._apart = False
        indent = "" if self._prefix or not inside.level else "  " * inside.level
        self._add(f"{self._prefix or indent}{text}", inside, inside.depth)
        self._prefix = ""

    def _add(self, text: str, inside: _Element, depth: int) -> None:
        mark: Mark | None = "quote" if self._quote_follows else inside.mark
        group = None if self._quote_follows else inside.group
        self._lines.append(_line(text, depth, mark, group))


def _line(text: str, depth: int, mark: Mark | None, group: int | None) -> Line:
    return Line(f"{'> ' * depth}{text}".rstrip(), text, depth, mark, group)


def _value(attributes: str, name: str) -> str:
    found = re.search(rf' {name}="([^"]*)"', attributes)
    return html.unescape(found[1]) if found else ""


def _start(attributes: str) -> int:
    value = _value(attributes, "start")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else 1
