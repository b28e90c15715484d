"""winmail.dat: Outlook's container of a body and files (MS-OXTNEF, MAPI properties by MS-OXPROPS).

Nothing here raises; each length is checked against what is left, and nothing is unpacked twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from countersign.mail import charsets, rtf

MOST_FILES = 1000

_SIGNATURE = b"\x78\x9f\x3e\x22"
_HEADER = struct.Struct("<BII")
_MOST_PROPERTIES = 2000
_OBJECT_ID = 16  # before an embedded object: whose interface it has

# Attributes, by the lower half of their ids (2.1.3.2).
_BODY, _ATTACH_DATA, _ATTACH_TITLE = 0x800C, 0x800F, 0x8010
_ATTACH_BEGINS, _MESSAGE_PROPERTIES, _ATTACHMENT, _CODE_PAGE = 0x9002, 0x9003, 0x9005, 0x9007
# MAPI properties.
_TEXT, _RTF, _HTML, _INTERNET_CODE_PAGE = 0x1000, 0x1009, 0x1013, 0x3FDE
_DATA, _FILE_NAME, _LONG_NAME, _MIME_TYPE, _CONTENT_ID = 0x3701, 0x3704, 0x3707, 0x370E, 0x3712
# MAPI types of variable length, and the lengths of the others (0xB, a boolean, is padded).
_STRING8, _UNICODE, _OBJECT, _BINARY = 0x1E, 0x1F, 0x0D, 0x102
_LENGTHS = {0x2: 4, 0x3: 4, 0x4: 4, 0x5: 8, 0x6: 8, 0x7: 8, 0xA: 4, 0xB: 4, 0x14: 8, 0x40: 8}
_LENGTHS[0x48] = 16


@dataclass(frozen=True)
class File:
    name: str | None
    content_type: str
    content_id: str | None
    content: bytes


@dataclass(frozen=True)
class Contents:
    text: str | None
    html: str | None
    files: tuple[File, ...]


def unpack(raw: bytes) -> Contents | None:
    """What is in a winmail.dat; None if it is none. Of a damaged one, what comes before."""
    if not raw.startswith(_SIGNATURE):
        return None
    message: dict[int, _Value] = {}
    attachments: list[dict[int, _Value]] = []
    code_page = ""
    for kind, data in _attributes(raw):
        if kind == _ATTACH_BEGINS:
            if len(attachments) == MOST_FILES:
                break
            attachments.append({})
        elif kind == _CODE_PAGE and len(data) >= 4:
            code_page = _code_page(data)
        elif kind == _BODY:
            message.setdefault(_TEXT, _Value(_STRING8, data))
        elif kind == _MESSAGE_PROPERTIES:
            message.update(_properties(data))
        elif attachments and kind == _ATTACH_TITLE:
            attachments[-1].setdefault(_FILE_NAME, _Value(_STRING8, data))
        elif attachments and kind == _ATTACH_DATA:
            attachments[-1][_DATA] = _Value(_BINARY, data)
        elif attachments and kind == _ATTACHMENT:
            found = _properties(data)
            embedded = _DATA in found and found[_DATA].is_mail
            attachments[-1] = (
                {**attachments[-1], **found} if embedded else {**found, **attachments[-1]}
            )
    files = (_file(properties, code_page) for properties in attachments)
    return Contents(*_bodies(message, code_page), tuple(file for file in files if file))


@dataclass(frozen=True)
class _Value:
    kind: int
    raw: bytes

    @property
    def is_mail(self) -> bool:
        """Beside an embedded mail stands a picture of its icon; of other objects, what they are."""
        return self.kind == _OBJECT and self.raw.startswith(_SIGNATURE, _OBJECT_ID)

    def text(self, code_page: str) -> str:
        charset = "utf-16-le" if self.kind == _UNICODE else code_page
        return charsets.decode(self.raw, charset)[0].rstrip("\0").replace("\r\n", "\n")


def _attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    position = len(_SIGNATURE) + 2
    while position + _HEADER.size <= len(raw):
        _, kind, length = _HEADER.unpack_from(raw, position)
        position += _HEADER.size
        yield kind & 0xFFFF, raw[position : position + length]
        position += length + 2


def _code_page(raw: bytes) -> str:
    number: int = struct.unpack_from("<I", raw)[0]
    return {65001: "utf-8", 20127: "us-ascii", 28591: "iso-8859-1"}.get(number, f"cp{number}")


def _properties(raw: bytes) -> dict[int, _Value]:
    """The properties of a list (2.1.3.4), of those with several values the first."""
    found: dict[int, _Value] = {}
    position = 4
    try:
        (count,) = struct.unpack_from("<I", raw)
        for _ in range(min(count, _MOST_PROPERTIES)):
            kind, name = struct.unpack_from("<HH", raw, position)
            position = _after_name(raw, position + 4) if name >= 0x8000 else position + 4
            values, position = _values(raw, position, kind)
            if values:
                found.setdefault(name, values[0])
    except struct.error:
        pass
    return found


def _after_name(raw: bytes, position: int) -> int:
    """A named property has its set's id, then a number, or a padded name."""
    kind, length = struct.unpack_from("<II", raw, position + 16)
    return position + 24 + (_padded(length) if kind else 0)


def _values(raw: bytes, position: int, kind: int) -> tuple[list[_Value], int]:
    base = kind & 0xFFF
    variable = base in (_STRING8, _UNICODE, _OBJECT, _BINARY)
    count = 1
    if variable or kind & 0x1000:
        (count,) = struct.unpack_from("<I", raw, position)
        position += 4
    found: list[_Value] = []
    for _ in range(min(count, _MOST_PROPERTIES)):
        if variable:
            (length,) = struct.unpack_from("<I", raw, position)
            position += 4
        else:
            length = _LENGTHS.get(base, -1)
        if length < 0 or position + length > len(raw):
            raise struct.error("beyond the end")
        if not found:
            found.append(_Value(base, raw[position : position + length]))
        position += _padded(length)
    return found, position


def _padded(length: int) -> int:
    return (length + 3) & ~3


def _bodies(found: dict[int, _Value], code_page: str) -> tuple[str | None, str | None]:
    if _INTERNET_CODE_PAGE in found:
        internet = _code_page(found[_INTERNET_CODE_PAGE].raw)
    else:
        internet = code_page
    text = found[_TEXT].text(code_page) if _TEXT in found else None
    html = found[_HTML].text(internet) if _HTML in found else None
    if not (text and text.strip()) and html is None and _RTF in found:
        text = rtf.text(rtf.decompress(found[_RTF].raw))
    return text, html


def _file(found: dict[int, _Value], code_page: str) -> File | None:
    if _DATA not in found:
        return None
    named = found.get(_LONG_NAME) or found.get(_FILE_NAME)
    name = named.text(code_page).partition("\0")[0] if named else None
    data = found[_DATA]
    if data.kind == _OBJECT:
        declared = "application/ms-tnef" if data.is_mail else "application/octet-stream"
        return File(name, declared, None, data.raw[_OBJECT_ID:])
    mime = found[_MIME_TYPE].text(code_page).strip("\0 ").lower() if _MIME_TYPE in found else ""
    content_id = found[_CONTENT_ID].text(code_page).strip("\0 <>") if _CONTENT_ID in found else ""
    return File(name, mime or "application/octet-stream", content_id or None, data.raw)
