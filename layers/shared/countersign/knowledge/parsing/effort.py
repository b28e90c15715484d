"""What it would take to parse a page: found from its tags, before a parser is let loose on it.

A parser of HTML makes an object of each tag and attribute, and a few bytes may make it make many:
it opens formatting anew in each paragraph. For each tag it may look through all that are open, and
for each attribute through those of its tag. So these are counted, rather too high than too low: an
end tag counts only where it surely ends what was opened.
"""

from __future__ import annotations

import re

from countersign.knowledge.parsing import Unreadable
from countersign.mail.markup import END_OF, FORMATTING, NEVER_OPEN

MOST_CHARACTERS = 16 * 1024 * 1024
"""Of which each may take four bytes, and several copies are made."""
MOST_PARTS = 1_000_000
"""Tags and attributes: in memory some 400 bytes each."""
MOST_STEPS = 400_000_000
"""Looks through what is open: some seconds."""

# https://html.spec.whatwg.org/multipage/parsing.html#tokenization; possessive, so without retrying.
_ATTRIBUTE = re.compile(r"""[^\s/>=]+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]*+))?""")
_TAG = re.compile(
    rf"""<!--(?:-?>|.*?(?:--!?>|\Z))
    |<(?P<end>/?)(?P<name>[a-zA-Z][^\s/>]*+)(?P<attributes>(?:[\s/=]++|{_ATTRIBUTE.pattern})*+)""",
    re.VERBOSE | re.DOTALL,
)
_INLINE = FORMATTING | {"span"}
"""What an end tag of anything else ends too."""
_FEW = 8
"""Formatting that is open at once on a page of good will, and elements that one forgets to end."""
_MOST_ALIKE = 3
"""A parser opens no more of the same anew: the "Noah's Ark clause"."""


def check(markup: str) -> None:
    """Raises `Unreadable` for a page that would take too much memory or time to parse."""
    # Before each is looked at.
    if len(markup) > MOST_CHARACTERS or markup.count("<") > MOST_PARTS:
        _refuse()
    count = _Count()
    at = 0
    while found := _TAG.search(markup, at):
        at = found.end()
        if name := (found["name"] or "").lower():
            if found["end"]:
                count.end(name)
            else:
                count.start(name, found["attributes"])
                raw = END_OF.get(name)
                ended = raw and raw.search(markup, at)
                at = ended.start() if ended else len(markup) if raw else at
        if count.parts > MOST_PARTS or count.steps > MOST_STEPS:
            _refuse()


def _refuse() -> None:
    raise Unreadable(
        "too_large",
        f"The page has more than {MOST_CHARACTERS} characters or {MOST_PARTS} tags and attributes,"
        " or too many tags within each other; split it.",
    )


class _Count:
    def __init__(self) -> None:
        self.parts = self.steps = 0
        self._open: list[tuple[str, str]] = []
        self._formatting: dict[tuple[str, str], int] = {}
        self._opened_anew = 0

    def start(self, name: str, attributes: str) -> None:
        named = sum(1 for _ in _ATTRIBUTE.finditer(attributes)) if attributes else 0
        self.parts += 1 + named
        self.steps += len(self._open) + named * named
        if name in FORMATTING:
            # A link ends the one before, wherever they lead.
            alike = name, "" if name == "a" else attributes
            self._format(alike, 1)
            self._open.append(alike)
            return
        if self._opened_anew > _FEW:
            self.parts += self._opened_anew
        if name not in NEVER_OPEN:
            self._open.append((name, ""))

    def end(self, name: str) -> None:
        self.steps += len(self._open)
        for at in range(len(self._open) - 1, max(len(self._open) - _FEW, 0) - 1, -1):
            opened = self._open[at]
            if opened[0] == name and name in FORMATTING:
                del self._open[at]
                self._format(opened, -1)
                return
            if opened[0] == name:
                # Formatting among these stays, to be opened anew.
                del self._open[at:]
                return
            if opened[0] not in _INLINE:
                return

    def _format(self, alike: tuple[str, str], change: int) -> None:
        before = self._formatting.get(alike, 0)
        after = min(max(before + change, 0), _MOST_ALIKE)
        self._formatting[alike] = after
        self._opened_anew += after - before
