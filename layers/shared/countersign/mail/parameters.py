"""Content-Type and Content-Disposition: a value and its parameters (RFC 2045, 5.1; 2183; 2231)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from countersign.mail import charsets, words

LONGEST_NAME = 200
"""Characters of a file name."""

_LONGEST_FIELD = 64 * 1024
_LONGEST_KEY = 200
_MOST = 1000
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_WORDS_END = re.compile(r"[;\s\"()<>,]")
_BLANK = re.compile(r"\s*+")
_ANOTHER = re.compile(r"\s[\w*-]{1,40}\s?=")
_COMMENT = re.compile(r"\([^()]*\)")
_EXTENDED = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")
_TYPE = re.compile(r"([!#$&^_.+\w-]{1,127})\s*/\s*([!#$&^_.+*\w-]{1,127})", re.ASCII)
_NO_NAME = re.compile(
    # control characters, those that turn the direction of writing (UAX 9), those without width
    "[\0-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)


def parse(field: bytes) -> tuple[str, dict[str, str]]:
    """The lower-case value before the first `;`, and the parameters by lower-case name.

    Bytes stand for themselves (latin-1), `text` decodes a parameter's. An unclosed quote ends at
    the end of its line or field; of a parameter twice the first counts.
    """
    value = field[:_LONGEST_FIELD].decode("latin-1").replace("\r", "").replace("\n", "")
    head = _COMMENT.sub(" ", value.partition(";")[0]).strip().lower()
    found: dict[str, str] = {}
    position, equals = 0, value.find("=")
    while equals >= 0 and len(found) < _MOST:
        name = _WORDS_END.split(value[max(position, equals - _LONGEST_KEY) : equals].strip())[-1]
        start = _after_blanks(value, equals + 1)
        if match := _QUOTED.match(value, start):
            content = _ESCAPE.sub(r"\1", match[1]) if "\\" in match[1] else match[1]
            position = match.end()
        else:
            content, position = _unquoted(value, start)
        if name:
            found.setdefault(name.lower(), content)
        equals = value.find("=", position)
    return head, found


def _after_blanks(value: str, start: int) -> int:
    match = _BLANK.match(value, start)
    return match.end() if match else start


def _unquoted(value: str, start: int) -> tuple[str, int]:
    """Up to the semicolon; blanks are taken as meant, unless another parameter follows them."""
    semicolon = value.find(";", start)
    end = len(value) if semicolon < 0 else semicolon
    another = _ANOTHER.search(value, start, end)
    end = another.start() if another else end
    return value[start:end].strip().strip('"'), end


def content_type(value: str) -> str | None:
    """`type/subtype`, lower case; None if `value` is none (RFC 2045, 5.2 says what then)."""
    match = _TYPE.match(value)
    return f"{match[1]}/{match[2]}".lower() if match else None


def token(value: str | None) -> str:
    """A parameter that is one word: a charset, `flowed`; comments and what follows are dropped."""
    return re.split(r"[\s;(\"',]", value.strip(" \t\"'"), maxsplit=1)[0] if value else ""


def raw(found: Mapping[str, str], name: str) -> bytes:
    """The parameter as its bytes; continued over several (RFC 2231, 3) they are joined."""
    if name in found:
        return found[name].encode("latin-1")
    joined = text(found, name)
    return joined.encode() if joined else b""


def text(found: Mapping[str, str], name: str, hints: Iterable[str | None] = ()) -> str | None:
    """The parameter `name`, decoded: in RFC 2231's ways, as encoded words, raw 8-bit; else None."""
    pieces: dict[int, tuple[str, bool]] = {}
    for key, value in found.items():
        match = _EXTENDED.fullmatch(key)
        if match and match[1] == name and (match[2] or match[3]):
            pieces[int(match[2] or 0)] = (value, match[3] is not None)
    if pieces:
        return _extended([pieces[number] for number in sorted(pieces)])
    plain = found.get(name)
    return None if plain is None else words.text(plain.encode("latin-1"), hints)


def _extended(pieces: list[tuple[str, bool]]) -> str:
    """RFC 2231, 3 and 4: `charset'language'percent-encoded` in the first piece that is marked."""
    charset = None
    first, marked = pieces[0]
    if marked and first.count("'") >= 2:
        charset, _, first = first.split("'", 2)
        pieces = [(first, marked), *pieces[1:]]
    joined = b"".join(
        unquote_to_bytes(piece.encode("latin-1")) if percent else piece.encode("latin-1")
        for piece, percent in pieces
    )
    decoded = charsets.decode(joined, charset)[0]
    return words.tidy(words.encoded_words(decoded))


def file_name(name: str | None) -> str | None:
    """`name` made harmless: one path part, no control or bidirectional characters, not too long."""
    if not name:
        return None
    name = unicodedata.normalize("NFC", name[: 8 * LONGEST_NAME])
    name = _NO_NAME.sub("", re.split(r"[/\\]", name)[-1]).strip(" .\t\"'") or ""
    if len(name) > LONGEST_NAME:
        stem, dot, extension = name.rpartition(".")
        kept = f"{dot}{extension}" if dot and len(extension) <= 20 else ""
        name = (stem if kept else name)[: LONGEST_NAME - len(kept)] + kept
    return name or None
