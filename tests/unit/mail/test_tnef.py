"""winmail.dat: what is unpacked, and that a damaged one does no harm."""

from __future__ import annotations

import base64
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.mail import rtf, tnef
from countersign.mail.reading import contents, read
from tests.unit.timing import seconds

TEXT, RTF, HTML, CODE_PAGE = 0x1000, 0x1009, 0x1013, 0x3FDE
DATA, NAME, LONG_NAME, MIME_TYPE, CONTENT_ID = 0x3701, 0x3704, 0x3707, 0x370E, 0x3712
Properties = dict[int, bytes | str | int]


def attribute(level: int, kind: int, data: bytes) -> bytes:
    checksum = sum(data) & 0xFFFF
    return struct.pack("<BII", level, kind, len(data)) + data + struct.pack("<H", checksum)


def properties(values: Properties) -> bytes:
    """A list of MAPI properties: numbers, Unicode strings, bytes."""
    made = struct.pack("<I", len(values))
    for name, value in values.items():
        if isinstance(value, int):
            made += struct.pack("<HHi", 0x3, name, value)
        else:
            raw = value if isinstance(value, bytes) else f"{value}\0".encode("utf-16-le")
            kind = 0x102 if isinstance(value, bytes) else 0x1F
            made += struct.pack("<HHII", kind, name, 1, len(raw)) + raw + b"\0" * (-len(raw) % 4)
    return made


def container(message: Properties, *files: Properties) -> bytes:
    made = b"\x78\x9f\x3e\x22\x01\x00" + attribute(1, 0x69003, properties(message))
    for file in files:
        made += attribute(2, 0x69002, bytes(14)) + attribute(2, 0x69005, properties(file))
    return made


def mail_with(winmail: bytes, text: bytes = b"") -> bytes:
    return (
        b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
        + text
        + b"\r\n--b\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(winmail) + b"--b--\r\n"
    )


BILL: Properties = {LONG_NAME: "Rechnung ä.pdf", MIME_TYPE: "application/pdf", DATA: b"%PDF-"}
LOGO: Properties = {NAME: "LOGO.PNG", CONTENT_ID: "logo@x", DATA: b"\x89PNG"}


def test_its_files_are_parts_and_it_is_none() -> None:
    raw = mail_with(container({TEXT: "In the container"}, BILL, LOGO), b"In the mail")
    mail = read(raw)
    assert mail.text == "In the mail"
    bill, logo = mail.parts
    assert (bill.file_name, bill.content_type, bill.size) == (
        "Rechnung ä.pdf",
        "application/pdf",
        5,
    )
    assert (logo.file_name, logo.content_id, logo.disposition) == ("LOGO.PNG", "logo@x", "inline")
    assert dict(contents(raw))[bill.index] == b"%PDF-"
    assert dict(contents(raw))[logo.index] == b"\x89PNG"


def test_its_body_is_used_where_there_is_no_other() -> None:
    html = "<p>Grüße".encode("cp1252")
    mail = read(mail_with(container({TEXT: "Grüße", HTML: html, CODE_PAGE: 1252})))
    assert (mail.text, mail.html, mail.parts) == ("Grüße", "<p>Grüße", ())


def test_what_is_no_container_stays_a_part() -> None:
    mail = read(mail_with(b"not TNEF at all", b"Hi"))
    assert [part.file_name for part in mail.parts] == ["winmail.dat"]


def test_older_attributes() -> None:
    made = b"\x78\x9f\x3e\x22\x01\x00" + attribute(1, 0x69007, struct.pack("<II", 1251, 0))
    made += attribute(1, 0x2800C, "Привет\0".encode("cp1251")) + attribute(2, 0x69002, bytes(14))
    made += attribute(2, 0x18010, "Счёт.doc\0".encode("cp1251")) + attribute(2, 0x6800F, b"data")
    found = tnef.unpack(made)
    assert found is not None
    assert found.text == "Привет"
    assert [(file.name, file.content) for file in found.files] == [("Счёт.doc", b"data")]


