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
_LONGEST_WRITTEN = 4000
_PLAIN = re.compile(r'[^"()<>,;:\\\[\]]++')
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_LITERAL = re.compile(r"\[[^\[\]\\]*+\]")
_ANGLE = re.compile(r'<((?:[^<>"]++|"(?:[^"\\]++|\\.)*+")*+)>', re.DOTALL)
_PAREN = re.compile(r"[()\\]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_BLANK = re.compile(r"\s+")
_COMMENT = re.compile(r"\([^()]*+\)")
_AROUND = re.compile(r"(?<!\s)\s*+@\s*+|(?<!\s)\s++\.\s*+")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ADDRESS = re.compile(
    # A name that holds blanks is told from an address by its blanks; quotes may hold anything.
    r'(?:"(?:[^"\\]++|\\.)*+"|[^\s"<>()\[\],;:\\@]++)++@(?:\[[^\s\[\]<>]+\]|[^\s"<>()\[\],;:\\@]+)',
    re.DOTALL,
)


def parse(value: str) -> tuple[Address, ...]:
    """The mailboxes in `value`, which is unfolded and not decoded yet; groups are opened.

    What holds no address is left out. `Doe, John <j@example.com>` is one mailbox.
    """
    found = _mailboxes(value) if "@" in value else []
    if not found and "=?" in value:  # the brackets too are inside an encoded word
        found = _mailboxes(words.encoded_words(value))
    return tuple(found)


def _mailboxes(value: str) -> list[Address]:
    found: list[Address] = []
    before = ""
    for item in _items(value):
        held = item.addresses()
        for address in held:
            name = ", ".join(filter(None, (before, item.name()))) if item.angle else item.name()
            found.append(Address(_shown(name, address), address))
        before = "" if held or item.ends_list else item.name()
        if len(found) >= MOST:
            break
    return found[:MOST]


def _shown(name: str, address: str) -> str:
    """The name as a person reads it; what only says the address again is none."""
    name = _BIDI.sub("", words.tidy(_BLANK.sub(" ", name))).strip("'")[:_LONGEST_NAME].strip()
    return "" if name.lower() == address.lower() else name


class _Item:
    """What stands between two commas, as far as it has been read."""

    def __init__(self, before: list[str] | None = None) -> None:
        self.phrase: list[str] = before or []
        self.written: list[str] = []  # as the phrase, but quotes stay: a local part needs them
        self.after: list[str] = []
        self.comments: list[str] = []
        self.angle: str | None = None
        self.ends_list = False

    def add(self, shown: str, written: str) -> None:
        (self.phrase if self.angle is None else self.after).append(shown)
        self.written.append(written)

    def addresses(self) -> list[str]:
        """The one in the <>; else those among the words, if each of them is one, or the first."""
        if self.angle is not None and (found := _in_angle(self.angle[:_LONGEST_WRITTEN])):
            return [found]
        written = "".join(self.written)
        fit = _in_words(written)
        return fit if len(fit) == len(_spaced(written).split()) else fit[:1]

    def name(self) -> str:
        phrase = words.encoded_words("".join(self.phrase)).strip()
        if self.angle is None and "@" in phrase:
            bare = _ADDRESS.fullmatch(_spaced("".join(self.written)).strip())
            others = [word for word in _spaced(phrase).split() if "@" not in word]
            phrase = "" if bare else " ".join(others)
        rest = " ".join(self.comments) or "".join(self.after)
        return phrase or words.encoded_words(rest)


def _in_angle(angle: str) -> str:
    inner = _COMMENT.sub("", angle).strip()
    if inner.startswith("@"):  # a route (RFC 5322, 4.4)
        inner = inner.rpartition(":")[2]
    for written in (inner, _BLANK.sub("", inner)):
        if _ADDRESS.fullmatch(written) and len(written) <= LONGEST:
            return written
    return next(iter(_in_words(inner.replace(",", " "))), "")


def _spaced(written: str) -> str:
    """Without the blanks that old programs put around @ and dots (RFC 5322, 4.4)."""
    return _AROUND.sub(lambda match: match[0].strip(), written[:_LONGEST_WRITTEN])


def _in_words(written: str) -> list[str]:
    """The addresses among the words of what is in no <>, or in none that could be read."""
    if "@" not in written:
        return []
    spaced = _spaced(written)
    found = (word.strip("<>.") for word in (spaced, *spaced.split()))
    fit = [word for word in found if _ADDRESS.fullmatch(word) and len(word) <= LONGEST]
    return list(dict.fromkeys(fit))


def _items(value: str) -> Iterator[_Item]:
    item = _Item()
    position = 0
    open_: set[str] = set()  # the signs of which no closing one follows: plain characters then
    while position < len(value):
        sign = value[position]
        if plain := _PLAIN.match(value, position):
            item.add(plain[0], plain[0])
            position = plain.end()
        elif sign in ",;":
            item.ends_list = sign == ";"
            yield item
            item, position = _Item(), position + 1
        elif sign == ":" and "@" not in "".join(item.written[-3:]):  # the name of a group
            item, position = _Item(), position + 1
        elif sign == "<" and item.angle and "@" in item.angle:  # the comma is missing
            after, item.after = item.after, []
            yield item
            item = _Item(after)
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
    item.add(_ESCAPE.sub(r"\1", match[1]) if "\\" in match[1] else match[1], match[0])
    return match.end()


def _take_literal(item: _Item, value: str, position: int) -> int | None:
    match = _LITERAL.match(value, position)
    if not match:
        return None
    item.add(match[0], match[0])
    return match.end()


def _take_angle(item: _Item, value: str, position: int) -> int | None:
    while value.startswith("<", position + 1):
        position += 1
    match = _ANGLE.match(value, position)
    if not match:
        return None
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
