"""Bytes to text: charsets and transfer encodings, right and wrong."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.mail import charsets, transfer
from countersign.mail.reading import read


@pytest.mark.parametrize(
    ("label", "encoded_as", "text"),
    [
        ("utf-8", "utf-8", "Grüße 🎉"),
        ("UTF8", "utf-8", "Grüße"),
        ("utf-8", "latin-1", "Grüße aus Köln"),
        ("iso-8859-1", "cp1252", "“quoted” – €5"),
        ("us-ascii", "cp1252", "naïve"),
        ("us-ascii", "utf-8", "naïve"),
        ("iso-8859-1", "utf-8", "naïve"),
        ("gb2312", "gb18030", "朱镕基 喆"),
        ("ks_c_5601-1987", "cp949", "안녕하세요 똠"),
        ("euc-kr", "cp949", "안녕"),
        ("shift_jis", "cp932", "①髙"),
        ("iso-2022-jp", "iso2022_jp", "こんにちは"),
        (None, "iso2022_jp", "こんにちは"),
        ("big5", "big5hkscs", "你好"),
        ("koi8-r", "koi8-r", "Привет"),
        ("windows-1251", "cp1251", "Привет"),
        ("iso-8859-8-i", "iso8859_8", "שלום"),
        ("iso-8859-9", "cp1254", "ığş"),
        ("tis-620", "cp874", "สวัสดี"),
        ("unicode-1-1-utf-7", "utf-7", "Grüße"),
        ("utf-16", "utf-16", "Grüße"),
        ("utf-16le", "utf-16-le", "Grüße"),
        ("unknown-8bit", "utf-8", "Grüße"),
        ("unknown-8bit", "cp1252", "Grüße"),
        ("x-unknown", "utf-8", "Grüße"),
        (None, "utf-8", "Grüße"),
        (None, "cp1252", "Grüße"),
        ("", "utf-8", "Grüße"),
        ("'utf-8'", "utf-8", "Grüße"),
        ("utf-8*en", "utf-8", "Grüße"),
        ("base64", "utf-8", "Grüße"),
        ("zlib", "utf-8", "Grüße"),
        ("idna", "utf-8", "Grüße"),
        ("undefined", "utf-8", "Grüße"),
        ("unicode_escape", "utf-8", "Grüße \\x41"),
        ("\0", "utf-8", "Grüße"),
        ("../../etc", "utf-8", "Grüße"),
    ],
)
def test_texts(label: str | None, encoded_as: str, text: str) -> None:
    assert charsets.decode(text.encode(encoded_as), label)[0] == text


def test_a_hint_is_taken_where_nothing_else_tells() -> None:
    raw = "Привет".encode("koi8-r")
    assert charsets.decode(raw, None, ["koi8-r"]) == ("Привет", False)


def test_a_few_wrong_bytes_do_not_change_the_charset() -> None:
    text = charsets.decode("Grüße, schöne Grüße".encode() + b"\xe2\x82", "utf-8")[0]
    assert text == "Grüße, schöne Grüße\ufffd"


def test_whether_the_label_was_right() -> None:
    assert charsets.decode(b"plain", "us-ascii") == ("plain", True)
    assert charsets.decode(b"plain", None) == ("plain", True)
    assert charsets.decode("ä".encode(), "utf-8") == ("ä", True)
    assert charsets.decode("ä".encode("latin-1"), "utf-8") == ("ä", False)
    assert charsets.decode(b"plain", "nonsense") == ("plain", False)


@given(st.binary(max_size=200), st.sampled_from(["utf-7", "utf-16", "hz", "gb2312", "utf-8", "x"]))
def test_no_text_holds_what_a_database_refuses(raw: bytes, label: str) -> None:
    text, _ = charsets.decode(raw, label)
    assert "\0" not in text
    text.encode("utf-8")


TEXT = b"A text of some length, that is long enough to be broken into several lines, twice."
ENCODED = base64.encodebytes(TEXT)


@pytest.mark.parametrize(
    "damaged",
    [
        ENCODED,
        ENCODED.replace(b"\n", b"\r\n"),
        ENCODED.replace(b"\n", b""),
        ENCODED.rstrip(b"=\n"),
        ENCODED.replace(b"Q", b"Q!\x80", 1),
        ENCODED.replace(b"\n", b" \n\n"),
        ENCODED + b"\n_______\nA mailing list's footer\n",
        ENCODED.strip() + b" ignored",
        ENCODED + b"--somebody's boundary--\n",
        base64.urlsafe_b64encode(TEXT),
        base64.encodebytes(TEXT[:40]) + base64.encodebytes(TEXT[40:]),
    ],
)
@pytest.mark.parametrize("is_text", [True, False])
def test_base64(damaged: bytes, is_text: bool) -> None:
    assert transfer.decode(damaged, "Base64", is_text)[0][: len(TEXT)] == TEXT
    if is_text:
        assert transfer.decode(damaged, "BASE64 ", is_text)[0] == TEXT


def test_truncated_base64_gives_what_is_there() -> None:
    for length in range(len(ENCODED)):
        decoded = transfer.decode(ENCODED[:length], "base64", is_text=False)[0]
        assert TEXT.startswith(decoded)
        assert len(decoded) >= length * 3 // 4 - 4


def test_a_text_that_only_says_that_it_is_base64() -> None:
    said = b"Hello there,\n\nthis was never encoded.\n"
    assert transfer.decode(said, "base64", is_text=True) == (said, False)


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        (b"soft=\r\n break=3D", b"soft break="),
        (b"soft=  \r\nbreak", b"softbreak"),
        (b"trailing  \r\nblanks\t\n", b"trailing\r\nblanks\n"),
        (b"lower=e2=82=ac", "lower€".encode()),
        (b"bad =ZZ =4 =", b"bad =ZZ =4 "),
        (b"http://x/?a=b", b"http://x/?a=b"),
        (b"raw \xc3\xa9", "raw é".encode()),
    ],
)
def test_quoted_printable(encoded: bytes, decoded: bytes) -> None:
    assert transfer.decode(encoded, "quoted-printable", is_text=True)[0] == decoded


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "binary", "", "x-nonsense", "8-bit"])
def test_what_is_not_encoded_stays(encoding: str) -> None:
    assert transfer.decode(b"=41 QUJD", encoding, is_text=True)[0] == b"=41 QUJD"


@pytest.mark.parametrize("lines", [b"#0V%T\n", b"#0V%T \r\n", b'"0V$\n!=`\n', b"#0V%TX\n"])
def test_uuencode(lines: bytes) -> None:
    encoded = b"A line before\nbegin 644 a b.txt\n" + lines + b"`\nend\nafter"
    assert transfer.decode(encoded, "x-uuencode", is_text=False) == (b"Cat", True)
    (found,) = transfer.uuencoded(encoded, most=9)
    assert found.name == b"a b.txt"
    assert encoded[: found.start] + encoded[found.end :] == b"A line before\nafter"


def test_a_damaged_uuencoded_line_is_left_out() -> None:
    encoded = b"begin 644 x\n#0V%T\n#\nM0\n#0V%T\nend\n"
    assert transfer.decode(encoded, "uuencode", is_text=False)[0].startswith(b"Cat")


@pytest.mark.parametrize(
    "head",
    [
        b"Subject: =?koi8-r?B?8NLJ18XU?=",
        b"From: =?KOI8-R?Q?=F3=C5=D2=C7=C5=CA?= <s@example.com>",
        b"X-A: =?big5?Q?a?=\r\nTo: =?us-ascii?Q?a?= <a@b.c>\r\nSubject: =?koi8-r*ru?Q?=F0?=",
    ],
)
def test_what_names_no_charset_has_that_of_the_headers(head: bytes) -> None:
    mail = read(head + b"\r\nContent-Type: text/plain\r\n\r\n" + "Привет".encode("koi8-r"))
    assert (mail.text, "charset" in mail.defects) == ("Привет", True)


def test_what_names_no_charset_has_that_of_the_other_version() -> None:
    said = "Привет".encode("koi8-r")
    raw = (
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/plain\r\n\r\n%s\r\n--b\r\n"
        b"Content-Type: text/html; charset=koi8-r\r\n\r\n<p>%s\r\n--b--\r\n" % (said, said)
    )
    assert (read(raw).text, read(raw).html) == ("Привет", "<p>Привет")


def test_what_the_headers_say_makes_no_wrong_label_right() -> None:
    head = b"Subject: =?koi8-r?B?8NLJ18XU?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n"
    assert read(head + "Grüße".encode("latin-1")).text == "Grüße"
    utf_8 = head.replace(b"iso-8859-1", b"utf-8")
    assert read(utf_8 + "Grüße".encode()).text == "Grüße"
    # Cut in the middle of a character.
    assert read(utf_8 + "Grüße, schöne Grüße €".encode()[:-1]).text == "Grüße, schöne Grüße �"


def test_html_may_name_its_charset_itself() -> None:
    page = '<meta http-equiv=Content-Type content="text/html; charset=koi8-r">Привет'
    raw = b"Subject: s\r\nContent-Type: text/html\r\n\r\n" + page.encode("koi8-r")
    assert read(raw).html == page


def test_defects_name_what_was_wrong() -> None:
    raw = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s"
    assert "transfer-encoding" in read(raw % (b"base64", b"Not encoded at all")).defects
    assert "charset" in read(raw % (b"8bit", b"Gr\xfc\xdfe")).defects
    assert not {"charset", "transfer-encoding"} & set(read(raw % (b"8bit", b"x")).defects)
