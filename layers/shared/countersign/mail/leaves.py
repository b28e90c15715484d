"""What each part of a mail that holds no other parts is: its type, its name, its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from countersign.mail import charsets, flowed, parameters, transfer, words
from countersign.mail.structure import Entity, Structure

Disposition = Literal["inline", "attachment"]

_META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
# Texts that are data, or another program's version of the body.
_DATA_TYPES = """
        text/calendar text/x-calendar text/x-vcalendar text/vcard text/x-vcard text/directory
    text/csv text/tab-separated-values text/xml text/rtf text/css text/javascript text/x-amp-html
    text/rfc822-headers text/watch-html text/x-moz-deleted text/x-patch text/x-diff
"""
_NOT_SAID = frozenset(_DATA_TYPES.split())
_CMS = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_TNEF = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})


@dataclass(frozen=True)
class Leaf:
    """A leaf's header, understood."""

    number: int
    """In `Structure.entities`."""
    content_type: str
    file_name: str | None
    disposition: Disposition | None
    """As declared; a value that is neither is taken as attachment (RFC 2183, 2.8)."""
    content_id: str | None
    kind: Literal["text", "html"] | None
    """How it reads as (a section of) a body; None where it cannot be one."""

    @property
    def is_tnef(self) -> bool:
        """Outlook's container of a body and attachments."""
        name = (self.file_name or "").lower()
        return self.content_type in _TNEF or name in ("winmail.dat", "win.dat")

    @property
    def is_cms(self) -> bool:
        """A message that is signed, encrypted or both; some gateways forget its type."""
        return self.content_type in _CMS or (self.file_name or "").lower().endswith(".p7m")


def find(structure: Structure) -> list[Leaf]:
    """The leaves in document order."""
    return [
        _leaf(entity, number)
        for number, entity in enumerate(structure.entities)
        if not entity.content_type.startswith("multipart/")
    ]


def _leaf(entity: Entity, number: int) -> Leaf:
    written = entity.value("content-disposition")
    declared, extra = parameters.parse(written) if written else ("", {})
    name = parameters.text(extra, "filename") or parameters.text(extra, "name")
    name = name or parameters.text(entity.parameters, "name")
    name = name or parameters.text(entity.parameters, "filename")
    disposition: Disposition | None = None
    if declared.strip("\"'"):
        word = declared.strip("\"'").split()[0]
        disposition = "inline" if word == "inline" else "attachment"
    content_type = entity.content_type
    if name and disposition == "attachment" and not entity.value("content-type"):
        content_type = "application/octet-stream"
    ids = words.ids(words.eight_bit(entity.value("content-id")))
    return Leaf(
        number,
        content_type,
        parameters.file_name(name),
        disposition,
        ids[0] if ids else _bare_id(entity),
        _kind(content_type),
    )


def _bare_id(entity: Entity) -> str | None:
    """Some content ids have neither <> nor @."""
    found = words.text(entity.value("content-id")[:1000]).strip("<> ")
    return found or None


def _kind(content_type: str) -> Literal["text", "html"] | None:
    if content_type in ("text/html", "application/xhtml+xml"):
        return "html"
    if not content_type.startswith("text/") or content_type in _NOT_SAID:
        return None
    return "text"


def content(structure: Structure, leaf: Leaf) -> tuple[bytes, bool]:
    """A leaf's decoded bytes, and whether they were encoded as declared."""
    entity = structure.entities[leaf.number]
    encoded = structure.raw[entity.start : entity.end]
    encoding = parameters.token(entity.value("content-transfer-encoding").decode("latin-1").strip())
    is_text = leaf.kind is not None or leaf.content_type.startswith("message/")
    return transfer.decode(encoded, encoding, is_text)


def text(
    structure: Structure, leaf: Leaf, raw: bytes, hints: Iterable[str | None]
) -> tuple[str, bool]:
    """A body's text of its decoded bytes, with \\n, and whether its charset was as declared.

    `hints` are charsets that are named elsewhere in the mail.
    """
    found = structure.entities[leaf.number].parameters
    charset = parameters.token(parameters.text(found, "charset"))
    meta = _META.search(raw[:4096]) if leaf.kind == "html" else None
    own = meta[1].decode("ascii") if meta else None
    decoded, right = charsets.decode(raw, charset or own, [own, *hints])
    decoded = decoded.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")
    if (
        leaf.content_type == "text/plain"
        and parameters.token(found.get("format")).lower() == "flowed"
    ):
        decoded = flowed.unfold(decoded, parameters.token(found.get("delsp")).lower() == "yes")
    elif leaf.content_type in ("text/enriched", "text/richtext"):
        decoded = flowed.plain(decoded)
    return decoded, right
