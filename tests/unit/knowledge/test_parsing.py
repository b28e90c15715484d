"""Files to texts: what each kind says, and a reason for what cannot be read."""

from __future__ import annotations

import struct
import zipfile
import zlib
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.knowledge import chunking, parsing
from countersign.knowledge.parsing import (
    CSV,
    DOCX,
    HTML,
    KINDS,
    MARKDOWN,
    PDF,
    PLAIN,
    Unreadable,
    plain,
)
from tests.unit.knowledge import files
from tests.unit.timing import seconds

PAGE = """<!doctype html><html><head><title>Returns
 &amp; refunds</title><style>p{}</style></head><body>
<nav><a href=/>Home</a></nav>
<main><h1>Returns</h1><p>You may <b>return</b> any
part&nbsp;<a href=x>within</a> 30 days.<br>Really.</p>
<ul><li>one<li><p>two</p><ol><li>deeper</ol></ul>
<table><tr><th>AN</th><th>Inch</th></tr><tr><td>6</td><td>3/8</td></tr></table>
<pre>  a
    b</pre><p hidden>secret</p><script>alert(1)</script><h2>Refunds</h2>In two weeks.</main>
<footer>Copyright</footer></body></html>"""


def reason(content: bytes, content_type: str) -> str:
    with pytest.raises(Unreadable) as caught:
        parsing.parse(content, content_type)
    assert len(caught.value.detail) > 20
    return caught.value.reason


def test_a_page_says_its_main_part() -> None:
    read = parsing.parse(PAGE.encode(), "text/html; charset=utf-8")
    assert (read.title, read.content_type) == ("Returns & refunds", MARKDOWN)
    assert read.content == (
        "# Returns\n\nYou may return any part\xa0within 30 days.\nReally.\n\n- one\n- two\n"
        "  1. deeper\n\n| AN | Inch\n| 6 | 3/8\n\n```\n  a\n    b\n```\n\n## Refunds\n\n"
        "In two weeks.\n"
    )


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("<p>Größe 日本".encode(), "text/html; charset=UTF-8"),
        ("<meta charset=windows-1252><p>Größe 日本".encode(), "text/html; charset=utf-8"),
        ("<meta charset='shift_jis'><p>Größe 日本".encode("shift_jis", "ignore"), HTML),
        ("<p>Größe 日本".encode(), HTML),
        ("\ufeff<p>Größe 日本".encode("utf-16-le"), "text/html; charset=utf-8"),
    ],
)
def test_a_page_has_the_charset_that_browsers_give_it(content: bytes, content_type: str) -> None:
    assert "日本" in parsing.parse(content, content_type).content


@pytest.mark.parametrize(
    "text",
    [
        "Größe",
        "«\xa0Élève\xa0: la création a été créée l’été dernier…\xa0»",
        "¿Cuánto cuesta? ¡Nada! – 5\xa0€",
        "Þetta er æðislegt, góðan daginn",
        "col·lecció 20 m² à 10½ °C ‘it’s’ “© 2026”",
    ],
)
def test_a_page_of_an_unknown_charset_may_be_western(text: str) -> None:
    content = f"<p>{text}".encode("cp1252")
    assert parsing.parse(content, "text/html").content == f"{text}\n"


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("Возврат в течение тридцати дней", "cp1251"),
        ("Возврат в течение тридцати дней", "koi8-r"),
        ("Returns: возврат. Any part, все части.", "cp1251"),
        ("返品は三十日以内にお願いします。", "shift_jis"),
        ("返品は三十日以内にお願いします。", "euc-jp"),
        ("三十天内可以退货", "gb18030"),
        ("Επιστροφές εντός τριάντα ημερών", "cp1253"),
        ("Zażółć gęślą jaźń, proszę zwrócić część", "cp1250"),
        ("Größe – größer – am größten".ljust(60), "utf-8"),
    ],
)
def test_a_page_that_cannot_be_western_is_not_guessed_at(text: str, charset: str) -> None:
    content = f"<p>{text}".encode(charset)
    assert parsing.parse(content, f"text/html; charset={charset}").content.strip() == text.strip()
    broken = b"\xff" if charset == "utf-8" else b""
    assert reason(content + broken, HTML) == "charset"


def test_a_page_may_name_its_charset_late() -> None:
    content = f"<style>{'p{}' * 2_000}</style><meta charset=shift_jis><p>日本".encode("shift_jis")
    assert parsing.parse(content, HTML).content == "日本\n"


