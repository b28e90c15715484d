"""Reading a mail: any bytes to what its author meant, or `Invalid`, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from countersign.mail import (
    addresses,
    bodies,
    leaves,
    parameters,
    report,
    sealed,
    structure,
    words,
)
from countersign.mail.bodies import Said
from countersign.mail.leaves import Disposition, Leaf
from countersign.mail.model import Address, Mail, Part, Report
from countersign.mail.packed import Packed
from countersign.mail.structure import Fields, Structure
from countersign.platform.errors import Invalid

__all__ = [
    "MOST_BYTES",
    "MOST_TEXT",
    "Address",
    "Mail",
    "Part",
    "Report",
    "contents",
    "read",
]

MOST_BYTES = 40 * 1024 * 1024
"""Of a mail; SES takes no larger one."""

MOST_TEXT = 4 * 1024 * 1024
"""Bytes of one section of the body that are read; the raw mail has the rest."""

_LONGEST_SUBJECT = 2000
_LONGEST_LIST = 256 * 1024
_WRITTEN = frozenset(("subject", "from", "sender", "reply-to", "to", "cc"))


def read(raw: bytes) -> Mail:
    """The mail in `raw` (RFC 5322, MIME), as it comes from a provider or a file.

    What is wrong with it is mended and named in `defects`; nothing but `Invalid` is raised.
    """
    if not raw.strip():
        raise Invalid("The mail is empty.")
    if len(raw) > MOST_BYTES:
        raise Invalid(f"The mail has {len(raw)} bytes; at most {MOST_BYTES} are read.")
    found = structure.split(raw)
    if not found.entities[0].fields:
        raise Invalid("This is no mail: it does not begin with a header field (RFC 5322, 2.2).")
    return _Reader(found).mail()


def contents(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The index of each of `read(raw).parts`, and its decoded bytes, one after the other."""
    if raw.strip():
        for file in _Reader(structure.split(raw)).files():
            yield file.part.index, file.content


@dataclass(frozen=True)
class _File:
    part: Part
    content: bytes


class _Reader:
    """One mail, as far as it has been read."""

    def __init__(self, found: Structure) -> None:
        self.leaves = sealed.open_signed(found, most_bytes=2 * MOST_BYTES)
        self.structure = found
        self.sections = bodies.sections(found, self.leaves)
        self.in_body = {number for section in self.sections for number in section.leaves}
        self.defects = dict.fromkeys(found.defects)
        self.hints = self._charsets()
        self.said: dict[int, Said] = {}
        self.is_encrypted = False
        self.packed = Packed()  # what is not a part of its own: files inside others

    def mail(self) -> Mail:
        parts = tuple(file.part for file in self.files())
        body = bodies.join(self.sections, self.said)
        if not (body.text or body.html) and (self.packed.text or self.packed.html):
            body = bodies.Body(self.packed.text, self.packed.html)
        return Mail(
            message_id=next(iter(self._ids("message-id")), None),
            in_reply_to=self._ids("in-reply-to"),
            references=self._ids("references"),
            subject=words.text(self._first("subject"), self.hints)[:_LONGEST_SUBJECT],
            from_=self._addresses("from", most_fields=1),
            sender=self._addresses("sender", most_fields=1),
            reply_to=self._addresses("reply-to"),
            to=self._addresses("to"),
            cc=self._addresses("cc"),
            sent_at=self._date(),
            text=body.text,
            html=body.html,
            parts=parts,
            headers=report.headers(self._fields, self.hints),
            report=report.find(self.structure, self.leaves),
            is_encrypted=self.is_encrypted or sealed.is_armored(body.text or ""),
            defects=tuple(self.defects),
        )

    def files(self) -> Iterator[_File]:
        """The parts with their bytes, one after the other; the body is decoded on the way.

        Those inside others (winmail.dat, uuencoded ones in a text) come last.
        """
        for index, leaf in enumerate(self.leaves):
            raw, right = leaves.content(self.structure, leaf)
            if not right:
                self.defects["transfer-encoding"] = None
            if leaf.number in self.in_body:
                self._decode(leaf, raw)
            elif not (leaf.is_tnef and self.packed.take_tnef(raw)):
                if sealed.is_encrypted(self.structure, leaf, raw) and not self._has_said():
                    self.is_encrypted = True
                yield _File(self._part(index, leaf, len(raw)), raw)
        for index, file in enumerate(self.packed.files, start=len(self.leaves)):
            name = parameters.file_name(file.name)
            disposition: Disposition = "inline" if file.content_id else "attachment"
            size = len(file.content)
            part = Part(index, file.content_type, name, disposition, file.content_id, size)
            yield _File(part, file.content)

    def _has_said(self) -> bool:
        """Whether something is said before what is encrypted, which then is but a file."""
        return any(said.text.strip() for said in self.said.values())

    def _part(self, index: int, leaf: Leaf, size: int) -> Part:
        disposition = leaf.disposition or ("inline" if leaf.content_id else "attachment")
        return Part(index, leaf.content_type, leaf.file_name, disposition, leaf.content_id, size)

    def _decode(self, leaf: Leaf, raw: bytes) -> None:
        if leaf.kind == "text":
            raw = self.packed.take_uuencoded(raw)
        if len(raw) > MOST_TEXT:
            self.defects["long-text"] = None
        text, right = leaves.text(self.structure, leaf, raw[:MOST_TEXT], self.hints)
        if not right:
            self.defects["charset"] = None
        self.said[leaf.number] = Said(text, leaf.kind == "html")

    def _charsets(self) -> list[str | None]:
        """What raw 8-bit characters that name no charset are likely to be: what a text of the mail
        is, or an encoded word in its header."""
        texts = (
            parameters.token(e.parameters.get("charset")) for e in self.structure.entities[:10]
        )
        header = [value[:1000] for name, value in self._fields if name in _WRITTEN]
        said = words.charsets_of(b" ".join(header[:10]))
        return list(dict.fromkeys([*(one for one in texts if one), *said[:10]]))

    @property
    def _fields(self) -> Fields:
        return self.structure.entities[0].fields

    def _first(self, name: str) -> bytes:
        """The first field of that name that says something; of others it is said that they are."""
        values = [value for known, value in self._fields if known == name]
        if len(values) > 1:
            self.defects[f"several-{name}"] = None
        return next((value for value in values if value.strip()), b"")

    def _ids(self, name: str) -> tuple[str, ...]:
        return words.ids(words.eight_bit(self._first(name)))

    def _date(self) -> datetime | None:
        written = self._first("date")
        found = words.date(words.text(written[:1000]))
        if found is None:
            self.defects["date" if written else "no-date"] = None
        return found

    def _addresses(self, name: str, most_fields: int = 100) -> tuple[Address, ...]:
        """The addresses of the fields of that name: senders of the first, recipients of all."""
        values = [value for known, value in self._fields if known == name and value.strip()]
        if len(values) > 1:
            self.defects[f"several-{name}"] = None
        made: list[Address] = []
        left = _LONGEST_LIST
        for value in values[:most_fields]:
            made += addresses.parse(words.eight_bit(value[:left], self.hints))
            left -= len(value)
            if left <= 0:
                self.defects[f"long-{name}"] = None
                break
        return tuple(dict.fromkeys(made))[: addresses.MOST]
