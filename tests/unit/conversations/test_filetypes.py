"""What files are, whatever they are called."""

from __future__ import annotations

import io
import zipfile

import pytest

from countersign.conversations.filetypes import named, sniff

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1" + bytes(20)
WEBP = b"RIFF\x24\0\0\0WEBPVP8 " + bytes(20)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(20)
OGG = b"OggS\0\2" + bytes(20) + b"\x01\x1eOpusHead"
AMR = b"#!AMR\n" + bytes(20)
EXE = b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff" + bytes(46) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0"
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def archive(*names: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return written.getvalue()


WORKBOOK = archive("[Content_Types].xml", "xl/workbook.xml")


@pytest.mark.parametrize(
    ("content", "declared"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (WEBP, "image/webp"),
        (PDF, "application/pdf"),
        (MP4, "video/mp4"),
        (OGG, "application/ogg"),
        (archive("[Content_Types].xml", "word/document.xml"), DOCX),
        (archive("a.txt"), "application/zip"),
        (b"Hello", "text/plain"),
        (b"a,b\n1,2\n", "text/csv"),
        (b"BM order 12", "text/plain"),
        (b"MZ is my name", "text/plain"),
        (b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n", "text/calendar"),
        (b"", "text/plain"),
        (b"\x01\x02anything", "application/x-of-their-own"),
    ],
)
def test_what_it_may_be_it_is(content: bytes, declared: str) -> None:
    assert sniff(content, declared) == declared


@pytest.mark.parametrize(
    ("content", "declared", "found"),
    [
        (PNG, "application/octet-stream", "image/png"),
        (PNG, "image/jpeg", "image/png"),
        (PDF, "application/octet-stream", "application/pdf"),
        (HTML, "text/plain", "text/html"),
        (HTML, "image/png", "text/html"),
        (SVG, "image/png", "image/svg+xml"),
        (EXE, "image/png", "application/vnd.microsoft.portable-executable"),
        (b"\x7fELF\2\1\1" + bytes(20), "image/png", "application/octet-stream"),
        (b"no picture", "image/png", "application/octet-stream"),
        (b"", "application/pdf", "application/octet-stream"),
    ],
)
def test_else_its_bytes_say_what_it_is(content: bytes, declared: str, found: str) -> None:
    assert sniff(content, declared) == found


@pytest.mark.parametrize(
    ("content", "declared", "file_name", "found"),
    [
        (JPEG, "application/octet-stream", "IMG_1.JPG", "image/jpeg"),
        (JPEG, "image/jpg", "", "image/jpeg"),
        (b"BM\x36\0\0\0" + bytes(60), "image/bmp", "", "image/x-ms-bmp"),
        (WORKBOOK, "application/octet-stream", "orders.xlsx", XLSX),
        (WORKBOOK, "application/octet-stream", "", "application/zip"),
        (archive("a.txt"), "application/x-zip-compressed", "a.zip", "application/zip"),
        (archive("a.txt"), "application/x-zip-compressed", "", "application/x-zip-compressed"),
        (archive("a.txt"), "text/plain", "a.txt", "application/zip"),
        (OLE, "application/vnd.ms-excel", "orders", "application/vnd.ms-excel"),
        (OLE, "application/octet-stream", "orders.xls", "application/vnd.ms-excel"),
        (OLE, "application/vnd.ms-outlook", "passed on.msg", "application/vnd.ms-outlook"),
        (OLE, "application/octet-stream", "passed on.msg", "application/octet-stream"),
        (OLE, "image/png", "a.png", "application/octet-stream"),
        (b"no picture", "image/png", "a.png", "application/octet-stream"),
        (PNG, "application/octet-stream", "bill.pdf", "image/png"),
    ],
)
def test_of_what_its_bytes_may_be_it_is_what_it_is_called(
    content: bytes, declared: str, file_name: str, found: str
) -> None:
    assert sniff(content, declared, file_name) == found


@pytest.mark.parametrize("content", [AMR, b"\xff\xfb\x90\x44" + bytes(20)])
def test_sounds_of_phones_stay_sounds(content: bytes) -> None:
    declared = "audio/amr" if content is AMR else "audio/mpeg"
    assert sniff(content, declared) == declared


@pytest.mark.parametrize(
    ("name", "mime_type", "expected"),
    [
        ("ME1", "image/png", "ME1.png"),
        ("bill.pdf", "application/pdf", "bill.pdf"),
        ("bill.old", "application/pdf", "bill.old"),
        ("part-3", "application/x-of-their-own", "part-3"),
        (".hidden", "text/plain", ".hidden.txt"),
    ],
)
def test_a_name_without_an_ending_gets_one(name: str, mime_type: str, expected: str) -> None:
    assert named(name, mime_type) == expected
