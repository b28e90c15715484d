"""What a mail is once it has been read: values without bytes, the same for every room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


def first_and_newest(ids: Sequence[str], most: int) -> list[str]:
    """Of a thread's message ids at most so many: the one that began it, and the newest."""
    return list(ids) if len(ids) <= most else [ids[0], *ids[1 - most :]]


@dataclass(frozen=True)
class Address:
    """A mailbox (RFC 5322, 3.4): its display name, or '', and its address as written."""

    name: str
    address: str


@dataclass(frozen=True)
class Part:
    """A part of a mail that is not its body: an attachment, an inline image, a calendar, a mail."""

    index: int
    """Place among the leaf parts in document order, stable for the same bytes."""
    content_type: str
    file_name: str | None
    disposition: Literal["inline", "attachment"]
    content_id: str | None
    """Without its angle brackets."""
    size: int
    """Bytes, decoded."""


@dataclass(frozen=True)
class Report:
    """What a multipart/report (RFC 6522) says besides its text."""

    report_type: str
    """`delivery-status` (RFC 3464), `disposition-notification` (RFC 8098), `feedback-report`
    (RFC 5965), or what else the mail says; lower-case."""
    status: tuple[Mapping[str, str], ...] = ()
    """Groups of fields, names in lower case: of a delivery report the message's own first, then
    one for each recipient."""
    original: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Headers of the mail that is reported on, as in `Mail.headers`, as far as they came along."""


@dataclass(frozen=True)
class Mail:
    """One mail. Message ids stand without angle brackets, and lists of them in order."""

    message_id: str | None = None
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    subject: str = ""
    from_: tuple[Address, ...] = ()
    sender: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    sent_at: datetime | None = None
    """Aware; None where the mail does not say, or says nonsense."""
    text: str | None = None
    """The whole body as plain text, its sections joined; None where one of them is HTML alone."""
    html: str | None = None
    """The whole body as HTML, as unsafe as it came, plain parts among it; None if all are plain."""
    parts: tuple[Part, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Decoded values in order by lower-case name, capped in count and length."""
    report: Report | None = None
    is_encrypted: bool = False
    """Nobody reads what it says without a key."""
    defects: tuple[str, ...] = ()
    """Short names of what was wrong and has been mended."""
