"""No mail raises anything but Invalid, takes long, or takes much memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.mail.reading import contents, read
from countersign.platform.errors import Invalid
from tests.unit.timing import seconds

MIB = 1024 * 1024
HEAD = b"From: a@b.c\r\nTo: d@e.f\r\nSubject: s\r\n"
MIXED = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
REPORT = HEAD + b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"


def check(raw: bytes) -> None:
    """Reads a mail, and holds what every mail that was read must keep."""
    try:
        mail = read(raw)
    except Invalid:
        return
    everything = repr(mail)
    everything.encode()
    assert "\\x00" not in everything
    assert mail.sent_at is None or mail.sent_at.utcoffset() is not None
    for address in (*mail.from_, *mail.sender, *mail.reply_to, *mail.to, *mail.cc):
        assert "@" in address.address
        assert not set(" \t\r\n<>,;") & set(address.address.rpartition("@")[2])
    for line in (mail.subject, mail.message_id or "", *mail.references):
        assert not set(line) & set("\r\n\0")
    found = {index: len(content) for index, content in contents(raw)}
    assert found == {part.index: part.size for part in mail.parts}
    for part in mail.parts[:20]:
        assert not set(part.file_name or "") & set("/\\\r\n\u202e")


WORDS = st.sampled_from(
    [
        *"\"'()<>[]{}@,;:\\/=?*%-_ \t", "\r\n", "\n", "\r", "\r\n ", "\0", "é", "\u202e", "=?",
        "?=",
        "=?utf-8?q?", "=?utf-8?b?w6k=?=", "=?x?q?=", "utf-8", "iso-2022-jp", "utf-7", "base64",
        "quoted-printable", "x-uuencode", "boundary=", "b", "charset=", "name*0*=", "filename*=",
        "filename=", "utf-8''%e2%82", "multipart/mixed", "multipart/alternative", "message/rfc822",
        "text/plain", "text/html", "format=flowed", "a@b.c", "<a@b.c>", "2026", "Mar", "+0100",
        "begin 644 x\n", "#0V%T\n", "end\n", "--b", "--b--", "From ", "a",
    ]
)  # fmt: skip
FIELDS = """
    From To Cc Reply-To Sender Subject Date Message-ID In-Reply-To References
    Content-Type Content-Disposition Content-Transfer-Encoding Content-ID MIME-Version X-Other