def test_a_page_may_nest_as_it_likes() -> None:
    deep = "<div>" * 5_000 + "Deep." + "<b>" * 5_000
    assert parsing.parse(deep.encode(), HTML).content == "Deep.\n"


@pytest.mark.parametrize(
    "page",
    [
        "<p>a" * 1_100_000,
        "<br>" * 1_100_000,
        "a " * 9_000_000,
        "<p a=1 b=2 c=3>" * 300_000,
        "<p " + " ".join(f"a{number}" for number in range(100_000)) + ">",
        "<div>" * 50_000,
        # What ends there, or only seems to.
        "<div><object></div></object>" * 50_000,
        "<div><!--</div>-->" * 50_000,
        "<div title='</div>'>" * 50_000,
        "<div><script></div></script>" * 50_000,
        "<div><span>".ljust(20, "a") * 30_000,
        # Each paragraph opens all of them again.
        "".join(f"<font size={number}>" for number in range(500)) + "<p>a" * 10_000,
    ],
)
def test_pages_that_would_take_too_much_are_refused_at_once(page: str) -> None:
    content = page.encode()
    assert seconds(lambda given: reason(given, HTML), content, runs=1) < 5
    assert reason(content, HTML) == "too_large"


def test_a_long_page_of_careless_tags_is_read() -> None:
    part = "<div class=x><p><b>Bold <i>and</b> slanted</i><p>More<span> words<li>a<li>b</div>"
    assert "slanted" in parsing.parse(part.encode() * 2_000, HTML).content


def test_lists_within_lists_do_not_multiply() -> None:
    content = ("<ul><li>a" * 5_000).encode()
    assert len(parsing.parse(content, HTML).content) < 50 * 5_000


def test_a_word_document_has_headings_and_paragraphs() -> None:
    content = files.docx(("Heading1", "Returns"), ("", "Any part."), ("Heading2", "Größe"))
    read = parsing.parse(content, DOCX)
    assert (read.content, read.content_type) == ("# Returns\n\nAny part.\n\n## Größe\n", MARKDOWN)


def test_a_pdf_has_pages() -> None:
    read = parsing.parse(files.pdf(["One", "and two."], ["Three."]), PDF)
    assert (read.content, read.content_type) == ("One\nand two.\n\nThree.", PLAIN)


def test_a_pdf_that_is_locked_against_changes_alone_is_read() -> None:
    assert parsing.parse(files.locked_pdf("", ["Open."]), PDF).content == "Open."


@pytest.mark.parametrize("parts", [",", ";", "\t"])
def test_pairs_of_question_and_answer(parts: str) -> None:
    text = 'id,Question,answer\n1,"How\nlong?",Two weeks.\n,,\n2,"Which ""AN""?",AN-6\n'
    read = parsing.parse(text.replace(",", parts).encode(), CSV)
    assert read.content == '# How long?\n\nTwo weeks.\n\n# Which "AN"?\n\nAN-6\n'
    assert parsing.parse(b"Why?,Because.", CSV).content == "# Why?\n\nBecause.\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b,c\n", "Name the columns"),
        ("question,answer\nWhy?,\n", "line 2 has no answer"),
        ("question,answer\nWhy?\n", "line 2 has no answer"),
        ('question,answer\n"Why?,x', "not CSV"),
        ("question,answer\n" + "x" * 200_000 + ",a", "131,072"),
        ("question,answer\n", "names of its columns"),
        ("\n \n", "no rows"),
    ],
)
def test_what_is_not_pairs_is_refused_as_a_whole(text: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        parsing.parse(text.encode(), CSV)


def test_pairs_are_as_long_as_other_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "MOST_CHARACTERS", 1_000)
    assert reason(b"question,answer\n" + b"x" * 200_000 + b",a", CSV) == "too_large"
    assert reason(b"a,b\n" * 1_000, CSV) == "too_large"


@pytest.mark.parametrize(
    "text",
    [
        "Hello, you?;Yes.\nHow, when, where?;There.\n",
        '"Hello, you?";Yes.\n"How, when, where?";There.\n',
        'sep=;\n"Hello, you?";Yes.\n"How, when, where?";There.\n',
        'sep=,\r\n"Hello, you?",Yes.\r\n"How, when, where?",There.\r\n',
        "Question\tAnswer, short\tanswer\nHello, you?\t-\tYes.\nHow, when, where?\t-\tThere.\n",
    ],
)
def test_what_parts_pairs_is_found_from_the_first_rows(text: str) -> None:
    told = parsing.parse(text.encode(), CSV).content
    assert told == "# Hello, you?\n\nYes.\n\n# How, when, where?\n\nThere.\n"


