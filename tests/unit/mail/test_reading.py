"""What a mail says, and what is attached to it, whatever way its parts are put together."""

from __future__ import annotations

import base64

import pytest

from countersign.mail.reading import MOST_BYTES, contents, read
from countersign.platform.errors import Invalid

HEAD = b"From: Ann <ann@example.com>\r\nTo: help@example.org\r\nSubject: Hose\r\n"
PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n"
PNG = (
    b"Content-Type: image/png; name=logo.png\r\nContent-ID: <logo@x>\r\n"
    b"Content-Disposition: inline\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0=\r\n"
)
PDF = (
    b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
    b'Content-Disposition: attachment; filename="bill.pdf"\r\n\r\nJVBERi0=\r\n'
)


def multipart(kind: str, *parts: bytes, boundary: str = "b", more: str = "") -> bytes:
    """A multipart as a part: its header and its body."""
    mark = boundary.encode()
    inner = b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in parts)
    head = f"Content-Type: multipart/{kind}; boundary={boundary}{more}\r\n\r\n".encode()
    return head + b"A preamble.\r\n" + inner + b"--" + mark + b"--\r\nAn epilogue.\r\n"


def test_a_mail_without_mime_is_plain_text() -> None:
    mail = read(HEAD + b"\r\nIt leaks.\r\n")
    assert (mail.text, mail.html, mail.parts) == ("It leaks.\n", None, ())
    assert mail.from_[0].name == "Ann"
    assert mail.subject == "Hose"


def test_an_alternative_says_the_same_both_ways() -> None:
    mail = read(HEAD + multipart("alternative", PLAIN + b"It leaks.", HTML + b"<p>It leaks."))
    assert (mail.text, mail.html, mail.parts) == ("It leaks.", "<p>It leaks.", ())


def test_an_alternative_in_related_in_mixed() -> None:
    alternative = multipart(
        "alternative", PLAIN + b"See", HTML + b"<img src=cid:logo@x>", boundary="a"
    )
    related = multipart("related", alternative, PNG, boundary="r")
    raw = HEAD + multipart("mixed", related, PDF)
    mail = read(raw)
    assert (mail.text, mail.html) == ("See", "<img src=cid:logo@x>")
    logo, bill = mail.parts
    assert (logo.content_type, logo.file_name, logo.disposition) == (
        "image/png",
        "logo.png",
        "inline",
    )
    assert (logo.content_id, logo.size) == ("logo@x", 5)
    assert (bill.file_name, bill.disposition, bill.content_id) == ("bill.pdf", "attachment", None)
    assert dict(contents(raw))[bill.index] == b"%PDF-"
    assert dict(contents(raw))[logo.index] == b"\x89PNG\r"


def test_contents_are_those_of_the_parts_and_of_nothing_else() -> None:
    raw = HEAD + multipart("mixed", PLAIN + b"body", PDF)
    assert list(contents(raw)) == [(part.index, b"%PDF-") for part in read(raw).parts]
    assert list(contents(b"")) == []


def test_texts_with_images_between_them_are_one_body() -> None:
    mail = read(HEAD + multipart("mixed", PLAIN + b"Before", PNG, PLAIN + b"after", PDF, PLAIN))
    assert mail.text == "Before\nafter"
    assert [part.index for part in mail.parts] == [1, 3]


def test_html_with_files_between_it_is_one_body() -> None:
    rich = multipart("mixed", HTML + b"<p>One", PDF, HTML + b"<p>Two", boundary="m")
    mail = read(HEAD + multipart("alternative", PLAIN + b"One Two", rich))
    assert (mail.text, mail.html) == ("One Two", "<p>One\n<p>Two")
    assert [part.file_name for part in mail.parts] == ["bill.pdf"]


def test_a_footer_of_plain_text_joins_both_ways_of_the_body() -> None:
    both = multipart("alternative", PLAIN + b"Hi", HTML + b"<p>Hi", boundary="a")
    mail = read(HEAD + multipart("mixed", both, PLAIN + b"-- \na <list>"))
    assert mail.text == "Hi\n-- \na <list>"
    assert mail.html == "<p>Hi\n<div>-- <br>\na &lt;list&gt;</div>"


def test_text_is_none_where_some_of_the_body_is_html_alone() -> None:
    mail = read(HEAD + multipart("mixed", HTML + b"<p>Said", PLAIN + b"A list's footer"))
    assert mail.text is None
    assert mail.html == "<p>Said\n<div>A list&#x27;s footer</div>"


def test_a_blank_alternative_is_none() -> None:
    mail = read(HEAD + multipart("alternative", PLAIN + b" \r\n", HTML + b"<p>Said"))
    assert (mail.text, mail.html) == (None, "<p>Said")


def test_a_plain_and_an_html_section_that_say_the_same_are_one() -> None:
    said = b"It leaks where the tap is"
    mail = read(
        HEAD + multipart("mixed", PLAIN + said, HTML + b"<p>It leaks <b>where</b> the tap is")
    )
    assert (mail.text, mail.html) == (said.decode(), "<p>It leaks <b>where</b> the tap is")
    apart = read(HEAD + multipart("mixed", PLAIN + said, HTML + b"<p>Something else"))
    assert apart.text is None


