"""Mails as bytes: asserted where a standard says so, and read back by the standard library."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import getaddresses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.mail import reading
from countersign.mail.fieldwriting import are_same
from countersign.mail.model import Address
from countersign.mail.words import tidy
from countersign.mail.writing import File, Letter, write
from countersign.platform.errors import Invalid

LONG_ID = "AM0PR04MB" + "A1b2C3d4" * 14 + "@AM0PR04MB0000.eurprd04.prod.outlook.com"
LETTER = Letter(
    message_id="c.1@acme.example",
    sent_at=datetime(2026, 11, 22, 5, 30, tzinfo=UTC),
    from_=Address("Acme Support", "support@acme.example"),
    to=(Address("Jo Doe", "jo@example.com"),),
    subject="Re: Where is it?",
    text="It ships today.",
)


def parsed(letter: Letter) -> Message:
    return email.message_from_bytes(write(letter))


def modern(letter: Letter) -> EmailMessage:
    message = email.message_from_bytes(write(letter), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def decoded(value: str) -> str:
    return str(make_header(decode_header(re.sub(r"\r\n(?=[ \t])", "", value))))


def head(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[0]


def check_lines(raw: bytes) -> None:
    """RFC 5322, 2.1.1 and 2.3: CRLF alone ends a line, of at most 998 octets."""
    assert raw.endswith(b"\r\n")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert not any(line and not line.strip() for line in head(raw).split(b"\r\n"))


def check_encoded_words(raw: bytes) -> None:
    """RFC 2047, 2: a word of at most 75 characters in a line of at most 76, each whole UTF-8."""
    for line in head(raw).split(b"\r\n"):
        words = re.findall(rb"=\?utf-8\?[qb]\?[^? ]*\?=", line)
        if words:
            assert len(line) <= 76
        for word in words:
            assert len(word) <= 75
            ((content, charset),) = decode_header(word.decode())
            assert isinstance(content, bytes)
            assert charset == "utf-8"
            content.decode()


def test_a_plain_mail_byte_by_byte() -> None:
    letter = replace(
        LETTER,
        cc=(Address("", "al@example.net"),),
        reply_to=(Address("", "support+x@acme.example"),),
        in_reply_to="b@example.com",
        references=("a@example.com", "b@example.com"),
        headers={"Auto-Submitted": "auto-replied"},
    )
    assert write(letter) == (
        b"Date: Sun, 22 Nov 2026 05:30:00 +0000\r\n"
        b"From: Acme Support <support@acme.example>\r\n"
        b"Reply-To: support+x@acme.example\r\n"
        b"To: Jo Doe <jo@example.com>\r\n"
        b"Cc: al@example.net\r\n"
        b"Subject: Re: Where is it?\r\n"
        b"Message-ID: <c.1@acme.example>\r\n"
        b"In-Reply-To: <b@example.com>\r\n"
        b"References: <a@example.com> <b@example.com>\r\n"
        b"Auto-Submitted: auto-replied\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"It ships today.\r\n"
    )


def test_a_mail_with_html_an_image_and_a_file_byte_by_byte() -> None:
    raw = write(
        replace(
            LETTER,
            text="Grüße",
            html='<p>Grüße<img src="cid:logo"></p>',
            attachments=(
                File("logo.png", "image/png", b"PNG", "logo"),
                File("Übersicht.pdf", "application/pdf", b"%PDF" * 15),
            ),
        )
    )
    (seed,) = re.findall(rb'"=_([0-9a-f]{24})-m"', raw)
    assert raw.partition(b"MIME-Version: 1.0\r\n")[2].replace(seed, b"X") == (
        b'Content-Type: multipart/mixed;\r\n boundary="=_X-m"\r\n\r\n'
        b"--=_X-m\r\n"
        b'Content-Type: multipart/related; type="multipart/alternative";\r\n boundary="=_X-r"\r\n'
        b"\r\n"
        b"--=_X-r\r\n"
        b'Content-Type: multipart/alternative;\r\n boundary="=_X-a"\r\n\r\n'
        b"--=_X-a\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        b"R3LDvMOfZQ0K\r\n\r\n"
        b"--=_X-a\r\n"
        b"Content-Type: text/html; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        b'<p>Gr=C3=BC=C3=9Fe<img src=3D"cid:logo"></p>\r\n\r\n'
        b"--=_X-a--\r\n\r\n"
        b"--=_X-r\r\n"
        b'Content-Type: image/png;\r\n name="logo.png"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: inline;\r\n filename="logo.png"\r\n'
        b"Content-ID: <logo>\r\n\r\n"
        b"UE5H\r\n\r\n"
        b"--=_X-r--\r\n\r\n"
        b"--=_X-m\r\n"
        b'Content-Type: application/pdf;\r\n name="_bersicht.pdf"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment;\r\n filename*=utf-8''%C3%9Cbersicht.pdf\r\n\r\n"
        b"JVBERiVQREYlUERGJVBERiVQREYlUERGJVBERiVQREYlUERGJVBERiVQREYlUERGJVBERiVQREYl\r\n"
        b"UERG\r\n\r\n"
        b"--=_X-m--\r\n"
    )


def test_a_long_id_is_neither_encoded_nor_broken() -> None:
    references = ("first@example.com", LONG_ID, "x" * 100 + "@example.com", "last@example.com")
    raw = write(replace(LETTER, in_reply_to=LONG_ID, references=references))
    assert b"\r\nIn-Reply-To: <" + LONG_ID.encode() + b">\r\n" in raw
    written = re.findall(rb"\r\nReferences: (.*(?:\n .*)*)\r\n", raw)[0]
    assert written.replace(b"\r\n", b"").decode() == " ".join(f"<{one}>" for one in references)
    assert b"=?" not in raw
    check_lines(raw)


def test_of_many_references_the_root_and_the_newest_are_kept() -> None:
    ids = tuple(f"{number}@example.com" for number in range(200))
    kept = str(parsed(replace(LETTER, references=ids))["References"]).split()
    assert len(kept) == 50
    assert (kept[0], kept[1], kept[-1]) == (
        "<0@example.com>",
        "<151@example.com>",
        "<199@example.com>",
    )


def test_ids_of_others_that_cannot_be_written_are_left_out() -> None:
    odd = ("é@example.com", "a b@example.com", "<x>@example.com", "x" * 999)
    message = parsed(replace(LETTER, in_reply_to=odd[0], references=(*odd, "no-at-sign")))
    assert message["In-Reply-To"] is None
    assert message["References"] == "<no-at-sign>"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("", b"jo@example.com"),
        ("Jo Doe", b"Jo Doe <jo@example.com>"),
        ("Doe, Jo", b'"Doe, Jo" <jo@example.com>'),
        ('Jo "JD" \\ Doe', b'"Jo \\"JD\\" \\\\ Doe" <jo@example.com>'),
        ("jo@bank.example", b'"jo@bank.example" <jo@example.com>'),
        ("J. Doe", b'"J. Doe" <jo@example.com>'),
        ("Jörg Dö", b"=?utf-8?b?SsO2cmcgRMO2?= <jo@example.com>"),
        ("Jörg von der Heide", b"=?utf-8?q?J=C3=B6rg_von_der_Heide?= <jo@example.com>"),
        ("=?utf-8?q?x?=", b"=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <jo@example.com>"),
    ],
)
def test_a_display_name(name: str, written: bytes) -> None:
    raw = write(replace(LETTER, to=(Address(name, "jo@example.com"),)))
    assert b"\r\nTo: " + written + b"\r\n" in raw


@pytest.mark.parametrize(
    ("subject", "written"),
    [
        ("", b""),
        ("Re: Where  is it?", b" =?utf-8?q?Re=3A_Where__is_it=3F?="),
        ("=?utf-8?q?x?=", b" =?utf-8?b?PT91dGYtOD9xP3g/PQ==?="),
        ("x" * 70, b" =?utf-8?q?" + b"x" * 55 + b"?=\r\n =?utf-8?q?" + b"x" * 15 + b"?="),
        ("word " * 20 + "end", b" word" * 14 + b"\r\n" + b" word" * 6 + b" end"),
    ],
)
def test_a_subject(subject: str, written: bytes) -> None:
    letter = replace(LETTER, subject=subject)
    raw = write(letter)
    check_encoded_words(raw)
    assert decoded(parsed(letter)["Subject"]) == subject
    assert b"\r\nSubject:" + written + b"\r\n" in raw


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("jo@exämple.com", "jo@xn--exmple-cua.com"),
        ("jo@faß.example", "jo@xn--fa-hia.example"),
        ("jo@例え.テスト", "jo@xn--r8jz45g.xn--zckzah"),
        ("jo..doe.@docomo.example", '"jo..doe."@docomo.example'),
        ('"jo doe"@example.com', '"jo doe"@example.com'),
        ("jo@[192.0.2.1]", "jo@[192.0.2.1]"),
        ("o'neil+tag=1@example.com", "o'neil+tag=1@example.com"),
    ],
)
def test_an_address_on_the_wire(address: str, written: str) -> None:
    letter = replace(LETTER, to=(Address("", address),))
    assert f"\r\nTo: {written}\r\n".encode() in write(letter)
    assert letter.recipients == (written,)
    assert not letter.needs_smtputf8


def test_a_local_part_that_is_not_ascii_needs_smtputf8() -> None:
    letter = replace(LETTER, cc=(Address("", "jörg@exämple.com"),))
    assert letter.needs_smtputf8
    assert letter.recipients == ("jo@example.com", "jörg@xn--exmple-cua.com")
    assert "\r\nCc: jörg@xn--exmple-cua.com\r\n".encode() in write(letter)


def test_addresses_are_compared_as_they_go_over_the_wire() -> None:
    assert are_same("Jo@Exämple.com", "jo@xn--exmple-cua.com")
    assert are_same("+15550100", "+15550100")
    assert not are_same("jo@example.com", "al@example.com")


def test_each_recipient_counts_once() -> None:
    letter = replace(LETTER, cc=(Address("", "JO@example.com"), Address("", "al@example.com")))
    assert letter.recipients == ("jo@example.com", "al@example.com")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "jo",
        "@example.com",
        "jo@",
        "jo@exa mple.com",
        "jo doe@example.com",
        "jo@example..com",
        "jo@-example.com",
        "<jo@example.com>",
        "jo@example.com, al@example.com",
        "a@b@example.com",
        "x" * 65 + "@example.com",
        "jo@" + "x" * 64 + ".com",
        "jo@" + "x." * 130 + "com",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match="mail address"):
        write(replace(LETTER, to=(Address("", address),)))


@pytest.mark.parametrize("evil", ["\r\nBcc: x@evil.example", "\n", "\r", "\0", "\n ", "\ud800"])
@pytest.mark.parametrize(
    "field", ["subject", "name", "address", "id", "reply", "references", "header", "key", "file"]
)
def test_no_field_lets_a_line_in(field: str, evil: str) -> None:
    text = "x@example.com" + evil
    given = {
        "subject": {"subject": text},
        "name": {"from_": Address(text, "a@example.com")},
        "address": {"to": (Address("", text),)},
        "id": {"message_id": text},
        "reply": {"in_reply_to": text},
        "references": {"references": (text,)},
        "header": {"headers": {"X-Note": text}},
        "key": {"headers": {"X-Note" + evil: "x"}},
        "file": {"attachments": (File(text, "text/plain", b""),)},
    }[field]
    with pytest.raises(Invalid):
        write(replace(LETTER, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"to": ()}, "no recipient"),
        ({"sent_at": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"message_id": "no-at-sign"}, "left@right"),
        ({"message_id": "é@example.com"}, "left@right"),
        ({"headers": {"Bcc": "x@example.com"}}, "'Bcc' is not one"),
        ({"headers": {"content-type": "text/html"}}, "not one"),
        ({"headers": {"X-Long": "x" * 1000}}, "longer than a line"),
        ({"subject": "half \ud83d"}, "half a character"),
        ({"text": "half \ud83d"}, "half a character"),
        ({"attachments": (File("a", "text", b""),)}, "content type"),
        ({"attachments": (File("a", "text/plain; x=y", b""),)}, "content type"),
        ({"html": "x", "attachments": (File("a", "image/png", b"", "a>b"),)}, "content id"),
    ],
)
def test_a_letter_that_cannot_be_written_says_why(change: dict[str, object], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        write(replace(LETTER, **change))  # type: ignore[arg-type]


def test_an_address_of_the_web_in_a_header_stays_whole() -> None:
    link = "<https://acme.example/u/" + "a1" * 60 + ">, <mailto:u@acme.example>"
    raw = write(replace(LETTER, headers={"List-Unsubscribe": link}))
    assert raw.replace(b"\r\n ", b" ").count(b"List-Unsubscribe: " + link.encode()) == 1


def test_a_mail_of_another_goes_as_octets() -> None:
    file = File("forwarded.eml", "message/rfc822", b"Subject: x\n\nbody\n")
    attached = list(parsed(replace(LETTER, attachments=(file,))).walk())[-1]
    assert attached.get_content_type() == "application/octet-stream"
    assert attached.get_payload(decode=True) == file.content


def test_an_inline_image_without_html_is_an_attachment() -> None:
    raw = write(replace(LETTER, attachments=(File("a.png", "image/png", b"x", "a"),)))
    assert b"multipart/mixed" in raw
    assert b"Content-Disposition: attachment" in raw


@pytest.mark.parametrize(
    "text",
    [
        "x" * 77,
        "blank at the end \nnext",
        "From here on",
        "looks like a boundary =_1",
        "zero \0 byte",
    ],
)
def test_text_that_would_suffer_on_the_way_is_encoded(text: str) -> None:
    message = parsed(replace(LETTER, text=text))
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert message.get_payload(decode=True) == text.replace("\n", "\r\n").encode() + b"\r\n"


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=120)
BODIES = st.text(st.characters(codec="utf-8"), max_size=400)
ATOMS = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=30)
ADDRESSES = st.builds(lambda name, local: Address(name, f"{local}@example.com"), TEXTS, ATOMS)


def people(most: int, least: int = 0) -> st.SearchStrategy[tuple[Address, ...]]:
    """Several, each once."""
    several = st.lists(
        ADDRESSES, min_size=least, max_size=most, unique_by=lambda one: one.address.lower()
    )
    return several.map(tuple)


IDS = st.builds(
    lambda left, right: f"{left}@{right}", ATOMS, st.text("abc019.-", min_size=1, max_size=120)
)
FILES = st.builds(
    File,
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=120),
    st.sampled_from(["image/png", "application/pdf", "text/plain"]),
    st.binary(max_size=200),
    st.sampled_from([None, "one@x", "two"]),
)
LETTERS = st.builds(
    Letter,
    message_id=st.just("c.1@acme.example"),
    sent_at=st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    from_=ADDRESSES,
    to=people(5, least=1),
    cc=people(3),
    reply_to=people(2),
    subject=TEXTS,
    text=BODIES,
    html=st.none() | BODIES,
    in_reply_to=st.none() | IDS,
    references=st.lists(IDS, max_size=20, unique=True).map(tuple),
    headers=st.fixed_dictionaries({}, optional={"X-Note": TEXTS}),
    attachments=st.lists(FILES, max_size=3).map(tuple),
)


@settings(max_examples=60)
@given(LETTERS)
def test_whatever_is_written_is_a_mail_and_says_the_same(letter: Letter) -> None:
    raw = write(letter)
    assert raw.isascii()
    check_lines(raw)
    check_encoded_words(raw)
    message = email.message_from_bytes(raw)
    assert not message.defects
    assert decoded(message["Subject"] or "") == letter.subject
    assert message["Date"]
    for name, sent in (("From", (letter.from_,)), ("To", letter.to), ("Cc", letter.cc)):
        found = [(decoded(who), where) for who, where in getaddresses(message.get_all(name, []))]
        assert found == [(one.name.strip(), one.address) for one in sent]
    ids = re.findall(r"<([^>]*)>", message["References"] or "")
    assert ids == list(letter.references)
    check_parts(letter, message)


@settings(max_examples=60)
@given(LETTERS)
def test_what_is_written_is_read_back(letter: Letter) -> None:
    raw = write(letter)
    mail = reading.read(raw)
    assert mail.message_id == letter.message_id
    assert mail.references == letter.references
    assert mail.in_reply_to == ((letter.in_reply_to,) if letter.in_reply_to else ())
    assert mail.sent_at == letter.sent_at.replace(microsecond=0)
    assert mail.subject == tidy(letter.subject)
    for found, sent in (
        (mail.from_, (letter.from_,)),
        (mail.to, letter.to),
        (mail.cc, letter.cc),
        (mail.reply_to, letter.reply_to),
    ):
        assert [one.address for one in found] == [one.address for one in sent]
        for one, other in zip(found, sent, strict=True):
            # The reader takes away quotes around a name, and blanks that are too many.
            assert _bare(one.name) == _bare(other.name)
    assert sorted(content for _, content in reading.contents(raw)) == sorted(
        file.content for file in letter.attachments
    )
    assert mail.defects == ()


def _bare(name: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f'\"]", "", name)


def check_parts(letter: Letter, message: Message) -> None:
    leaves = [part for part in message.walk() if not part.is_multipart()]
    bodies = [letter.text, *([letter.html] if letter.html is not None else [])]
    for leaf, text in zip(leaves, bodies, strict=False):
        content = leaf.get_payload(decode=True)
        assert isinstance(content, bytes)
        assert content.decode() == re.sub("\r\n|\r|\n", "\n", text).removesuffix("\n").replace(
            "\n", "\r\n"
        ) + ("\r\n")
    inline = [one for one in letter.attachments if one.content_id and letter.html is not None]
    rest = [one for one in letter.attachments if one not in inline]
    for leaf, file in zip(leaves[len(bodies) :], [*inline, *rest], strict=True):
        assert leaf.get_payload(decode=True) == file.content
        assert leaf.get_content_type() == file.content_type
        assert (leaf.get_filename() or "").strip() == file.file_name.strip()


@given(TEXTS)
def test_the_newer_parser_reads_the_subject_too(text: str) -> None:
    subject = " ".join(text.split())
    assert str(modern(replace(LETTER, subject=subject))["Subject"]) == subject
