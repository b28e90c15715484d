"""What a CMS message is, and what a signed one holds in the clear (RFC 5652; encoded by X.690).

Nothing is verified or decrypted, and nothing here raises. It is read in one pass, without
recursion, up to a number of elements: a hostile one costs no more than its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MOST_ELEMENTS = 100_000
"""Programs cut a content into pieces of some thousand bytes."""

_MOST_NESTED = 8
_SIGNED = bytes.fromhex("2a864886f70d010702")
_ENCRYPTED = frozenset(
    bytes.fromhex(kind)
    for kind in (
        "2a864886f70d010703",  # enveloped-data
        "2a864886f70d010706",  # encrypted-data
        "2a864886f70d0109100117",  # authenticated-enveloped-data (RFC 5083)
    )
)
# Tags (X.690, 8.1.2), with the bit that says constructed.
_END, _INTEGER, _OCTETS, _OID, _PIECES = 0x00, 0x02, 0x04, 0x06, 0x24
_SEQUENCE, _SET, _TAGGED = 0x30, 0x31, 0xA0


@dataclass(frozen=True)
class Message:
    kind: Literal["signed", "encrypted", "other"]
    content: bytes | None = None
    """What was signed, where it is inside."""


def read(raw: bytes) -> Message | None:
    """The CMS message that `raw` is; None if it is none, or damaged up to its content."""
    try:
        return _Reader(raw).message()
    except _DamagedError:
        return None


class _DamagedError(Exception):
    """It is not what it must be here."""


class _Reader:
    """A place in the bytes, which only moves on."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at, self.left = raw, 0, MOST_ELEMENTS

    def message(self) -> Message:
        self._enter(_SEQUENCE)
        kind = self._value(_OID)
        if kind != _SIGNED:
            return Message("encrypted" if kind in _ENCRYPTED else "other")
        self._enter(_TAGGED)
        self._enter(_SEQUENCE)
        self._value(_INTEGER)
        self._skip(_SET)
        end = self._enter(_SEQUENCE)
        self._value(_OID)
        # What was signed may lie elsewhere, or nothing was: then certificates follow, tagged alike.
        if self.at == end or self.raw[self.at : self.at + 1] != bytes([_TAGGED]):
            return Message("signed")
        self._enter(_TAGGED)
        return Message("signed", self._octets())

    def _header(self) -> tuple[int, int | None]:
        """The tag and the end of the element here, whose content is moved to; the end is None if
        only a mark will tell it (X.690, 8.1.3.6)."""
        self.left -= 1
        if self.left < 0 or self.at + 2 > len(self.raw):
            raise _DamagedError
        tag, length = self.raw[self.at], self.raw[self.at + 1]
        self.at += 2
        if length == 0x80:
            return tag, None
        if length > 0x80:
            size = length & 0x7F
            length = int.from_bytes(self.raw[self.at : self.at + size], "big")
            self.at += size
        if self.at + length > len(self.raw):
            raise _DamagedError
        return tag, self.at + length

    def _enter(self, wanted: int) -> int | None:
        tag, end = self._header()
        if tag != wanted:
            raise _DamagedError
        return end

    def _value(self, wanted: int) -> bytes:
        end = self._enter(wanted)
        if end is None:
            raise _DamagedError
        value, self.at = self.raw[self.at : end], end
        return value

    def _skip(self, wanted: int) -> None:
        end = self._enter(wanted)
        self.at, unended = (self.at, 1) if end is None else (end, 0)
        while unended:
            tag, end = self._header()
            if tag == _END:
                unended -= 1
            elif end is None:
                unended += 1
            else:
                self.at = end

    def _octets(self) -> bytes:
        """A string of octets, whole or in pieces (X.690, 8.7.3)."""
        if self.raw[self.at : self.at + 1] == bytes([_OCTETS]):
            return self._value(_OCTETS)
        found: list[bytes] = []
        ends = [self._enter(_PIECES)]
        while ends:
            if self.at == ends[-1]:
                ends.pop()
                continue
            tag, end = self._header()
            if tag == _OCTETS and end is not None:
                found.append(self.raw[self.at : end])
                self.at = end
            elif tag == _PIECES and len(ends) < _MOST_NESTED:
                ends.append(end)
            elif tag == _END and ends[-1] is None:
                ends.pop()
            else:
                raise _DamagedError
        return b"".join(found)
