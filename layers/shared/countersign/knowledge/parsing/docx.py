"""Word documents to Markdown, by way of HTML."""

from __future__ import annotations

import io
import zipfile

from countersign.knowledge.parsing import Text, Unreadable, html

_DOCUMENT = "word/document.xml"
_MOST_XML = 12 * 1024 * 1024
"""Of one part, unpacked: in memory it becomes forty times as large."""


def text(content: bytes) -> Text:
    """What a Word document says. Raises `Unreadable`."""
    _check(content)
    import mammoth

    try:
        # Pictures have no text, and would be written into the HTML.
        without = mammoth.images.img_element(lambda image: {"src": ""})
        return html.of_markup(
            mammoth.convert_to_html(io.BytesIO(content), convert_image=without).value
        )
    except Unreadable:
        raise
    # What a broken file does to it is any exception: ExpatError, KeyError, BadZipFile, …
    except Exception as error:
        fault = type(error).__name__
        raise Unreadable("corrupt", f"The file is no whole Word document ({fault}).") from error


def _check(content: bytes) -> None:
    """Look at what the archive says of its parts; what lies is refused when it is unpacked."""
    try:
        parts = zipfile.ZipFile(io.BytesIO(content)).infolist()
    except zipfile.BadZipFile:
        # An encrypted one is no archive at all: [MS-OFFCRYPTO] puts it into an OLE file.
        if content.startswith(b"\xd0\xcf\x11\xe0"):
            raise Unreadable(
                "encrypted", "The document has a password, or is of an old Word; save it as .docx."
            ) from None
        raise Unreadable("corrupt", "The file is no Word document (.docx).") from None
    if _DOCUMENT not in {part.filename for part in parts}:
        raise Unreadable("corrupt", "The archive holds no Word document (.docx).")
    if any(
        part.file_size > _MOST_XML for part in parts if part.filename.endswith((".xml", ".rels"))
    ):
        raise Unreadable(
            "too_large", f"A part of the document unpacks to more than {_MOST_XML} bytes."
        )
