"""The values of header fields to text: unfolding, encoded words, raw 8-bit, ids, dates.

RFC 5322 (2.2.3, 3.3, 3.6.4), RFC 2047, RFC 6532. Nothing here raises.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz

from countersign.mail import charsets, transfer
from countersign.mail.model import first_and_newest

MOST_IDS = 1000
"""Of one header; of more, the first and the last are kept: the root, and those next to the mail."""

_LONGEST_ID = 998
_BEGIN = re.compile(r"=\?([\w.:+*-]{1,80})\?([bBqQ])\?")
_CONTROL = re.compile(r"[\0-\x1f\x7f]+")
_ID = re.compile(r"<([^<>]*)>")
_BETWEEN = re.compile(r"[ \t\r\n]*")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")


def text(raw: bytes, hints: Iterable[str | None] = ()) -> str:
    """A field's value as a person reads it: one line, encoded words decoded."""
    return tidy(encoded_words(eight_bit(raw, hints)))


def eight_bit(raw: bytes, hints: Iterable[str | None] = ()) -> str:
    """A field's value with its raw 8-bit characters, folds taken out, encoded words as they are."""
    if raw.isascii() and b"\x1b" not in raw and b"\0" not in raw:
        return raw.decode("ascii").replace("\r", "").replace("\n", "")
    return charsets.decode(raw, None, hints)[0].replace("\r", "").replace("\n", "")


def charsets_of(raw: bytes) -> list[str]:
    """The charsets that encoded words in `raw` name, each once."""
    found = _BEGIN.finditer(raw.decode("latin-1"))
    return list(dict.fromkeys(match[1].partition("*")[0].lower() for match in found))


def tidy(value: str) -> str:
    """Without control characters, and blanks around."""
    return _CONTROL.sub(" ", value).strip()


def encoded_words(value: str) -> str:
    """Encoded words in `value` decoded (RFC 2047), those too that stand where they may not.

    What many senders do is understood: blanks inside, a character that is cut in two by the end of
    a word, no space between a word and its neighbour.
    """
    if "=?" not in value:
        return value
    made: list[str] = []
    open_: tuple[str, list[bytes]] | None = None  # a charset, and the bytes of its words in a row
    done = 0
    for start, end, charset, content in _words(value):
        between = value[done:start]
        blank = open_ is not None and _BETWEEN.fullmatch(between) is not None
        if open_ and blank and open_[0] == charset:
            open_[1].append(content)
        else:
            made += [_joined(open_), "" if blank else between]
            open_ = (charset, [content])
        done = end
    return "".join([*made, _joined(open_), value[done:]])


def _words(value: str) -> Iterable[tuple[int, int, str, bytes]]:
    """Start, end, charset and bytes of each encoded word. A word without an end ends the search."""
    position = 0
    while begin := _BEGIN.search(value, position):
        close = value.find("?=", begin.end())
        if close < 0:
            return
        inner = value.rfind("=?", begin.end(), close)
        if inner >= 0 and _BEGIN.match(value, inner):  # this one has no end, another begins in it
            position = inner
            continue
        content = value[begin.end() : close].encode("utf-8", "replace")
        charset = begin[1].partition("*")[0].lower()
        yield begin.start(), close + 2, charset, _content(content, begin[2])
        position = close + 2


def _content(content: bytes, encoding: str) -> bytes:
    if encoding in "qQ":
        return _HEX.sub(lambda match: binascii.unhexlify(match[1]), content.replace(b"_", b" "))
    return transfer.decode(content, "base64", is_text=False)[0]


def _joined(words: tuple[str, list[bytes]] | None) -> str:
    return charsets.decode(b"".join(words[1]), words[0])[0] if words else ""


def ids(value: str) -> tuple[str, ...]:
    """The message ids in `value`, without their <>, blanks inside (folds) taken out.

    Mailers that write them as encoded words are understood; of what has no <> the words with an @.
    """
    value = encoded_words(value)
    found = [_id(inner) for inner in _ID.findall(value)]
    if not any(found):
        found = [_id(word) for word in re.split(r"[\s,;<>]+", value) if "@" in word]
    known = tuple(dict.fromkeys(one for one in found if one and len(one) <= _LONGEST_ID))
    return tuple(first_and_newest(known, MOST_IDS))


def _id(inner: str) -> str:
    return "".join(_CONTROL.sub("", inner).split())


def date(value: str) -> datetime | None:
    """The moment a Date field names; one without a zone is taken as UTC, None if it is no date."""
    value = tidy(value)[:200]
    try:
        parsed = parsedate_tz(value)
        if parsed is None:
            found = datetime.fromisoformat(value)
            return found if found.utcoffset() is not None else found.replace(tzinfo=UTC)
        zone = timezone(timedelta(seconds=parsed[9] or 0))
        found = datetime(*parsed[:6], tzinfo=zone)
        found.astimezone(UTC)  # refuses what leaves the calendar there
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return found