"""
NAMES = st.sampled_from(FIELDS.split())
VALUES = st.lists(WORDS, max_size=12).map("".join)
BOUNDARIES = st.sampled_from(["b", "b", "bb", "b c", "", "--", "c", "é"])
KINDS = "mixed alternative related signed encrypted report digest parallel appledouble x"
TYPES = st.sampled_from(KINDS.split())
LEAVES = st.sampled_from(
    [
        "text/plain", "text/plain; format=flowed; delsp=yes", "text/html; charset=utf-8",
        "text/enriched", "text/calendar", "message/rfc822", "message/delivery-status", "image/png",
        "application/ms-tnef; name=winmail.dat", "text/rfc822-headers", "text/plain; charset=utf-7",
        'application/pdf; name="a.pdf"', "application/pkcs7-mime", "nonsense",
    ]
)  # fmt: skip
ENCODINGS = st.sampled_from(["7bit", "8bit", "base64", "quoted-printable", "x-uuencode", "odd"])
# A CMS message whose content comes in two pieces.
SIGNED = (
    b"0\x80\x06\t*\x86H\x86\xf7\r\x01\x07\x02\xa0\x800\x80\x02\x01\x011\x000\x80\x06\x00\xa0\x80$\x80"
    b"\x04\x09Content-T\x04\x15ype: text/html\r\n\r\n<p>\0\0"
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.lists(WORDS, max_size=20).map(lambda words: "".join(words).encode("utf-8")),
    st.just(SIGNED),
    st.just(b"x\x9f>\x22\x01\x00\x01\x03\x90\x06\x00\x08\x00\x00\x00\x01\x00\x00\x00\x1f\x00"),
)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    charset = draw(st.sampled_from(["utf-8", "latin-1"]))
    return "".join(f"{name}: {value}\r\n" for name, value in lines).encode(charset, "replace")


@st.composite
def leaves(draw: st.DrawFn) -> bytes:
    kind, encoding = draw(LEAVES), draw(ENCODINGS)
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return head.encode() + draw(headers()) + b"\r\n" + draw(BODIES) + b"\r\n"


def multiparts(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    def made(kind: str, boundary: str, parts: Iterable[bytes], closed: bool) -> bytes:
        mark = b"--" + boundary.encode()
        body = b"".join(mark + b"\r\n" + part for part in parts) + (mark + b"--\r\n") * closed
        head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'
        return head.encode() + body

    return st.builds(made, TYPES, BOUNDARIES, st.lists(inner, max_size=4), st.booleans())


EDITS = st.tuples(st.integers(0, 5000), st.integers(0, 3), st.binary(max_size=3))
DAMAGE = st.lists(EDITS, max_size=6)


@settings(max_examples=250)
@given(headers(), st.recursive(leaves(), multiparts, max_leaves=8), DAMAGE)
def test_whatever_is_damaged_nothing_but_invalid_is_raised(
    head: bytes, entity: bytes, damage: list[tuple[int, int, bytes]]
) -> None:
    raw = bytearray(head + entity)
    for at, length, instead in damage:
        position = at % (len(raw) + 1)
        raw[position : position + length] = instead
    check(bytes(raw))


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    check(raw)
    check(HEAD + raw)


def nested(levels: int, kind: str = "mixed", end: bytes = b"hi\r\n") -> bytes:
    made = (
        b"Content-Type: multipart/%s; boundary=b%d\r\n\r\n--b%d\r\n" % (kind.encode(), level, level)
        for level in range(levels)
    )
    return HEAD + b"".join(made) + b"Content-Type: text/plain\r\n\r\n" + end


def test_a_thousand_levels() -> None:
    assert read(nested(1000)).text == "hi\n"
    assert read(nested(1000, "alternative")).text == "hi\n"


def test_ten_thousand_parts() -> None:
    part = b"--b\r\nContent-Type: a/b; name=x\r\n\r\nx\r\n"
    mail = read(MIXED + b"--b\r\n\r\nsaid\r\n" + part * 9_998)
    assert (mail.text, len(mail.parts), mail.defects) == (
        "said", 9_998, ("unclosed-boundary", "no-date"),
    )  # fmt: skip
    assert "too-many-parts" in read(MIXED + part * 12_000).defects


def test_a_hundred_thousand_headers() -> None:
    raw = b"X-Bomb: y\r\n" * 100_000 + HEAD + b"Content-Type: text/html\r\n\r\n<p>said"
    mail = read(raw)
    assert mail.html == "<p>said"
    assert sum(map(len, mail.headers.values())) == 1000


def test_headers_without_end_leave_the_parts_after_them_unread() -> None:
    lines = b"X: y\n" * 260_000
    mail = read(HEAD + lines + b"\nsaid")
    assert (mail.subject, mail.text) == ("s", "said")
    assert "too-many-header-lines" in mail.defects
    parts = MIXED + b"--b\n" + lines + b"\none\n--b\nContent-Type: a/b\n\ntwo\n--b\n--b--"
    assert read(parts).text == "one\ntwo"


def test_a_header_of_ten_megabytes() -> None:
    mail = read(b"X-Bomb: " + b"y" * 10 * MIB + b"\r\n" + HEAD + b"\r\nsaid")
    assert (mail.text, mail.subject) == ("said", "s")


def test_five_thousand_encoded_words() -> None:
    mail = read(b"Subject: " + b"=?utf-8?q?=C3=A9?=\r\n " * 5_000 + b"\r\n\r\nsaid")
    assert mail.subject == "é" * 2_000


def to(value: bytes) -> Callable[[int], bytes]:
    return lambda size: b"To: " + value * (size // len(value)) + b"\r\n\r\nhi"


def field(name: bytes, value: bytes, end: bytes = b"\r\n\r\nhi") -> Callable[[int], bytes]:
    return lambda size: name + b": " + value * (size // len(value)) + end


def body(head: bytes, value: bytes) -> Callable[[int], bytes]:
    return lambda size: head + b"\r\n\r\n" + value * (size // len(value))


BOMBS: dict[str, Callable[[int], bytes]] = {
    "parts": lambda size: MIXED + b"--b\n\n" * (size // 5),
    "nested": lambda size: nested(size // 60),
    "alternatives": lambda size: nested(size // 66, "alternative"),
    "nested, with lines": lambda size: nested(1000, end=b"--x\r\n" * (size // 5)),
    "one boundary nested": body(HEAD[:-2], b"Content-Type: multipart/x; boundary=b\n\n--b\n"),
    "no boundary nested": lambda size: MIXED + b"--b\nContent-Type: multipart/x\n\n" * (size // 32),
    "parts without end": lambda size: MIXED + b"--b\ngarbage\n" * (size // 12),
    "lines like boundaries": lambda size: MIXED + b"--\n" * (size // 3),
    "mixed texts": lambda size: (
        MIXED + b"--b\n\nsome text in here\n--b\nContent-Type: text/html\n\nso\n" * (size // 60)
    ),
    "short headers": lambda size: b"a:\n" * (size // 3) + b"\nhi",
    "folds": field(b"Subject", b"z\r\n "),
    "lines of garbage": field(b"Subject", b"garbage\n"),
    "encoded words without end": field(b"Subject", b"=?a?q?"),
    "encoded words with one end": field(b"Subject", b"=?a?q?", b"?=\r\n\r\nhi"),
    "references": field(b"References", b"<abc@def.ghi>\r\n "),
    "half references": field(b"References", b"<a@b "),
    "addresses": to(b"u@e.example, "),
    "comments": to(b"("),
    "nested comments": lambda size: (
        to(b"(")(size // 2)[:-6] + b")" * (size // 2) + b"a@b.c\r\n\r\nx"
    ),
    "quotes": to(b'"'),
    "escaped quotes": lambda size: b'To: a@b.c, "' + b'\\"' * (size // 2) + b"\r\n\r\nhi",
    "angles": to(b"<a@"),
    "angles and quotes": to(b'<@"'),
    "brackets": to(b"[@a "),
    "groups": to(b"a@b:"),
    "backslashes": to(b"@\\"),
    "blanks and dots": to(b"a@b . "),
    "commas": to(b"@,"),
    "no address beside an @": lambda size: b"To: x@y " + b"a" * size + b"\r\n\r\nhi",
    "address fields": lambda size: b"To: u@e.com\r\n" * (size // 13) + b"\r\nhi",
    "parameters": field(b"Content-Type", b'text/plain; a="b"; '),
    "open quotes": field(b"Content-Type", b'text/plain; a="\\"; '),
    "equal signs": field(b"Content-Type", b"="),
    "open quotes in parts": lambda size: (
        MIXED + (b"--b\nContent-Type: a/b; " + b'x="\\"; ' * 9000 + b"\n\n") * (size // 63_000 + 1)
    ),
    "slashes in a name": field(b'Content-Disposition: attachment; filename="', b"/"),
    "no line break": body(b"a: b", b"x"),
    "line breaks": body(b"a: b", b"\n"),
    "carriage returns": lambda size: b"a: b\r\r" + b"\r" * size,
    "flowed lines": body(b"Content-Type: text/plain; format=flowed", b"> a \n"),
    "flowed quotes": body(b"Content-Type: text/plain; format=flowed", b">"),
    "enriched": body(b"Content-Type: text/enriched", b"<param>"),
    "soft breaks": body(b"Content-Transfer-Encoding: quoted-printable", b"="),
    "blanks": body(b"Content-Transfer-Encoding: quoted-printable", b" "),
    "blanks before a word": lambda size: (
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b" " * size + b"x"
    ),
    "blanks in lines": body(b"Content-Transfer-Encoding: quoted-printable", b" \t x"),
    "dirty base64": body(b"Content-Transfer-Encoding: base64\r\nContent-Type: a/b", b"QU!JD\n"),
    "padding": body(b"Content-Transfer-Encoding: base64\r\nContent-Type: a/b", b"Q="),
    "dirty base64 text": body(b"Content-Transfer-Encoding: base64", b"QU=\n"),
    "uuencoded files": body(b"a: b", b"begin 644 x\n#0V%T\n`\nend\n"),
    "uuencode without end": body(b"a: b", b"begin 644 x\n"),
    "utf-7": body(b"Content-Type: text/plain; charset=utf-7", b"+\xff"),
    "gb2312": body(b"Content-Type: text/plain; charset=gb2312", b"\xff"),
    "meta": body(b"Content-Type: text/html", b"<meta"),
    "status groups": lambda size: (
        REPORT + b"Content-Type: message/delivery-status\n\n" + b"a: b\n\n" * (size // 6)
    ),
    "empty status": lambda size: (
        REPORT + b"Content-Type: message/delivery-status\n\n" + b"\n" * size
    ),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_time_grows_with_size_and_not_with_its_square(bomb: Callable[[int], bytes]) -> None:
    """Four times the bytes take a quadratic reader sixteen times as long.

    How long that is says little here: measuring what the tests cover makes it several times more.
    """
    quarter, whole = (seconds(check_quickly, bomb(size), 1) for size in (MIB // 8, MIB // 2))
    if whole > 0.3:
        whole = min(whole, seconds(check_quickly, bomb(MIB // 2), 1))
    assert whole < 10
    assert whole < 0.3 or whole < 8 * quarter


def check_quickly(raw: bytes) -> None:
    with suppress(Invalid):
        read(raw)


@pytest.mark.parametrize(
    "bomb",
    ["parts", "nested", "short headers", "addresses", "references", "line breaks", "flowed lines",
     "dirty base64 text", "padding", "uuencoded files", "parameters"],
)  # fmt: skip
def test_memory_grows_with_size(bomb: str) -> None:
    raw = BOMBS[bomb](MIB // 8)
    tracemalloc.start()
    try:
        check_quickly(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30 * len(raw) + 8 * MIB
