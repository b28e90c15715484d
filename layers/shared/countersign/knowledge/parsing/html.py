"""Web pages to Markdown: headings, paragraphs, lists, tables; without what stands around them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from countersign.knowledge.parsing import MARKDOWN, Text, Unreadable, effort, plain
from countersign.mail import charsets

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

# What is not told to a reader, or is told on every page of a site.
_LEFT_OUT = set(
    """
    aside button datalist dialog footer form head iframe math nav noscript object script select
    style svg template
    """.split()  # noqa: SIM905
)
_BLOCKS = set(
    """
    address article blockquote body center dd details div dl dt fieldset figcaption figure header
    hgroup hr main ol p section summary table ul
    """.split()  # noqa: SIM905
)
_HEADING = re.compile(r"h([1-6])")
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
_LOOKED_AT = 64 * 1024
"""Browsers look at 1,024 bytes, and begin anew where they find another later."""
# windows-1252, by the looks of it: two letters beside each other have accents, hardly four, and
# between letters there are no signs but apostrophes, hyphens and the like.
_FOREIGN = re.compile(r"[\x80-\U0010ffff]{4,}|(?<=[^\W\d_])[¡-¬®-¶¸-¿×÷](?=[^\W\d_])")
_MOST_FOREIGN = 0.2
_SPACES = str.maketrans("\t\n\r\f", "    ")
_DEEPEST_LIST = 20
"""Beyond which lists are not indented further: what each line begins with would grow with it."""
_MARKERS = ("- ", "1. ", "# ", "| ")


def text(content: bytes, charset: str | None) -> Text:
    """What a page says, of its main part if it marks one."""
    return of_markup(_decoded(content, charset))


def of_markup(markup: str) -> Text:
    """The same of text. Raises `Unreadable` for what would take too much to parse."""
    effort.check(markup)
    from selectolax.lexbor import LexborHTMLParser

    page = LexborHTMLParser(markup)
    title = page.css_first("title")
    named = " ".join(title.text().split()) if title else ""
    written = _Writer().write(_main(page.body)) or _Writer().write(page.body)
    return Text(written, MARKDOWN, named or None)


def _decoded(content: bytes, charset: str | None) -> str:
    """As browsers do it: what is told outside, then inside, else UTF-8, or windows-1252; but that
    only where it looks like it. Raises `Unreadable`.

    https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding
    """
    for label in (charset, declared(content), "utf-8"):
        if label and charsets.codec(label):
            try:
                return plain.decoded(content, label)
            except Unreadable as error:
                if error.reason != "charset":
                    raise
    return _western(content)


def declared(content: bytes) -> str | None:
    """The charset that a page itself names."""
    inside = _META.search(content[:_LOOKED_AT])
    return inside[1].decode("ascii") if inside else None


def _western(content: bytes) -> str:
    text = content.decode("cp1252", "replace")
    beyond = len(text) - len(text.encode("ascii", "ignore"))
    foreign = sum(len(found[0]) for found in _FOREIGN.finditer(text))
    if "�" in text or foreign > beyond * _MOST_FOREIGN:
        raise Unreadable(
            "charset",
            "The page is not UTF-8, and names no charset that it is in. Name it in its content type"
            " (text/html; charset=shift_jis, say) or a <meta charset>.",
        )
    return plain.lines(text)


def _main(body: LexborNode | None) -> LexborNode | None:
    for name in ("main", "article"):
        marked = body.css(name) if body else []
        if len(marked) == 1 and marked[0].text(strip=True):
            return marked[0]
    return body


class _Writer:
    """Writes a tree as Markdown, going through it without recursion: pages nest as they like."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._lists: list[str] = []
        self._pre = 0

    def write(self, root: LexborNode | None) -> str:
        node = root
        while node is not None:
            inside = None if _is_left_out(node) else self._enter(node)
            node = inside or self._next(node, root)
        return _tidy("".join(self._parts))

    def _next(self, node: LexborNode, root: LexborNode | None) -> LexborNode | None:
        while True:
            if not _is_left_out(node):
                self._leave(node.tag or "")
            if root is None or node.mem_id == root.mem_id:
                return None
            if node.next is not None:
                return node.next
            assert node.parent is not None
            node = node.parent

    def _enter(self, node: LexborNode) -> LexborNode | None:
        """Write what comes before a node's inside; returns its first part."""
        tag = node.tag or ""
        if tag == "-text":
            self._say(node.text_content or "")
        elif heading := _HEADING.fullmatch(tag):
            self._parts.append(f"\n\n{'#' * int(heading[1])} ")
        elif tag == "li":
            marker = "1. " if self._lists[-1:] == ["ol"] else "- "
            self._end_line()
            depth = min(len(self._lists), _DEEPEST_LIST)
            self._parts.append("  " * max(depth - 1, 0) + marker)
        elif tag in ("br", "tr"):
            self._end_line()
        elif tag in ("td", "th"):
            self._parts.append("| ")
        elif tag == "pre":
            self._pre += 1
            self._parts.append("\n\n```\n")
        elif tag in _BLOCKS:
            self._part()
        if tag in ("ul", "ol"):
            self._lists.append(tag)
        return node.child

    def _leave(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self._lists.pop()
        if tag == "pre":
            self._pre -= 1
            self._parts.append("\n```\n\n")
        elif tag in ("td", "th"):
            self._say(" ")
        elif _HEADING.fullmatch(tag):
            self._parts.append("\n\n")
        elif tag in _BLOCKS:
            self._part()

    def _say(self, said: str) -> None:
        if not self._pre:
            said = _with_single_spaces(said)
            if self._ends_with(("\n", " ")):
                said = said.lstrip(" ")
        if said:
            self._parts.append(said)

    def _part(self) -> None:
        """Begin a paragraph, or no more than a line within a list, and nothing after a marker."""
        if self._ends_with(_MARKERS):
            return
        if self._lists:
            self._end_line()
        else:
            self._parts.append("\n\n")

    def _end_line(self) -> None:
        if not self._ends_with(("\n",)):
            self._parts.append("\n")

    def _ends_with(self, ends: tuple[str, ...]) -> bool:
        return bool(self._parts) and self._parts[-1].endswith(ends)


def _with_single_spaces(text: str) -> str:
    # A regular expression would make a list of all words, many times as large as the text.
    text = text.translate(_SPACES)
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def _is_left_out(node: LexborNode) -> bool:
    tag = node.tag or ""
    if tag.startswith("-"):
        return tag != "-text"
    attributes = node.attributes
    return tag in _LEFT_OUT or "hidden" in attributes or attributes.get("aria-hidden") == "true"


def _tidy(text: str) -> str:
    """Without spaces at the ends of lines, and with one empty line where there are more."""
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    told = re.sub(r"\n{3,}", "\n\n", lines).strip("\n")
    return told + "\n" if told else ""
