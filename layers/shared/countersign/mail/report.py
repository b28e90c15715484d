"""What a multipart/report says (RFC 6522): of delivery (3464), reading (8098), abuse (5965)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from countersign.mail import leaves, parameters, structure, words
from countersign.mail.leaves import Leaf
from countersign.mail.model import Report
from countersign.mail.structure import Structure

MOST_HEADERS = 1000
"""Fields of a mail that are given out."""

LONGEST_HEADER = 16_384
"""Characters of a field's value that are given out."""

_MOST_GROUPS = 1000
_LONGEST_STATUS = 1024 * 1024
_TYPES = {
    "message/delivery-status": "delivery-status",
    "message/global-delivery-status": "delivery-status",
    "message/disposition-notification": "disposition-notification",
    "message/global-disposition-notification": "disposition-notification",
    "message/feedback-report": "feedback-report",
}
_ORIGINALS = frozenset(
    {
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "message/rfc822-headers",
        "message/global-headers",
    }
)
_EMPTY_LINES = re.compile(rb"(?:\r*\n[ \t]*){2,}")


def find(found: Structure, known: Iterable[Leaf]) -> Report | None:
    """The report in a mail: of a multipart/report, or of a part that can be nothing else."""
    status: Leaf | None = None
    original: Leaf | None = None
    for leaf in known:
        if leaf.content_type in _TYPES and status is None:
            status = leaf
        elif leaf.content_type in _ORIGINALS:
            original = original or leaf
    declared = _declared(found)
    if declared is None and status is None:
        return None
    return Report(
        declared or (_TYPES[status.content_type] if status else ""),
        _groups(leaves.content(found, status)[0]) if status else (),
        headers(structure.fields(leaves.content(found, original)[0])[0]) if original else {},
    )


def _declared(found: Structure) -> str | None:
    for entity in found.entities:
        if entity.content_type == "multipart/report":
            return parameters.token(parameters.text(entity.parameters, "report-type")).lower()
    return None


def _groups(raw: bytes) -> tuple[Mapping[str, str], ...]:
    """Groups of fields with empty lines between them (RFC 3464, 2.1)."""
    groups: list[Mapping[str, str]] = []
    for block in _EMPTY_LINES.split(raw[:_LONGEST_STATUS].strip())[:_MOST_GROUPS]:
        group: dict[str, str] = {}
        for name, value in structure.fields(block)[0]:
            group.setdefault(name, words.text(value)[:LONGEST_HEADER])
        if group:
            groups.append(group)
    return tuple(groups)


def headers(
    found: structure.Fields, hints: Iterable[str | None] = ()
) -> Mapping[str, tuple[str, ...]]:
    """Fields as they are given out: decoded, at most so many, none too long."""
    made: dict[str, list[str]] = {}
    for name, value in found[:MOST_HEADERS]:
        made.setdefault(name, []).append(words.text(value[: 4 * LONGEST_HEADER], hints))
    return {
        name: tuple(value[:LONGEST_HEADER] for value in values) for name, values in made.items()
    }