@pytest.mark.parametrize("words", [40, 150, 1_000])
def test_all_of_a_long_question_is_kept(words: int) -> None:
    question = " ".join(f"word{number}" for number in range(words))
    text = parsing.parse(f"Why?,Because.\n{question},Yes.".encode(), CSV).content
    pieces = [piece for piece in chunking.pieces(text, MARKDOWN) if piece.heading != "Why?"]
    assert all(piece.heading == question[: len(piece.heading)] for piece in pieces)
    told = " ".join(piece.embedded for piece in pieces).split()
    assert {*question.split(), "Yes."} <= set(told)


def test_an_answer_stays_below_its_question() -> None:
    answer = "# Steps\nFirst\n===\nSecond\n---\n  ## Then\n```\ncode\n#no 1 # 2"
    text = parsing.parse(f'Why?,"{answer}"\nHow?,So.\n'.encode(), CSV).content
    assert [piece.heading for piece in chunking.pieces(text, MARKDOWN)] == ["Why?", "How?"]
    assert "\\# Steps\nFirst\n\\===\nSecond\n\\---\n  \\## Then\n\\```\ncode\n#no" in text


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("Größe".encode("cp1252"), "text/plain; charset=windows-1252"),
        ("Größe".encode("cp1252"), "text/markdown; charset=iso-8859-1"),
        ("\ufeffGröße".encode(), "text/markdown; charset=us-ascii"),
        ("\ufeffGröße".encode("utf-16-be"), PLAIN),
        ("\ufeffGröße".encode("utf-32-le"), PLAIN),
        ("\ufeffGröße".encode("utf-32-be"), PLAIN),
        ("Größe".encode("utf-16-le"), PLAIN),
        ("Größe".encode("utf-16-be"), MARKDOWN),
        ("Größe".encode("utf-16-le"), "text/plain; charset=utf-16le"),
        ("Größe".encode(), "application/octet-stream"),
    ],
)
def test_a_text_has_the_charset_that_it_names(content: bytes, content_type: str) -> None:
    assert parsing.parse(content, content_type).content == "Größe"


def test_line_ends_are_one_character() -> None:
    assert parsing.parse(b"a\r\nb\rc\n", PLAIN).content == "a\nb\nc\n"


def bomb() -> bytes:
    return files.archive("<w>" + " " * 50_000_000 + "</w>")


def lying_bomb() -> bytes:
    """Says that its part unpacks to a hundred bytes."""
    content, size = bomb(), struct.pack("<L", 50_000_007)
    assert content.count(size) == 2
    return content.replace(size, struct.pack("<L", 100))


def pdf_bomb() -> bytes:
    packed = zlib.compress(b"BT " + b" " * 100_000_000)
    content = files.pdf(["x"])
    start, end = content.index(b"stream\n") + 7, content.index(b"\nendstream")
    return content[:start] + packed + content[end:]


