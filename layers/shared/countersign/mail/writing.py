"""A mail as bytes: RFC 5322 headers, MIME, in lines that any server takes.

The standard library's generator is not used: ids in References that are longer than a line become
encoded words there, which no client reads back, so that the thread is torn (CPython 3.11 to 3.13).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime

from countersign.mail.bodywriting import Entity, attachment, body, joined
from countersign.mail.fieldwriting import addresses, ascii_address, ids, one_id, plain, unstructured
from countersign.mail.model import Address
from countersign.platform.errors import Invalid

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,49}")
# Written here alone, or by the servers on the way.
_OURS = frozenset(
    (
        "bcc",
        "cc",
        "date",
        "dkim-signature",
        "from",
        "in-reply-to",
        "message-id",
        "mime-version",
        "received",
        "references",
        "reply-to",
        "return-path",
        "sender",
        "subject",
        "to",
    )
)


@dataclass(frozen=True)
class File:
    """What a mail brings along. With a `content_id` it is in the HTML, as `cid:{content_id}`."""

    file_name: str
    content_type: str
    content: bytes = field(repr=False)
    content_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A mail to be written. Message ids stand without angle brackets."""

    message_id: str
    sent_at: datetime
    from_: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str
    text: str = field(repr=False)
    html: str | None = field(default=None, repr=False)
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[File, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """The envelope's recipients, each once, as they go over the wire. Raises `Invalid`."""
        found: dict[str, str] = {}
        for one in (*self.to, *self.cc):
            address = ascii_address(one.address)
            found.setdefault(address.lower(), address)
        return tuple(found.values())

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address has characters that only SMTPUTF8 brings (RFC 6531)."""
        everyone = (self.from_, *self.to, *self.cc, *self.reply_to)
        return any(not one.address.rpartition("@")[0].isascii() for one in everyone)


def write(letter: Letter) -> bytes:
    """The mail, lines ended by CRLF and at most 998 octets long (RFC 5322, 2.1.1).

    All of it is ASCII, but for addresses that need SMTPUTF8. Bcc is the envelope's alone. Raises
    `Invalid` on an address that is none, on a line break or U+0000 in a header, on a header that is
    not the caller's to write, and where there is nobody to write to.
    """
    if not letter.to:
        raise Invalid("The mail has no recipient.")
    if letter.sent_at.utcoffset() is None:
        raise Invalid("The mail's date has no time zone.")
    fields = [
        "Date: " + format_datetime(letter.sent_at),
        addresses("From", (letter.from_,)),
        *(addresses("Reply-To", letter.reply_to) for _ in letter.reply_to[:1]),
        addresses("To", letter.to),
        *(addresses("Cc", letter.cc) for _ in letter.cc[:1]),
        unstructured("Subject", letter.subject),
        one_id("Message-ID", letter.message_id),
        *ids("In-Reply-To", (letter.in_reply_to,) if letter.in_reply_to else ()),
        *ids("References", letter.references),
        *(_header(name, value) for name, value in letter.headers.items()),
        "MIME-Version: 1.0",
    ]
    head = "\r\n".join(fields).encode()
    return head + b"\r\n" + _entity(letter).encoded()


def _header(name: str, value: str) -> str:
    if not _NAME.fullmatch(name) or name.lower() in _OURS or name.lower().startswith("content-"):
        raise Invalid(f"The header {name[:50]!r} is not one to be given.")
    return plain(name, value)


def _entity(letter: Letter) -> Entity:
    """`mixed(related(alternative(text, html), inline…), attachments…)`, of it what is needed."""
    seed = hashlib.sha256(letter.message_id.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    inline = [one for one in letter.attachments if one.content_id and letter.html is not None]
    others = [one for one in letter.attachments if one not in inline]
    made = body("plain", letter.text)
    if letter.html is not None:
        made = joined("alternative", f"{seed}-a", [made, body("html", letter.html)])
    if inline:
        parts = [made, *(_attached(one, is_inline=True) for one in inline)]
        made = joined("related", f"{seed}-r", parts)
    if others:
        parts = [made, *(_attached(one, is_inline=False) for one in others)]
        made = joined("mixed", f"{seed}-m", parts)
    return made


def _attached(file: File, *, is_inline: bool) -> Entity:
    content_id = file.content_id if is_inline else None
    return attachment(file.file_name, file.content_type, file.content, content_id)
