"""Content-Transfer-Encoding undone (RFC 2045, 6), and what stands encoded in the midst of a text.

Nothing here raises: what was damaged is mended as far as it goes, what was never encoded stays.
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

MOST_TEXT = 6 * 1024 * 1024
"""Bytes of a damaged text that are mended."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_WHITE = b" \t\r\n\v\f\0"
_MOST_LINE = 1000
_MOST_SECTIONS = 1000
_LINE = re.compile(rb"[^\n]+")
_BASE64_LINE = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_NOT_ALPHABET = bytes(set(range(256)) - set(_ALPHABET))
# White space at the end of a line was added on the way, a soft break's too (RFC 2045, 6.7 (3)).
_TRAILING = re.compile(rb"(?<![ \t])[ \t]++(?=\r*(?:\n|\Z))")
_SOFT_BREAK = re.compile(rb"=\r*\n")
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]{1,255})\r*\n", re.MULTILINE)
_UU_LINE = re.compile(rb"[ -`]{0,100}\r?")


class Encoded(NamedTuple):
    """A uuencoded file in the midst of a text: where it stood, what it is."""

    start: int
    end: int
    name: bytes
    content: bytes


def decode(raw: bytes, encoding: str, is_text: bool) -> tuple[bytes, bool]:
    """The bytes that were meant, and whether they were encoded as `encoding` says.

    A text that is declared to be base64 and cannot be is given back as it stands.
    """
    name = encoding.strip().strip("\"';").lower().replace("_", "-")
    if name == "base64":
        return _base64(raw, is_text)
    if name in ("quoted-printable", "quopri", "quotedprintable"):
        return _quoted_printable(raw)
    if name in ("uuencode", "x-uuencode", "uue", "x-uue"):
        found = uuencoded(raw, most=1)
        return (found[0].content, True) if found else (raw, False)
    return raw, name in ("", "7bit", "8bit", "binary")


def _base64(raw: bytes, is_text: bool) -> tuple[bytes, bool]:
    packed = raw.translate(None, _WHITE)
    try:
        return binascii.a2b_base64(packed, strict_mode=True), True
    except binascii.Error:
        pass
    if is_text:
        encoded = _encoded_lines(raw[:MOST_TEXT])
        if encoded is None:
            return raw, False
        packed = encoded
    if not (b"+" in packed or b"/" in packed):  # the URL's alphabet (RFC 4648, 5)
        packed = packed.translate(bytes.maketrans(b"-_", b"+/"))
    return b"".join(_each_padded(packed)), False


def _encoded_lines(raw: bytes) -> bytes | None:
    """The base64 in a text, without a list's footer below it; None if the text is none."""
    first = next(iter(raw[:_MOST_LINE].split(maxsplit=1)), b"")
    certain = _BASE64_LINE.fullmatch(first) and (len(first) >= 40 or first.endswith(b"="))
    made = bytearray()
    pure = 0
    for match in _LINE.finditer(raw):
        line = match[0].strip()
        if not line.strip(b"-_=") or line.startswith(b"--"):
            continue  # a rule, or a boundary that nobody declared
        foreign = len(line.translate(None, _ALPHABET + b"-_="))
        if foreign * 10 <= len(line) and b" " not in line:
            made += line
            pure += len(match[0])
        else:
            word = line.split(maxsplit=1)[0] if line else b""
            made += word if word == line or word.endswith(b"=") else b""
    return bytes(made) if certain or pure * 2 >= len(raw) else None


def _each_padded(packed: bytes) -> list[bytes]:
    """What is padded ends there; another may follow: two files joined, or a list's footer."""
    decoded = []
    for section in re.split(rb"=+", packed, maxsplit=_MOST_SECTIONS):
        run = section.translate(None, _NOT_ALPHABET)
        run = run[: len(run) - 1] if len(run) % 4 == 1 else run
        decoded.append(binascii.a2b_base64(run + b"=" * (-len(run) % 4)))
    return decoded


def _quoted_printable(raw: bytes) -> tuple[bytes, bool]:
    return binascii.a2b_qp(_SOFT_BREAK.sub(b"", _TRAILING.sub(b"", raw))), True


def uuencoded(raw: bytes, most: int) -> list[Encoded]:
    """The uuencoded files in `raw`, at most so many (POSIX uuencode); each has its end line."""
    found: list[Encoded] = []
    position = 0
    while len(found) < most:
        begin = _UU_BEGIN.search(raw, position)
        if not begin:
            break
        content, end = _uu_lines(raw, begin.end())
        if end is None:
            position = begin.end()
        else:
            found.append(Encoded(begin.start(), end, begin[1], content))
            position = end
    return found


def _uu_lines(raw: bytes, position: int) -> tuple[bytes, int | None]:
    """What the lines from `position` hold, and where `end` ends; None where another line comes."""
    decoded: list[bytes] = []
    while position < len(raw):
        newline = raw.find(b"\n", position, position + 120)
        stop = newline if newline >= 0 else min(len(raw), position + 120)
        line = raw[position:stop].rstrip(b"\r")
        if line.rstrip() == b"end":
            return b"".join(decoded), min(stop + 1, len(raw))
        if newline < 0 or not _UU_LINE.fullmatch(line):
            break
        position = newline + 1
        decoded.append(_uu_line(line))
    return b"", None


def _uu_line(line: bytes) -> bytes:
    if not line:
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:  # some write a character too many at the end
        length = (((line[0] - 32) & 63) * 4 + 5) // 3
        try:
            return binascii.a2b_uu(line[:length])
        except binascii.Error:
            return b""
