"""The parts of a mail as they are written (RFC 2045, 2046, 2183, 2231, 2387)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from countersign.platform.errors import Invalid

_LINE = 76  # RFC 2045, 6.7 (5) and 6.8
_BREAK = re.compile("\r\n|\r|\n")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}")
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,200}")
_UNFIT_NAME = re.compile("[\0-\x1f\x7f\ud800-\udfff]")
_PLAIN_NAME = re.compile(r"[ !#-\[\]-~]{1,60}")
_BOUNDARY = "=_"
"""In no part: base64 and quoted-printable have no such sequence, and other text that has is not
left as it is."""


@dataclass(frozen=True)
class Entity:
    """Header fields, and what they describe, ready to be sent."""

    content_type: str
    fields: tuple[str, ...]
    content: bytes

    def encoded(self) -> bytes:
        """Fields, an empty line, content, which ends a line."""
        head = "\r\n".join((f"Content-Type: {self.content_type}", *self.fields))
        return head.encode("ascii") + b"\r\n\r\n" + self.content


def body(subtype: str, text: str) -> Entity:
    """A text part. As it is where every line is short ASCII, else in the shorter encoding.

    Raises `Invalid` if it has half a character, which no charset can say.
    """
    try:
        raw = (_BREAK.sub("\n", text).removesuffix("\n") + "\n").encode()
    except UnicodeEncodeError:
        raise Invalid("The text has half a character (a lone surrogate) in it.") from None
    if _fits_as_it_is(raw):
        return Entity(
            f"text/{subtype}; charset=us-ascii",
            ("Content-Transfer-Encoding: 7bit",),
            raw.replace(b"\n", b"\r\n"),
        )
    encoding, encoded = "quoted-printable", binascii.b2a_qp(raw).replace(b"\n", b"\r\n")
    if len(encoded) > len(raw) * 4 / 3 * (_LINE + 2) / _LINE:
        encoding, encoded = "base64", _base64(raw.replace(b"\n", b"\r\n"))
    return Entity(
        f"text/{subtype}; charset=utf-8", (f"Content-Transfer-Encoding: {encoding}",), encoded
    )


def _fits_as_it_is(raw: bytes) -> bool:
    """Also nothing that a server would change on the way: blanks at a line's end, "From " at its
    beginning (RFC 2049, 3)."""
    if not raw.isascii() or _BOUNDARY.encode() in raw or b"\0" in raw:
        return False
    lines = raw.split(b"\n")
    return all(
        len(line) <= _LINE and not line.endswith((b" ", b"\t")) and not line.startswith(b"From ")
        for line in lines
    )


def attachment(file_name: str, content_type: str, content: bytes, content_id: str | None) -> Entity:
    """A file; with a `content_id` one that is shown in its place in the HTML.

    A mail or multipart must not be encoded (RFC 2046, 5.2.1), and so could not be brought safely:
    it goes as mere octets. Raises `Invalid` on a type or content id that is none, and on control
    characters in the name.
    """
    if not _TYPE.fullmatch(content_type):
        raise Invalid(f"{content_type[:100]!r} is not a content type.")
    if _UNFIT_NAME.search(file_name):
        raise Invalid("A file's name has control characters in it.")
    if content_type.lower().startswith(("message/", "multipart/")):
        content_type = "application/octet-stream"
    disposition = "inline" if content_id else "attachment"
    fields = ["Content-Transfer-Encoding: base64"]
    fields.append(f"Content-Disposition: {disposition}" + _file_name(file_name))
    if content_id:
        if not _CONTENT_ID.fullmatch(content_id):
            raise Invalid(f"{content_id[:100]!r} is not a content id.")
        fields.append(f"Content-ID: <{content_id}>")
    named = f'{content_type};\r\n name="{_ascii_name(file_name)}"' if file_name else content_type
    return Entity(named, tuple(fields), _base64(content))


def _file_name(name: str) -> str:
    """The parameter `filename`: as RFC 2231 has it (in pieces, if it is long) where it must be."""
    if not name:
        return ""
    if _PLAIN_NAME.fullmatch(name):
        return f';\r\n filename="{name}"'
    pieces, current = [], "utf-8''"
    for character in name:
        encoded = quote(character, safe="")
        if len(current) + len(encoded) > 60:
            pieces.append(current)
            current = ""
        current += encoded
    pieces.append(current)
    if len(pieces) == 1:
        return f";\r\n filename*={pieces[0]}"
    return "".join(f";\r\n filename*{number}*={piece}" for number, piece in enumerate(pieces))


def _ascii_name(name: str) -> str:
    """For programs that know no RFC 2231; the ending tells them what to open it with."""
    fit = re.sub(r"[^ !#-\[\]-~]", "_", name)
    return fit if len(fit) <= 60 else fit[:50] + fit[-10:]


def joined(subtype: str, boundary: str, parts: Sequence[Entity]) -> Entity:
    """A multipart of these; no boundary of another is, or begins like, this one."""
    mark = _BOUNDARY + boundary
    kind = parts[0].content_type.partition(";")[0]
    related = f' type="{kind}";' if subtype == "related" else ""
    pieces = [b"--" + mark.encode() + b"\r\n" + part.encoded() for part in parts]
    content = b"\r\n".join([*pieces, b"--" + mark.encode() + b"--\r\n"])
    return Entity(f'multipart/{subtype};{related}\r\n boundary="{mark}"', (), content)


def _base64(raw: bytes) -> bytes:
    encoded = base64.b64encode(raw)
    return b"".join(
        encoded[start : start + _LINE] + b"\r\n" for start in range(0, len(encoded), _LINE)
    )