@pytest.mark.parametrize(
    ("content", "content_type", "why"),
    [
        (b"", MARKDOWN, "empty"),
        (b" \r\n\t", MARKDOWN, "empty"),
        (b"<html><body><nav>Home</nav></body></html>", HTML, "empty"),
        (files.pdf([]), PDF, "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", MARKDOWN, "binary"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", HTML, "binary"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", CSV, "binary"),
        (b"text " * 20_000 + b"\0", PLAIN, "binary"),
        ("Größe".encode("cp1252"), MARKDOWN, "charset"),
        ("Größe".encode("cp1252"), "text/plain; charset=utf-8", "charset"),
        ("Größe".encode(), "text/plain; charset=utf-16", "charset"),
        (b"x", "text/plain; charset=base64", "charset"),
        (b"%PDF-1.4\n nothing of the kind", PDF, "corrupt"),
        (files.pdf(["One."])[:300], PDF, "corrupt"),
        (files.locked_pdf("secret", ["Hidden."]), PDF, "encrypted"),
        (files.docx(("", "x"))[:200], DOCX, "corrupt"),
        (files.archive("<w:document"), DOCX, "corrupt"),
        (b"PK\x03\x04", "application/octet-stream", "corrupt"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", DOCX, "encrypted"),
        (b"GIF89a", "image/gif", "unsupported"),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, content_type: str, why: str) -> None:
    assert reason(content, content_type) == why


def test_bombs_are_not_unpacked() -> None:
    assert reason(bomb(), DOCX) == "too_large"
    assert reason(lying_bomb(), DOCX) == "corrupt"
    assert reason(pdf_bomb(), PDF) in ("corrupt", "empty")


_MANY: dict[str, Any] = {f"x{number}": "" for number in range(10_000)}
_PART = files.body("<w:p/>" * 200_000)


@pytest.mark.parametrize(
    "content",
    [
        files.archive(_PART + " " * 30_000_000, "word/doc.bin"),
        files.archive(files.body("<w:p/>" * 1_000_000), "word/media/image1.png"),
        files.archive(("\ufeff" + _PART * 3).encode("utf-16-le")),
        files.archive(_PART, footnotes_xml=_PART, endnotes_xml=_PART, comments_xml=_PART),
        files.archive(files.body('<w:p a="" b="" c="" d=""/>' * 400_000)),
        files.archive("<w/>", **_MANY),
    ],
)
def test_what_a_word_document_unpacks_to_is_bounded(content: bytes) -> None:
    assert seconds(lambda given: reason(given, DOCX), content, runs=1) < 2
    assert reason(content, DOCX) == "too_large"


def test_pictures_do_not_count() -> None:
    document = files.body("<w:p><w:r><w:t>Text</w:t></w:r></w:p>")
    picture = b"\x89PNG\r\n\x1a\n" + b"<" * 20_000_000
    assert parsing.parse(files.archive(document, image1_png=picture), DOCX).content == "Text\n"


def test_what_is_mentioned_often_is_told_once() -> None:
    mention = '<w:p><w:r><w:footnoteReference w:id="7"/></w:r></w:p>'
    note = f'<w:footnote w:id="7"><w:p><w:r><w:t>{"x" * 10_000}</w:t></w:r></w:p></w:footnote>'
    notes = f"<w:footnotes {files.WORD}>{note}</w:footnotes>"
    content = files.archive(files.body(mention * 100), footnotes_xml=notes)
    assert 10_000 <= len(parsing.parse(content, DOCX).content) < 11_000


def test_the_address_of_a_link_is_not_told() -> None:
    link = '<w:hyperlink w:anchor="x"><w:r><w:t>Text</w:t></w:r></w:hyperlink>'
    assert parsing.parse(files.archive(files.body(link)), DOCX).content == "Text\n"


def test_what_no_word_document_holds_is_not_unpacked() -> None:
    assert reason(files.archive(_PART, packed_by=zipfile.ZIP_BZIP2), DOCX) == "corrupt"
    entity = '<!DOCTYPE w [<!ENTITY a "<w:p/>">]>'
    assert reason(files.archive(entity + files.body("&a;" * 10)), DOCX) == "corrupt"


def test_an_archive_that_is_no_document_is_refused() -> None:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as parts:
        parts.writestr("x.txt", "x")
    assert reason(made.getvalue(), DOCX) == "corrupt"


def test_entities_do_not_multiply() -> None:
    lol = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    document = f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY l0 "lol">{lol}]><w>&l9;</w>'
    assert reason(files.archive(document), DOCX) == "corrupt"


_MARKUP = st.lists(
    st.sampled_from(
        [
            "<p>",
            "</p>",
            "<ul>",
            "</ul>",
            "<ol>",
            "<li>",
            "</li>",
            "<table>",
            "<tr>",
            "<td>",
            "<pre>",
            "</pre>",
            "<h2>",
            "</h2>",
            "<b>",
            "</b>",
            "<br>",
            " ",
            "a",
            "\n",
            "# ",
            "- ",
            "&nbsp;",
            "<script>",
            "</script>",
            "<main>",
            "</main>",
            "<!--",
            "-->",
            "<svg>",
            "</svg>",
            "<hr>",
        ]
    ),
    max_size=40,
).map("".join)


@given(_MARKUP)
def test_any_markup_is_read(markup: str) -> None:
    read = parsing.parse(("x" + markup).encode(), HTML)
    assert read.content.strip()


@given(st.binary(max_size=300), st.sampled_from([*KINDS, ""]))
def test_any_bytes_are_read_or_refused(content: bytes, content_type: str) -> None:
    starts = {PDF: b"%PDF-1.7\n", DOCX: b"PK\x03\x04"}
    with suppress(Unreadable):
        read = parsing.parse(starts.get(content_type, b"") + content, content_type)
        assert read.content.strip()
        assert "\0" not in read.content
        read.content.encode()
