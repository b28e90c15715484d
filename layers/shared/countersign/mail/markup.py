"""HTML of anybody's made so plain that each parser reads it alike and in linear time.

Parsers of HTML take a time quadratic in the attributes of a tag, in how deep elements stand in
each other, and in formatting that they open anew in each paragraph. To count these one must find
the tags as a parser does, comments, quotes and scripts considered; so what was found is written
anew, and nothing that could be read otherwise is left. It is no sanitizer: that comes after it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator, Mapping


def names(text: str) -> frozenset[str]:
    """The words of `text`: so that a list of names reads as one."""
    return frozenset(re.split(r"\s+", text))


MOST_CHARACTERS = 2_000_000
DEEPEST = 2_000
"""Elements open at once. Long threads of Outlook have some two hundred."""
MOST_REOPENED = 50_000
"""Formatting elements that a parser may open again, of all paragraphs together."""

_NEW_LINE = names("br div h1 h2 h3 h4 h5 h6 li p tr")

Allowed = Mapping[str, Collection[str]]
"""Attributes by tag, those of any tag under `*`."""

# https://html.spec.whatwg.org/multipage/parsing.html#tokenization; possessive, so without retrying.
_ATTRIBUTES = r"""(?:[\s/]+|[^\s/>=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]*))?|=)*+"""
_TOKEN = re.compile(
    rf"""(?P<text>[^<]+)
    |<(?P<name>[a-zA-Z][^\s/>]*)(?P<attributes>{_ATTRIBUTES})>?
    |</(?P<closed>[a-zA-Z][^\s/>]*)[^>]*>?
    |<!--(?:-?>|.*?(?:--!?>|\Z))
    |<[!?/][^>]*>?
    |(?P<sign><(?:<*(?=<))?)""",
    re.VERBOSE | re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([^\s/>=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]*)))?""", re.DOTALL)
END_OF = {
    name: re.compile(rf"</{name}(?![a-z0-9])", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes")
}
FORMATTING = names("a b big code em font i nobr s small strike strong tt u")
NEVER_OPEN = names(
    "area base br col embed hr img input link meta source track wbr"
    # A parser closes these where the next one begins.
    " dd dt li option p tbody td tfoot th thead tr"
)


def encodable(text: str) -> str:
    """`text` without lone surrogates, which are no characters, and NUL, which no database takes."""
    return text.encode(errors="ignore").decode().replace("\0", "")


def plainly(text: str, tags: Collection[str], attributes: Allowed) -> str | None:
    """`text` with `tags` and their `attributes` alone; None if a parser would take too long.

    Comments, scripts and styles are gone; of any other tag the content stays.
    """
    if len(text) > MOST_CHARACTERS:
        return None
    written: list[str] = []
    effort = _Effort()
    for found in _tokens(text):
        kind = found.lastgroup
        if kind == "text":
            written.append(found[0])
        elif kind == "sign":
            written.append("&lt;" * len(found[0]))
        elif kind == "closed":
            name = found["closed"].lower()
            if name in tags:
                effort.close(name)
                written.append(f"</{name}>")
        elif kind == "attributes":
            name = found["name"].lower()
            if name in tags:
                effort.open(name)
                written.append(f"<{name}{_kept(name, found['attributes'], attributes)}>")
            if effort.is_too_much:
                return None
    return "".join(written)


def tags(text: str, wanted: Allowed) -> Iterator[tuple[str, dict[str, str]]]:
    """The `wanted` tags that `text` opens, each with those of its wanted attributes that it has."""
    for found in _tokens(text):
        if found.lastgroup == "attributes" and (name := found["name"].lower()) in wanted:
            written = _attributes(found["attributes"], wanted[name])
            yield name, {key: html.unescape(value) for key, value in written.items()}


def without_tags(text: str) -> str:
    """The text of HTML that is too much for a parser; a new line where one surely is."""
    written: list[str] = []
    for found in _tokens(text):
        if found.lastgroup in ("text", "sign"):
            written.append(found[0])
        elif found.lastgroup == "attributes":
            written.append("\n" if found["name"].lower() in _NEW_LINE else " ")
    return html.unescape("".join(written))


def _tokens(text: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None, "each character begins a token"
        yield found
        at = found.end()
        ending = found.lastgroup == "attributes" and END_OF.get(found["name"].lower())
        if ending:
            end = ending.search(text, at)
            at = end.start() if end else len(text)


class _Effort:
    """What a parser does beyond reading: elements that it keeps open, and opens again."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._depth = self._formatting = self._reopened = 0

    def open(self, name: str) -> None:
        if name in FORMATTING:
            self._formatting += 1
        elif self._formatting > 8:
            self._reopened += self._formatting
        if name not in NEVER_OPEN:
            self._open[name] = self._open.get(name, 0) + 1
            self._depth += 1

    def close(self, name: str) -> None:
        if self._open.get(name):
            self._open[name] -= 1
            self._depth -= 1
            self._formatting -= name in FORMATTING

    @property
    def is_too_much(self) -> bool:
        return self._depth > DEEPEST or self._reopened > MOST_REOPENED


def _kept(name: str, written: str, allowed: Allowed) -> str:
    kept = _attributes(written, {*allowed.get(name, ()), *allowed.get("*", ())})
    quoted = {key: value.replace('"', "&quot;") for key, value in kept.items()}
    return "".join(f' {key}="{value}"' for key, value in quoted.items())


def _attributes(written: str, wanted: Collection[str]) -> dict[str, str]:
    """Of a tag's attributes the wanted ones, as they are written; of two alike the first."""
    found: dict[str, str] = {}
    if written and wanted:
        for key, *values in _ATTRIBUTE.findall(written):
            key = key.lower()
            if key in wanted and key not in found:
                found[key] = "".join(values)
    return found