def test_what_is_cut_off_is_left_out() -> None:
    raw = properties({TEXT: "whole", HTML: b"<p>cut"})
    found = tnef.unpack(b"\x78\x9f\x3e\x22\x01\x00" + attribute(1, 0x69003, raw[:-4]))
    assert found == tnef.Contents("whole", None, ())


def test_an_embedded_mail_is_a_container_of_its_own() -> None:
    inner = container({TEXT: "Inside"})
    raw = bytes(16) + inner
    values = struct.pack("<IHHII", 1, 0x0D, DATA, 1, len(raw)) + raw + b"\0" * (-len(raw) % 4)
    found = tnef.unpack(container({}) + attribute(2, 0x69002, b"") + attribute(2, 0x69005, values))
    assert found is not None
    assert (found.files[0].content_type, found.files[0].content) == ("application/ms-tnef", inner)


def compressed(text: bytes) -> bytes:
    """RTF as literals alone, which is a way to compress it too (MS-OXRTFCP, 2.2)."""
    runs = [b"\0" + text[at : at + 8] for at in range(0, len(text), 8)]
    body = b"".join(runs)
    return struct.pack("<II4sI", len(body) + 12, len(text), b"LZFu", 0) + body


def test_an_rtf_body_is_read_as_text() -> None:
    written = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\*\generator x;}{\mmathPr\mmathFont34 }"
        rb"Gr\'fc\'dfe\par\tab \u8364?5 \{sic\}\~\emdash\line{\pict 89504e47}end}"
    )
    mail = read(mail_with(container({RTF: compressed(written)})))
    assert mail.text == "Grüße\n\t€5 {sic}\xa0—\nend"


def test_rtf_references_into_what_came_before() -> None:
    # The published example (MS-OXRTFCP, 3.1).
    raw = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232"
        "0af32068656c090020627705b06c647d0a800fa0"
    )
    assert rtf.decompress(raw) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert rtf.text(rtf.decompress(raw)) == "hello world"


def test_rtf_that_is_not_compressed_or_no_rtf() -> None:
    written = rb"{\rtf1 as it is\'zz}}"
    header = struct.pack("<II4sI", len(written) + 12, len(written), b"MELA", 0)
    assert rtf.text(rtf.decompress(header + written)) == "as it iszz"
    assert rtf.decompress(b"short") == b""
    assert rtf.decompress(header.replace(b"MELA", b"else") + written) == b""


def test_truncated_rtf_gives_what_is_there() -> None:
    raw = compressed(b"{\\rtf1 sixteen bytes and more}")
    assert all(
        rtf.text(rtf.decompress(raw)).startswith(rtf.text(rtf.decompress(raw[:length])))
        for length in range(len(raw))
    )


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_container_raises_nothing(data: st.DataObject) -> None:
    raw = bytearray(container({TEXT: "x" * 50, RTF: compressed(b"{\\rtf1 x\\par}")}, BILL, LOGO))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(4, len(raw) - 1))
        raw[at : at + 1] = data.draw(st.binary(max_size=4))
    found = tnef.unpack(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    assert found is None or sum(len(file.content) for file in found.files) <= 3 * len(raw)


def test_hostile_containers_take_little_time() -> None:
    begin = b"\x78\x9f\x3e\x22\x01\x00"
    files = attribute(2, 0x69002, b"") + attribute(2, 0x6800F, b"x")
    counts = struct.pack("<I", 0xFFFFFFFF) + struct.pack("<HHI", 0x1003, 1, 0xFFFFFFFF)
    bomb = struct.pack("<II4sI", 0, 0xFFFFFFFF, b"LZFu", 0) + b"\xff" + b"\0\x0f" * 1_000_000
    for raw in (
        begin + files * 50_000,
        begin + attribute(1, 0x69003, counts + bytes(1_000_000)),
        begin + attribute(1, 0x69003, properties({RTF: bomb})),
        begin + struct.pack("<BII", 1, 0x69003, 0xFFFFFFFF) + bytes(1_000_000),
        begin + attribute(1, 0x69003, properties({RTF: compressed(b"{\\'ff\\u1 " * 100_000)})),
    ):
        assert seconds(tnef.unpack, raw, 1) < 3
