"""Word documents to Markdown, by way of HTML."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from countersign.knowledge.parsing import Text, Unreadable, html

_MOST_PARTS = 10_000
_MOST_XML = 16 * 1024 * 1024
"""Of all parts together, unpacked."""
_MOST_NODES = 500_000
"""Elements, and attributes by twos: mammoth takes 1 KB and 70 µs for each. 300 pages of Word have
150,000 to 300,000."""
_LONGEST_NAME = 255
"""Of a style, in Word."""
# [ECMA-376-2, B.2]: zipfile unpacks what is packed otherwise at one go, however large it is.
_PACKED_BY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def text(content: bytes) -> Text:
    """What a Word document says. Raises `Unreadable`."""
    try:
        _check(content)
        return html.of_markup(_markup(content))
    except Unreadable:
        raise
    # What a broken file does to it is any exception: ExpatError, KeyError, BadZipFile, …
    except Exception as error:
        fault = type(error).__name__
        raise Unreadable("corrupt", f"The file is no whole Word document ({fault}).") from error


def _markup(content: bytes) -> str:
    import mammoth

    converted = mammoth.convert_to_html(
        io.BytesIO(content),
        # Pictures have no text, and would be written into the HTML.
        convert_image=mammoth.images.img_element(lambda image: {"src": ""}),
        # A document's own rules may make anything of anything.
        include_embedded_style_map=False,
        transform_document=_without_copies,
    )
    return str(converted.value)


def _without_copies(document: Any) -> Any:
    """A mammoth document, changed so that nothing of it is written more than once: a link's address
    for each run of it, a style's name or a note for each mention."""
    notes = {(note.note_type, note.note_id): note.body for note in document.notes._notes.values()}
    left = [document, *(element for body in notes.values() for element in body)]
    seen: set[tuple[str, str]] = set()
    while left:
        element = left.pop()
        if hasattr(element, "href"):
            element.href, element.anchor = "", None
        if getattr(element, "style_name", None):
            element.style_name = element.style_name[:_LONGEST_NAME]
        if getattr(element, "children", None):
            element.children = [child for child in element.children if _is_new(child, seen)]
            left += element.children
    return document


def _is_new(element: Any, seen: set[tuple[str, str]]) -> bool:
    """Whether it is anything but the mention of a note that was seen."""
    if not hasattr(element, "note_type"):
        return True
    mention = element.note_type, element.note_id
    is_new = mention not in seen
    seen.add(mention)
    return is_new


def _check(content: bytes) -> None:
    """Refuse what is no Word document, and what mammoth would take too much to read."""
    # Each name in the archive's directory becomes an object: before that is read.
    if content.count(b"PK\x01\x02") > _MOST_PARTS:
        raise Unreadable("too_large", f"The archive has more than {_MOST_PARTS} parts.")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile:
        # An encrypted one is no archive at all: [MS-OFFCRYPTO] puts it into an OLE file.
        if content.startswith(b"\xd0\xcf\x11\xe0"):
            raise Unreadable(
                "encrypted", "The document has a password, or is of an old Word; save it as .docx."
            ) from None
        raise Unreadable("corrupt", "The file is no Word document (.docx).") from None
    parts = archive.infolist()
    if any(part.compress_type not in _PACKED_BY for part in parts):
        raise Unreadable("corrupt", "The archive is packed as no Word document is.")
    if "[Content_Types].xml" not in {part.filename for part in parts}:
        raise Unreadable("corrupt", "The archive holds no Word document (.docx).")
    size = nodes = 0
    for part in parts:
        xml = _xml(archive, part)
        size += len(xml)
        nodes += xml.count(b"<") - xml.count(b"</") + xml.count(b"=") // 2
        if size > _MOST_XML or nodes > _MOST_NODES:
            raise Unreadable(
                "too_large",
                f"The document unpacks to more than {_MOST_XML} bytes of XML or {_MOST_NODES}"
                " elements; split it, or send it as PDF or text.",
            )
        # [ECMA-376-2, 8.2.5] forbids what defines entities: a few lines of those become anything.
        if b"<!DOCTYPE" in xml:
            raise Unreadable("corrupt", "A part of the document has a DOCTYPE, which none may.")


def _xml(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    """As much of a part as is looked at, if mammoth would read it as XML, whatever it is called;
    else nothing: pictures may be large."""
    with archive.open(part) as file:
        begun = _plain(file.read(1024))
        if begun.lstrip(b"\xef\xbb\xbf\xfe\xff \t\r\n")[:1] not in (b"<", b""):
            return b""
        return begun + _plain(file.read(_MOST_XML + 1))


def _plain(xml: bytes) -> bytes:
    # Of UTF-16 the signs that count are those of ASCII.
    return xml.replace(b"\0", b"")
