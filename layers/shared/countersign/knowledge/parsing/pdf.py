"""The text of PDF files, page by page."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

from countersign.knowledge.parsing import MOST_CHARACTERS, Unreadable

if TYPE_CHECKING:
    from pypdf import PdfReader

_MOST_PAGES = 10_000


def text(content: bytes) -> str:
    """The text of all pages, an empty line between them. Raises `Unreadable`."""
    # It tells of each small fault of each file.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        return "\n\n".join(_pages(_opened(content)))
    except Unreadable:
        raise
    # What a broken file does to it is any exception: KeyError, RecursionError, zlib.error, …
    except Exception as error:
        fault = type(error).__name__
        raise Unreadable("corrupt", f"The file is no whole PDF ({fault}).") from error


def _opened(content: bytes) -> PdfReader:
    from pypdf import PasswordType, PdfReader

    reader = PdfReader(io.BytesIO(content))
    # Many are locked against changes alone, and open without a password.
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise Unreadable("encrypted", "The PDF asks for a password; send it without one.")
    return reader


def _pages(reader: PdfReader) -> list[str]:
    if len(reader.pages) > _MOST_PAGES:
        raise Unreadable("too_large", f"The PDF has more than {_MOST_PAGES} pages.")
    pages, characters = [], 0
    for page in reader.pages:
        pages.append(page.extract_text().strip())
        characters += len(pages[-1])
        if characters > MOST_CHARACTERS:
            raise Unreadable("too_large", f"The text has more than {MOST_CHARACTERS} characters.")
    return pages
