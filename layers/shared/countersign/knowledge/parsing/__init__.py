"""Files to texts. It must not know where a file came from, nor what becomes of its text.

Each kind's library is loaded when the first file of that kind comes, and is in the function that
indexes alone. Files are strangers': what cannot be read is `Unreadable`, with a reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message

from countersign.platform.errors import CountersignError

MARKDOWN = "text/markdown"
PLAIN = "text/plain"
HTML = "text/html"
CSV = "text/csv"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
KINDS = (MARKDOWN, PLAIN, HTML, CSV, PDF, DOCX)
MOST_CHARACTERS = 64 * 1024 * 1024
"""Of the text of one file."""
_ALIASES = {"text/x-markdown": MARKDOWN, "application/xhtml+xml": HTML}
_UNKNOWN = ("", "application/octet-stream", "binary/octet-stream")
# Postgres stores no NUL, and UTF-8 no lone surrogates.
_UNFIT = re.compile("[\0\ud800-\udfff]")


class Unreadable(CountersignError):
    """A file cannot be read, however often it is tried.

    `reason` is `binary`, `charset`, `corrupt`, `empty`, `encrypted`, `not_pairs`, `too_large` or
    `unsupported`; the detail says what to do.
    """

    code = "unreadable"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Text:
    """What a file says: Markdown or plain text, and its own title if it has one."""

    content: str
    content_type: str
    title: str | None = None


def parse(content: bytes, content_type: str) -> Text:
    """The text of a file; `content_type` as it came, with parameters. Raises `Unreadable`."""
    if not content:
        raise Unreadable("empty", "The file has no bytes.")
    kind, charset = read_type(content_type)
    read = _parse(content, kind if kind not in _UNKNOWN else _guessed(content), charset)
    text = _UNFIT.sub("�", read.content)
    if not text.strip():
        raise Unreadable(
            "empty", "The file has no text; if it is scanned, run text recognition on it first."
        )
    if len(text) > MOST_CHARACTERS:
        raise Unreadable("too_large", f"The text has more than {MOST_CHARACTERS} characters.")
    return Text(text, read.content_type, read.title)


def read_type(content_type: str) -> tuple[str, str | None]:
    """The kind that a content type names, and its charset. RFC 9110, 8.3.1."""
    header = Message()
    header["content-type"] = content_type.replace("\r", " ").replace("\n", " ")
    kind = content_type.partition(";")[0].strip().lower()
    return _ALIASES.get(kind, kind), header.get_content_charset()


def _guessed(content: bytes) -> str:
    if content.startswith(b"%PDF-"):
        return PDF
    return DOCX if content.startswith(b"PK\x03\x04") else PLAIN


def _parse(content: bytes, kind: str, charset: str | None) -> Text:
    if kind == PDF:
        from countersign.knowledge.parsing import pdf

        return Text(pdf.text(content), PLAIN, None)
    if kind == DOCX:
        from countersign.knowledge.parsing import docx

        return docx.text(content)
    if kind == HTML:
        from countersign.knowledge.parsing import html

        return html.text(content, charset)
    from countersign.knowledge.parsing import plain

    if kind == CSV:
        return Text(plain.pairs(plain.decoded(content, charset)), MARKDOWN)
    if kind in (MARKDOWN, PLAIN):
        return Text(plain.decoded(content, charset), kind)
    raise Unreadable("unsupported", f"Files of this type are not read; send one of {KINDS}.")