def test_a_text_with_a_name_is_a_file() -> None:
    log = b"Content-Type: text/plain; name=app.log\r\nContent-Disposition: inline\r\n\r\nERROR"
    mail = read(HEAD + multipart("mixed", PLAIN + b"See the log", log))
    assert mail.text == "See the log"
    assert [(part.file_name, part.disposition) for part in mail.parts] == [("app.log", "inline")]
    alone = read(HEAD + multipart("mixed", log, PDF))
    assert alone.text == "ERROR"
    version = multipart("alternative", log, HTML + b"<p>ERROR")
    assert read(HEAD + version).text == "ERROR"
    nameless = read(HEAD + b"Content-Disposition: attachment\r\n\r\nsaid")
    assert (nameless.text, nameless.parts) == ("said", ())
    attached = read(HEAD + b"Content-Disposition: attachment; filename=a.txt\r\n\r\nfile")
    assert (attached.text, attached.parts[0].file_name) == (None, "a.txt")


@pytest.mark.parametrize("kind", ["message/rfc822", "message/global"])
def test_a_forwarded_mail_is_a_part_and_not_the_body(kind: str) -> None:
    inner = HEAD + multipart("mixed", PLAIN + b"Long ago", PDF, boundary="inner")
    forwarded = f"Content-Type: {kind}\r\n\r\n".encode() + inner
    raw = HEAD + multipart("mixed", PLAIN + b"See below", forwarded)
    mail = read(raw)
    assert mail.text == "See below"
    (part,) = mail.parts
    assert (part.content_type, part.disposition) == (kind, "attachment")
    assert read(dict(contents(raw))[part.index]).text == "Long ago"


def test_a_digest_holds_mails() -> None:
    mail = read(
        HEAD + multipart("digest", b"\r\n" + HEAD + b"\r\none", b"\r\n" + HEAD + b"\r\ntwo")
    )
    assert [part.content_type for part in mail.parts] == ["message/rfc822"] * 2
    assert mail.text is None


def test_signed_and_encrypted_mail() -> None:
    signature = b"Content-Type: application/pgp-signature; name=signature.asc\r\n\r\n-----BEGIN"
    signed = read(HEAD + multipart("signed", PLAIN + b"I am I", signature))
    assert (signed.text, len(signed.parts)) == ("I am I", 1)
    version = b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1"
    secret = b"Content-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----"
    encrypted = read(HEAD + multipart("encrypted", version, secret))
    assert (encrypted.text, len(encrypted.parts)) == (None, 2)


def test_the_root_of_related_may_be_named() -> None:
    root = b"Content-ID: <root>\r\n" + HTML + b"<p>Root"
    mail = read(HEAD + multipart("related", PNG, root, more='; start="<root>"'))
    assert mail.html == "<p>Root"
    assert [part.file_name for part in mail.parts] == ["logo.png"]


def test_a_calendar_is_a_part() -> None:
    invitation = b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR"
    mail = read(HEAD + multipart("alternative", PLAIN + b"Meet", HTML + b"<p>Meet", invitation))
    assert (mail.text, mail.html) == ("Meet", "<p>Meet")
    assert [part.content_type for part in mail.parts] == ["text/calendar"]


def test_other_texts_are_read_as_plain_ones() -> None:
    enriched = b"Content-Type: text/enriched\r\n\r\n<bold>Hi</bold> <<you\r\nthere\r\n\r\nx"
    assert read(HEAD + enriched).text == "Hi <you there\nx"
    assert read(HEAD + b"Content-Type: text/x-unknown\r\n\r\nHi").text == "Hi"
    assert read(HEAD + b"Content-Type: nonsense\r\n\r\nHi").text == "Hi"
    both = multipart("alternative", PLAIN + b"Hi", enriched)
    assert read(HEAD + both).text == "Hi"


def test_a_flowed_text_has_the_lines_that_were_written() -> None:
    flowed = b"Content-Type: text/plain; format=flowed\r\n\r\n"
    said = (
        b"> He wrote \r\n> this\r\n>> and he \r\n>> that\r\n\r\nA line \r\nof mine\r\n From space"
    )
    said += b"\r\n-- \r\nAnn \r\n"
    assert read(HEAD + flowed + said).text == (
        "> He wrote this\n>> and he that\n\nA line of mine\nFrom space\n-- \nAnn "
    )
    deleted = b"Content-Type: text/plain; format=flowed; DelSp=yes\r\n\r\n"
    assert read(HEAD + deleted + b"Donau \r\ndampf\r\n").text == "Donaudampf\n"


