"""The text of Outlook's compressed RTF bodies (MS-OXRTFCP, MS-OXRTFEX, RTF 1.9.1)."""

from __future__ import annotations

import re
import struct

from countersign.mail import charsets

MOST_BYTES = 1024 * 1024
"""Unpacked; what follows is not read."""

_HEADER = struct.Struct("<II4sI")
_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_TOKEN = re.compile(
    rb"\\([A-Za-z]{1,32})(-?[0-9]{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^A-Za-z])|([{}])"
    rb"|[\r\n]+|([^\\{}\r\n]+)",
    re.DOTALL,
)
_CHARACTERS = {
    "par": "\n", "line": "\n", "row": "\n", "sect": "\n", "page": "\n", "tab": "\t", "cell": "\t",
    "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“",
    "rdblquote": "”", "emspace": "\u2003", "enspace": "\u2002",
}  # fmt: skip
_DESTINATIONS = """
        fonttbl colortbl stylesheet info pict object header headerl headerr footer footerl footerr
    listtable listoverridetable rsidtbl generator mmathPr themedata datastore xmlnstbl filetbl
"""
_NOT_TEXT = frozenset(_DESTINATIONS.split())


def decompress(raw: bytes) -> bytes:
    """The RTF in PR_RTF_COMPRESSED; as much of it as is there, at most `MOST_BYTES`."""
    if len(raw) < _HEADER.size:
        return b""
    _, size, kind, _ = _HEADER.unpack_from(raw)
    size = min(size, MOST_BYTES)
    if kind == b"MELA":
        return raw[_HEADER.size : _HEADER.size + size]
    return _decompress(raw, size) if kind == b"LZFu" else b""


def _decompress(raw: bytes, size: int) -> bytes:
    """Runs of eight literals or references into a dictionary of the last 4,096 bytes (2.2)."""
    dictionary = bytearray(_DICTIONARY.ljust(4096, b"\0"))
    write = len(_DICTIONARY)
    made = bytearray()
    position = _HEADER.size
    while position < len(raw) and len(made) < size:
        control = raw[position]
        position += 1
        for bit in range(8):
            if control >> bit & 1:
                if position + 1 >= len(raw):
                    return bytes(made)
                reference = raw[position] << 8 | raw[position + 1]
                position += 2
                offset = reference >> 4
                if offset == write:
                    return bytes(made)
                run = bytearray()
                for step in range((reference & 15) + 2):
                    byte = dictionary[(offset + step) % 4096]
                    dictionary[write] = byte
                    write = (write + 1) % 4096
                    run.append(byte)
                made += run
            else:
                if position >= len(raw):
                    return bytes(made)
                dictionary[write] = raw[position]
                write = (write + 1) % 4096
                made.append(raw[position])
                position += 1
    return bytes(made[:size])


def text(raw: bytes) -> str:
    """The text of an RTF document, one paragraph a line.

    HTML inside it (MS-OXRTFEX) is left aside: its text stands beside it for those who read RTF.
    """
    return _Reader().read(raw)


class _Reader:
    def __init__(self) -> None:
        self.made: list[str] = []
        self.bytes = bytearray()  # of the code page, not decoded yet: a character may have two
        self.code_page = "cp1252"
        self.skipped = False
        self.fallback = 1  # characters after \u that say it to those who know no Unicode
        self.to_skip = 0
        self.groups: list[tuple[bool, int]] = []

    def read(self, raw: bytes) -> str:
        for token in _TOKEN.finditer(raw[:MOST_BYTES]):
            word, number, hexadecimal, sign, brace, plain = token.groups()
            if brace == b"{":
                self.groups.append((self.skipped, self.fallback))
            elif brace:
                if self.groups:
                    self.skipped, self.fallback = self.groups.pop()
            elif word:
                self._word(word.decode("ascii"), int(number) if number else None)
            elif hexadecimal:
                self._plain(bytes.fromhex(hexadecimal.decode("ascii")))
            elif sign:
                self._sign(sign)
            elif plain:
                self._plain(plain)
        self._flush()
        return "".join(self.made).strip("\n")

    def _word(self, word: str, number: int | None) -> None:
        if word in _NOT_TEXT:
            self.skipped = True
        elif word == "ansicpg" and number:
            self.code_page = f"cp{number}"
        elif word == "uc":
            self.fallback = number or 0
        elif word == "u" and number is not None:
            self._say(chr(number % 0x10000))
            self.to_skip = min(self.fallback, 8)
        elif word in _CHARACTERS:
            self._say(_CHARACTERS[word])

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self.skipped = True
        elif sign in b"\r\n":
            self._say("\n")
        elif sign == b"~":
            self._say("\u00a0")
        elif sign in b"\\{}":
            self._plain(sign)

    def _plain(self, raw: bytes) -> None:
        skip = min(self.to_skip, len(raw))
        self.to_skip -= skip
        if not self.skipped:
            self.bytes += raw[skip:]

    def _say(self, character: str) -> None:
        if not self.skipped:
            self._flush()
            self.made.append(character)

    def _flush(self) -> None:
        if self.bytes:
            self.made.append(charsets.decode(bytes(self.bytes), self.code_page)[0])
            self.bytes.clear()
