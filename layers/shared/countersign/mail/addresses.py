"""Address lists (RFC 5322, 3.4 and 4.4), as they are written and as they are miswritten.

One pass, without recursion: the standard library's getaddresses raises RecursionError on nested
comments (3.11, 3.12), and its policy.default takes seconds for some quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from countersign.mail import words
from countersign.mail.model import Address

MOST = 2000
"""Addresses of one field; the rest is not read."""

LONGEST = 320
"""Characters of an address: 64, @, 255 (RFC 5321, 4.5.3.1)."""

_LONGEST_NAME = 500
_PLAIN = re.compile(r'[^"()<>,;:\\\[\]]++')
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_LITERAL = re.compile(r"\[[^\[\]\\]*+\]")
_ANGLE = re.compile(r'<((?:[^<>"]++|"(?:[^"\\]++|\\.)*+")*+)>', re.DOTALL)
_PAREN = re.compile(r"[()\\]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_BLANK = re.compile(r"\s+")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ADDRESS = re.compile(
    # A name that holds blanks is told from an address by its blanks; quotes may hold anything.
    r'(?:"(?:[^"\\]|\\.)*"|[^\s"<>()\[\],;:\\@]+)+@(?:\[[^\s\[\]<>]+\]|[^\s"<>()\[\],;:\\@]+)',
    re.DOTALL,
)


def parse(value: str) -> tuple[Address, ...]:
    """The mailboxes in `value`, which is unfolded and not decoded yet; groups are opened.

    What holds no address is left out. `Doe, John <j@example.com>` is one mailbox.
    """
    found = _mailboxes(value)
    if not found and "=?" in value:  # the brackets too are inside an encoded word
        found = _mailboxes(words.encoded_words(value))
    return tuple(found)


def _mailboxes(value: str) -> list[Address]:
    found: list[Address] = []
    before = ""
    for item in _items(value):
        address = item.address()
        if address:
            name = ", ".join(filter(None, (before, item.name()))) if item.angle else item.name()
            found.append(Address(_shown(name, address), address))
        before = "" if address or item.ends_list else item.name()
        if len(found) == MOST:
            break
    return found


def _shown(name: str, address: str) -> str:
    """The name as a person reads it; what only says the address again is none."""
    name = _BIDI.sub("", words.tidy(_BLANK.sub(" ", name))).strip("'")[:_LONGEST_NAME].strip()
    return "" if name.lower() == address.lower() else name


class _Item:
    """What stands between two commas, as far as it has been read."""

    def __init__(self) -> None:
        self.phrase: list[str] = []
        self.written: list[str] = []  # as the phrase, but quotes stay: a local part needs them
        self.comments: list[str] = []
        self.angle: str | None = None
        self.ends_list = False

    def address(self) -> str:
        if self.angle is not None:
            inner = _BLANK.sub("", self.angle.rpartition(":")[2] if "@" in self.angle else "")
            if _ADDRESS.fullmatch(inner) and len(inner) <= LONGEST:
                return inner
        match = _in_words("".join(self.written))
        return match if len(match) <= LONGEST else ""

    def name(self) -> str:
        phrase = words.encoded_words("".join(self.phrase)).strip()
        if self.angle is None and "@" in phrase:
            phrase = " ".join(word for word in phrase.split() if "@" not in word)
        return phrase or " ".join(words.encoded_words(comment) for comment in self.comments)


def _in_words(written: str) -> str:
    """The address among the words of what has no <> that could be read; blanks at its @ go."""
    if "@" not in written:
        return ""
    joined = re.sub(r"\s*+@\s*+", "@", written[:4000])
    return next((w.strip(".") for w in joined.split() if _ADDRESS.fullmatch(w.strip("."))), "")


def _items(value: str) -> Iterator[_Item]:
    item = _Item()
    position = 0
    open_: set[str] = set()  # the signs of which no closing one follows: plain characters then
    while position < len(value):
        sign = value[position]
        if plain := _PLAIN.match(value, position):
            item.phrase.append(plain[0])
            item.written.append(plain[0])
            position = plain.end()
        elif sign in ",;":
            item.ends_list = sign == ";"
            yield item
            item, position = _Item(), position + 1
        elif sign == ":" and "@" not in "".join(item.written[-3:]):  # the name of a group
            item, position = _Item(), position + 1
        elif sign in '"(<[' and sign not in open_:
            end = _TAKES[sign](item, value, position)
            if end is None:
                open_.add(sign)
            else:
                position = end
        else:
            item.written.append(sign)
            position += 1
    yield item


def _take_quoted(item: _Item, value: str, position: int) -> int | None:
    match = _QUOTED.match(value, position)
    if not match:
        return None
    item.phrase.append(_ESCAPE.sub(r"\1", match[1]) if "\\" in match[1] else match[1])
    item.written.append(match[0])
    return match.end()


def _take_literal(item: _Item, value: str, position: int) -> int | None:
    match = _LITERAL.match(value, position)
    if not match:
        return None
    item.phrase.append(match[0])
    item.written.append(match[0])
    return match.end()


def _take_angle(item: _Item, value: str, position: int) -> int | None:
    while value.startswith("<", position + 1):
        position += 1
    match = _ANGLE.match(value, position)
    if not match:
        return None
    if item.angle is None or "@" not in item.angle:
        item.angle = match[1]
    return match.end()


def _take_comment(item: _Item, value: str, position: int) -> int | None:
    """Comments nest (RFC 5322, 3.2.2); they are counted, not descended into."""
    depth, at = 0, position
    while True:
        sign = _PAREN.search(value, at)
        if not sign:
            return None
        at = sign.end()
        if sign[0] == "\\":
            at += 1
        else:
            depth += 1 if sign[0] == "(" else -1
            if depth == 0:
                item.comments.append(_ESCAPE.sub(r"\1", value[position + 1 : at - 1]))
                item.written.append(" ")
                return at


_TAKES = {'"': _take_quoted, "(": _take_comment, "<": _take_angle, "[": _take_literal}