def test_a_delivery_report() -> None:
    status = (
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        b"Final-Recipient: rfc822; bob@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"Diagnostic-Code: smtp; 550 no\r\n such user\r\n"
    )
    original = b"Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <a@b>\r\n"
    original += b"Subject: =?utf-8?q?=C3=A4?=\r\n"
    raw = HEAD + multipart(
        "report", PLAIN + b"Sorry", status, original, more="; report-type=Delivery-Status"
    )
    mail = read(raw)
    assert mail.text == "Sorry"
    assert mail.report is not None
    assert mail.report.report_type == "delivery-status"
    about, recipient = mail.report.status
    assert about == {"reporting-mta": "dns; mx.example"}
    assert recipient["status"] == "5.1.1"
    assert recipient["diagnostic-code"] == "smtp; 550 no such user"
    assert mail.report.original == {"message-id": ("<a@b>",), "subject": ("ä",)}
    assert [part.content_type for part in mail.parts] == [
        "message/delivery-status",
        "text/rfc822-headers",
    ]


def test_reports_are_told_by_their_parts_too() -> None:
    notice = b"Content-Type: message/disposition-notification\r\n\r\nDisposition: x; displayed\r\n"
    mail = read(HEAD + multipart("mixed", PLAIN + b"Read", notice))
    assert mail.report is not None
    assert mail.report.report_type == "disposition-notification"
    assert mail.report.status == ({"disposition": "x; displayed"},)
    assert read(HEAD + b"\r\nno report").report is None


def test_a_uuencoded_file_in_a_text_is_a_part() -> None:
    raw = HEAD + b"\r\nSee\r\nbegin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\nBye\r\n"
    mail = read(raw)
    assert mail.text == "See\nBye\n"
    (part,) = mail.parts
    assert (part.file_name, part.size, dict(contents(raw))[part.index]) == ("cat.txt", 3, b"Cat")
    prose = "We begin 644 now\nbegin 644 x\nnot so\n"
    assert read(HEAD + b"\r\n" + prose.encode()).text == prose


@pytest.mark.parametrize(
    ("parameters", "body", "text"),
    [
        ("; boundary=b", b"--b\r\n\r\nno end", "no end"),
        ("; boundary=b", b"just text", "just text"),
        ("", b"just text", "just text"),
        ('; boundary=""', b"Text\r\n-- \r\nAnn", "Text\n-- \nAnn"),
        ("", b"--x\r\nContent-Type: text/plain\r\n\r\nguessed\r\n--x--", "guessed"),
        ("; boundary=y", b"--x\r\nContent-Type: text/plain\r\n\r\nguessed\r\n--x--", "guessed"),
        ("; boundary=b", b"--b\r\n\r\nend\r\n--b-->\r\nspam", "end"),
        ("; boundary=b", b"--b  \r\n\r\nblanks\r\n--b--  \r\n", "blanks"),
        ("; boundary=b", b"--b\r\n--b\r\n\r\nsecond\r\n--b--", "second"),
        ('; boundary="b c"', b"--b c\r\n\r\ntwo words\r\n--b c--", "two words"),
        ('; boundary="b\r\n c"', b"--b c\r\n\r\nfolded\r\n--b c--", "folded"),
        ("; boundary=b; boundary=c", b"--b\r\n\r\nthe first\r\n--b--", "the first"),
    ],
)
def test_damaged_multiparts_are_read(parameters: str, body: bytes, text: str) -> None:
    head = f"Content-Type: multipart/*{parameters}\r\n\r\n".encode()
    assert read(HEAD + head + body).text == text


def test_a_boundary_in_the_preamble_is_one_and_a_longer_line_is_none() -> None:
    body = b"Preamble\r\n--b\r\n\r\none\r\n--bb\r\ntwo\r\n--b--\r\n"
    assert (
        read(HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body).text
        == "one\n--bb\ntwo"
    )


def test_an_outer_boundary_ends_all_inside() -> None:
    inner = b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\ninside"
    assert read(HEAD + multipart("mixed", inner, PLAIN + b"outside")).text == "inside\noutside"


@pytest.mark.parametrize(
    "raw", [b"", b" \r\n\t", b"\x89PNG\r\n\x1a\n\0\0", b"hello", b"\r\n\r\nhello world"]
)
def test_what_is_no_mail_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid):
        read(raw)


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(Invalid, match=str(MOST_BYTES)):
        read(HEAD + b"\r\n" + bytes(MOST_BYTES))


def test_a_very_long_text_is_cut_and_said_to_be() -> None:
    mail = read(HEAD + b"\r\n" + b"text\r\n" * 1_000_000)
    assert mail.text is not None
    assert 3_000_000 < len(mail.text) < 5_000_000
    assert "long-text" in mail.defects


def test_indexes_are_the_same_each_time() -> None:
    files = [PDF, PNG, b"Content-Type: a/b\r\n\r\nx", PLAIN + b"t"]
    raw = HEAD + multipart("mixed", PLAIN + b"body", *files)
    mail = read(raw)
    assert mail == read(raw)
    found = [(index, len(content)) for index, content in contents(raw)]
    assert found == [(part.index, part.size) for part in mail.parts]


def test_base64_of_a_mail_in_a_mail() -> None:
    inner = base64.encodebytes(HEAD + b"\r\nInside")
    part = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + inner
    raw = HEAD + multipart("mixed", PLAIN, part)
    assert read(dict(contents(raw))[1]).text == "Inside"
