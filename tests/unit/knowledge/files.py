"""Files as strangers send them, made here."""

from __future__ import annotations

import io
import zipfile
import zlib

from pypdf import PdfReader, PdfWriter

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "application/vnd.openxmlformats"
_CONTENT_TYPES = (
    f'<?xml version="1.0"?><Types xmlns="{_PACKAGE}/content-types">'
    f'<Default Extension="rels" ContentType="{_OFFICE}-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml"'
    f' ContentType="{_OFFICE}-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0"?><Relationships'
    ' xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1"'
    ' Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"'
    ' Target="word/document.xml"/></Relationships>'
)
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx(*paragraphs: tuple[str, str]) -> bytes:
    """A Word document of paragraphs: each a style, such as `Heading1` or "", and a text."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    return archive(
        '<?xml version="1.0"?><w:document'
        ' xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        f"<w:body>{body}</w:body></w:document>"
    )


def archive(
    document: str | bytes,
    name: str = "word/document.xml",
    packed_by: int = zipfile.ZIP_DEFLATED,
    **others: str | bytes,
) -> bytes:
    """A Word document whose main part is `document`, with `others` in `word/`, `.` as `_`."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packed_by) as parts:
        parts.writestr("[Content_Types].xml", _CONTENT_TYPES)
        parts.writestr("_rels/.rels", _RELATIONS.replace("word/document.xml", name))
        parts.writestr(name, document)
        for other, content in others.items():
            parts.writestr(f"word/{other.replace('_', '.')}", content)
    return made.getvalue()


def body(markup: str) -> str:
    """A main part of Word's."""
    return f"<w:document {WORD}><w:body>{markup}</w:body></w:document>"


def pdf(*pages: list[str]) -> bytes:
    """A PDF of pages of lines, in the letters of PDFDocEncoding. ISO 32000-1, 7.5."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, lines in enumerate(pages):
        shown = "".join(f"0 -14 Td ({line}) Tj\n" for line in lines)
        packed = zlib.compress(f"BT /F1 10 Tf 50 780 Td\n{shown}ET".encode())
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842]"
            b" /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (5 + 2 * number)
        )
        head = b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed)
        objects.append(head + packed + b"\nendstream")
    return _assembled(objects)


def _assembled(objects: list[bytes]) -> bytes:
    made, offsets = io.BytesIO(), []
    made.write(b"%PDF-1.4\n")
    for number, one in enumerate(objects, 1):
        offsets.append(made.tell())
        made.write(b"%d 0 obj\n%b\nendobj\n" % (number, one))
    table, count = made.tell(), len(objects) + 1
    made.write(b"xref\n0 %d\n0000000000 65535 f \n" % count)
    made.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    made.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (count, table))
    return made.getvalue()


def locked_pdf(password: str, lines: list[str]) -> bytes:
    """A PDF that opens with a password: with "", it is locked against changes alone."""
    writer = PdfWriter(PdfReader(io.BytesIO(pdf(lines))))
    writer.encrypt(password, "owner", algorithm="AES-256")
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()
