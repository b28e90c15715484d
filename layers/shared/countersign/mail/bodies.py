"""Which parts of a mail are what its author said (RFC 2046, 5.1; 2387; 1847; 6522)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from countersign.mail import parameters, words
from countersign.mail.leaves import Leaf
from countersign.mail.structure import Entity, Structure

Number = int
"""Of a leaf, in `Structure.entities`."""

_COMPARED = 200_000
_MOST_CHANCE = 12
_TAG = re.compile(r"<[^<>]{0,5000}>")
_LETTER = re.compile(r"\w+")


@dataclass(frozen=True)
class Said:
    """A leaf of the body, decoded."""

    text: str
    is_html: bool


@dataclass(frozen=True)
class Section:
    """One stretch of a body: the leaves that say it in plain text, and in HTML."""

    text: tuple[Number, ...] | None
    """None where it is said in HTML alone."""
    html: tuple[Number, ...] | None
    """Leaves of plain text may stand among them; None where none of them is HTML."""

    @property
    def leaves(self) -> tuple[Number, ...]:
        return (*(self.text or ()), *(self.html or ()))


def sections(structure: Structure, leaves: Iterable[Leaf]) -> list[Section]:
    """The sections of a mail's body, in order.

    A text with a file name is a file, unless it is one of several versions of a body, or there is
    nothing else that could be the body. A mail that is one text without a name is said by it.
    """
    texts = {leaf.number: leaf for leaf in leaves if leaf.kind}
    if 0 in texts and not texts[0].file_name:
        return _sections(structure, texts)
    inline = {number: leaf for number, leaf in texts.items() if leaf.disposition != "attachment"}
    unnamed = {
        number: leaf
        for number, leaf in inline.items()
        if not leaf.file_name or _is_version(structure, number)
    }
    return _sections(structure, unnamed) or _sections(structure, inline)[:1]


def _is_version(structure: Structure, number: Number) -> bool:
    parent = structure.entities[structure.entities[number].parent]
    return parent.content_type == "multipart/alternative"


def _sections(structure: Structure, said: dict[Number, Leaf]) -> list[Section]:
    """From the last entity to the first, so that each comes after what it holds."""
    made: dict[Number, list[Section]] = {}
    for number in range(len(structure.entities) - 1, -1, -1):
        entity = structure.entities[number]
        if leaf := said.get(number):
            only = (number,)
            section = Section(None, only) if leaf.kind == "html" else Section(only, None)
            made[number] = [section]
        elif entity.children:
            inner = {child: made.pop(child) for child in entity.children if child in made}
            if held := _held(structure, entity, inner):
                made[number] = held
    return made.get(0, [])


def _held(
    structure: Structure, entity: Entity, inner: dict[Number, list[Section]]
) -> list[Section]:
    """What a multipart says, by what each of its children says."""
    if not inner or entity.content_type == "multipart/encrypted":
        return []
    if entity.content_type == "multipart/alternative":
        return _alternative(list(inner.values()))
    if entity.content_type in ("multipart/related", "multipart/signed", "multipart/report"):
        root = _root(structure, entity)
        if root in inner:
            return inner[root]
    if len(inner) == 1:
        return next(iter(inner.values()))
    return [section for held in inner.values() for section in held]


def _root(structure: Structure, entity: Entity) -> Number:
    """The part that the others belong to: the one named `start` (RFC 2387, 3.2), or the first."""
    start = words.ids(parameters.text(entity.parameters, "start") or "")
    for child in entity.children if start else ():
        written = structure.entities[child].value("content-id")
        if words.ids(words.eight_bit(written)) == start:
            return child
    return entity.children[0]


def _alternative(inner: list[list[Section]]) -> list[Section]:
    """The plainest that says all of it, and the last HTML, which is the richest (5.1.4)."""
    plain = next((held for held in inner if all(one.text is not None for one in held)), None)
    rich = next((held for held in reversed(inner) if any(one.html for one in held)), None)
    if plain is None or rich is None or plain is rich:
        return rich or plain or []
    text = tuple(number for one in plain for number in one.text or ())
    return [Section(text, tuple(number for one in rich for number in one.html or one.text or ()))]


@dataclass(frozen=True)
class Body:
    """The whole body, each way; see `model.Mail`."""

    text: str | None
    html: str | None


def join(found: Iterable[Section], said: Mapping[Number, Said]) -> Body:
    """The body that sections make. Blank sections count for nothing."""
    kept = _paired([one for one in (_filled(section, said) for section in found) if one], said)
    if not kept:
        return Body("" if said else None, None)
    complete = all(section.text is not None for section in kept)
    rich = any(section.html is not None for section in kept)
    return Body(
        _lines(said[n].text for section in kept for n in section.text or ()) if complete else None,
        _lines(_as_html(said[n]) for section in kept for n in section.html or section.text or ())
        if rich
        else None,
    )


def _filled(section: Section, said: Mapping[Number, Said]) -> Section | None:
    def filled(numbers: tuple[Number, ...] | None) -> tuple[Number, ...] | None:
        return tuple(n for n in numbers or () if said[n].text.strip()) or None

    made = Section(filled(section.text), filled(section.html))
    return made if made.leaves else None


def _paired(found: list[Section], said: Mapping[Number, Said]) -> list[Section]:
    """A plain section and an HTML one that says the same are one: some mailers call them mixed."""
    made: list[Section] = []
    for section in found:
        last = made[-1] if made else None
        if last and last.text and not last.html and section.html and not section.text:
            plain = _letters(_lines(said[n].text for n in last.text))
            rich = _letters(_TAG.sub(" ", _lines(_as_html(said[n]) for n in section.html)))
            if len(plain) >= _MOST_CHANCE and plain in rich:
                made[-1] = Section(last.text, section.html)
                continue
        made.append(section)
    return made


def _letters(text: str) -> str:
    return "".join(_LETTER.findall(html.unescape(text[:_COMPARED]))).lower()


def _lines(texts: Iterable[str]) -> str:
    """Texts one after the other, each beginning a line."""
    made = list(texts)
    return "".join(text if text.endswith("\n") else f"{text}\n" for text in made[:-1]) + made[-1]


def _as_html(said: Said) -> str:
    if said.is_html:
        return said.text
    return "<div>" + html.escape(said.text.strip("\n")).replace("\n", "<br>\n") + "</div>"
