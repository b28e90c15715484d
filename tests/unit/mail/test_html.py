"""HTML of mails: what is left of it for display, and the text that a reader sees."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.mail import layout, markup
from countersign.mail.html import sanitize, to_text
from tests.unit.timing import seconds


def attributes(html: str, tag: str) -> dict[str, str]:
    """Of the only `tag` in `html`."""
    (found,) = re.findall(rf"<{tag}\b([^>]*)>", html)
    return dict(re.findall(r' ([\w-]+)="([^"]*)"', found))


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<ScRiPt/x>alert(1)</sCrIpT foo>",
        "<script>alert(1)",
        "<style>p{background:url(https://example.com/x)}</style>",
        "<svg><script>alert(1)</script></svg>",
        '<svg><a xlink:href="javascript:alert(1)"></a></svg>',
        "<math><mi><mglyph><style><!--</style>"
        '<img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
        "<iframe src=https://example.com></iframe>",
        "<form action=https://example.com><input name=x></form>",
        "<meta http-equiv=refresh content='0;url=https://example.com'>",
        "<link rel=stylesheet href=https://example.com/x.css>",
        "<base href=https://example.com/>",
        "<object data=https://example.com></object><embed src=https://example.com>",
        "<p onclick=alert(1) onmouseover='alert(1)'>",
        "<img src=x onerror=alert(1)//",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
        "<textarea></textarea><script>alert(1)</script>",
        "<!--><script>alert(1)</script>-->",
        "<body background=https://example.com/x.gif>",
        "<table background=https://example.com/x.gif><tr><td background=//example.com/y>",
        "<video src=https://example.com/x.mp4 autoplay poster=https://example.com/y></video>",
        "<img srcset='https://example.com/x.gif 2x'>",
        "<p style=\"background:url('https://example.com/x')\">",
        "<p style='background-color:u\\72l(https://example.com/x)'>",
        "<p style='list-style-image:url(https://example.com/x)'>",
        "<p style='width:expression(alert(1))'>",
        "<p style='position:fixed;top:0;left:0;z-index:9999'>",
        "<a href=javascript:alert(1)>",
        "<a href=' java\nscript:alert(1)'>",
        "<a href='data:text/html,<script>alert(1)</script>'>",
        "<a href=vbscript:x>",
        "<img src=javascript:alert(1)>",
        "<img src='data:image/svg+xml;base64,PHN2Zz4='>",
        "<p id=app class=modal name=body>",
    ],
)
def test_nothing_that_runs_loads_or_meets_the_page_is_left(html: str) -> None:
    # What only describes may say anything.
    cleaned = re.sub(r' title="[^"]*"', "", sanitize(html))
    inside = " ".join(re.findall(r"<[^>]*>", cleaned)).lower()
    assert not re.search(
        r"script|alert|example\.com|\son\w+=|svg|position|z-index|expression|\sid=|class=|name=",
        inside,
    )


def test_an_image_from_elsewhere_waits_until_its_reader_asks() -> None:
    image = attributes(
        sanitize('<img alt="Logo" src="https://example.com/logo.png?a=1&b=2">'), "img"
    )
    assert image == {"alt": "Logo", "data-src": "https://example.com/logo.png?a=1&amp;b=2"}


@pytest.mark.parametrize(
    "source", ["//example.com/x.png", "/x.png", "x.png", "HTTPS://example.com/x", "\nhttps://a.b"]
)
def test_no_image_from_elsewhere_has_a_source(source: str) -> None:
    assert "src" not in attributes(sanitize(f'<img src="{source}">'), "img")


@pytest.mark.parametrize("pixel", ["width=1 height=1", "width=0", 'height="1px"', "height='01'"])
def test_an_image_of_one_pixel_is_never_loaded(pixel: str) -> None:
    image = attributes(sanitize(f"<img src=https://example.com/open.gif {pixel}>"), "img")
    assert not image.keys() & {"src", "data-src"}


@pytest.mark.parametrize("source", ["cid:logo@example.com", "data:image/png;base64,iVBORw0KGgo="])
def test_an_image_that_came_along_keeps_its_place(source: str) -> None:
    assert attributes(sanitize(f"<img src='{source}'>"), "img") == {"src": source}


def test_a_link_opens_elsewhere_and_tells_nothing() -> None:
    link = attributes(sanitize("<a href='https://example.com/a?b=1' onclick=x>a</a>"), "a")
    assert link["href"] == "https://example.com/a?b=1"
    assert link["target"] == "_blank"
    assert set(link["rel"].split()) == {"noopener", "noreferrer", "nofollow"}


def test_what_a_mail_looks_like_stays() -> None:
    cell = '<td style="color:#333;padding:4px">a <b>b</b></td>'
    html = f'<table width="600"><tbody><tr>{cell}</tr></tbody></table>'
    assert sanitize(html) == html
    assert sanitize('<p style="color:rgb(1,2,3)">x</p>') == '<p style="color:rgb(1, 2, 3)">x</p>'


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("one<br>two", "one\ntwo"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<div>one</div><div><br></div><div>two</div>", "one\n\ntwo"),
        ("<div><div>one</div></div><div>two</div>", "one\ntwo"),
        ("<p class=MsoNormal>one</p><p class=MsoNormal>two</p>", "one\ntwo"),
        ("  one \n two  <b> three</b>", "one two three"),
        ("un<b>break</b>able", "unbreakable"),
        ("a&nbsp;&amp;&lt;b&gt;&#8364;", "a &<b>€"),
        ("5 < 6 and 7 > 2", "5 < 6 and 7 > 2"),
        ("<ul><li>one<li>two</ul>", "- one\n- two"),
        (
            "<ol start=3><li>one<ul><li>inner</li></ul></li><li>two</li></ol>",
            "3. one\n  - inner\n4. two",
        ),
        ("<h1>Head</h1>Body", "Head\n\nBody"),
        ("<pre>a\n  b\n\nc</pre>", "a\n  b\n\nc"),
        ('<div style="white-space: pre-wrap">a\n  b</div>', "a\n  b"),
        (
            "<table><tr><th>Part</th><th>Price</th></tr>"
            "<tr><td><p>AN-6</p></td><td><p>€ 4</p></td></tr></table>",
            "Part | Price\nAN-6 | € 4",
        ),
        ("<table><tr><td>From:</td><td>Ana</td></tr></table>", "From: Ana"),
        ("<table><tr><td><p>a</p><p>b</p></td><td>c</td></tr></table>", "a\n\nb\nc"),
        ('<a href="https://example.com/track">Track it</a>', "Track it <https://example.com/track>"),
        ('<a href="https://example.com/">example.com</a>', "example.com"),
        ('<a href="mailto:ana@example.com?subject=x">Ana</a>', "Ana <ana@example.com>"),
        ('<a href="mailto:ana@example.com">ana@example.com</a>', "ana@example.com"),
        ("<a href='javascript:x'>here</a>", "here"),
        ('<img alt="Broken pump" src="cid:x">', "[Broken pump]"),
        ('<img alt="🙂" src="cid:x">', "🙂"),
        (
            "<blockquote type=cite>a<blockquote type=cite>b</blockquote></blockquote>c",
            "> a\n>\n> > b\n\nc",
        ),
        ('<blockquote style="margin:0 0 0 40px;border:none">indented</blockquote>', "indented"),
        ('<span style="display:none">preview</span>text', "text"),
        ("<head><title>t</title><style>p{}</style></head>text", "text"),
        ("<!--[if mso]><p>Outlook</p><![endif]-->text", "text"),
        ("a<script>x</script>b", "ab"),
        ("", ""),
    ],
)  # fmt: skip
def test_text_is_what_a_reader_sees(html: str, text: str) -> None:
    assert to_text(html) == text


@given(st.text(st.sampled_from(list("<>/=\"'!-& \nabp;#\ud800\0")), max_size=60))
@settings(max_examples=100)
def test_nothing_raises_and_nothing_unsafe_comes_of_signs(html: str) -> None:
    to_text(html)
    assert not re.search(r"<[^>]*\son\w+=", sanitize(html))


PIECES = sorted(
    markup.names(
        "<p> </p> <div> </div> <b> </b> <table> <tr> <td> </table> <li> <ul> </ul> <blockquote>"
        " </blockquote> <pre> </pre> <a> </a> <br> <hr> <img> <!----> word other"
    )
)


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join))
@settings(max_examples=100)
def test_no_word_is_lost_however_elements_stand(html: str) -> None:
    words = len(re.findall(r"word|other", html))
    assert len(re.findall(r"word|other", to_text(html))) == words
    assert len(re.findall(r"word|other", sanitize(html))) == words


HOSTILE: dict[str, Callable[[int], str]] = {
    "deep": lambda n: "<div>" * n,
    "deep and closed in values": lambda n: "<div><p title='</div>'>" * n,
    "deep and closed in comments": lambda n: "<div><!--</div>-->" * n,
    "deep tables": lambda n: "<table><tr><td>" * n,
    "deep quotes": lambda n: "<blockquote>" * n + "<br>x" * n,
    "attributes": lambda n: "<a " + " ".join(f"a{i}=1" for i in range(n)) + ">",
    "attributes behind a sign": lambda n: '<a x="<" ' + " ".join(f"a{i}=1" for i in range(n)) + ">",
    "formatting": lambda n: "".join(f"<b lang={i}>" for i in range(n)) + "<p>x</p>" * n,
    "formatting in paragraphs": lambda n: "".join(f"<font size={i}><p>x" for i in range(n)),
    "signs": lambda n: "<" * n,
    "comments": lambda n: "<!--" * n,
    "values": lambda n: '<a x="' * n,
    "equals": lambda n: "<a " + "=" * n,
    "styles": lambda n: "<style>" * n,
    "breaks": lambda n: "<br>" * n,
    "cells": lambda n: "<table><tr>" + "<td>x" * n,
    "entities": lambda n: "&amp;" * n,
    "blanks": lambda n: " \n" * n,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("read", [to_text, sanitize])
def test_time_grows_as_the_html_does(
    make: Callable[[int], str], read: Callable[[str], str]
) -> None:
    """Sixteen times as much takes at most some forty times as long: squared, it were 256 times."""
    small, large = seconds(read, make(1_000)), seconds(read, make(16_000))
    assert large < 0.05 or large < 48 * small
    assert large < 2.0


def test_formatting_is_not_opened_again_without_end() -> None:
    formatting = "".join(f"<b lang={number}>" for number in range(500))
    html = f"<p>{formatting}</p>" + "<p>x</p>" * 500
    assert len(sanitize(html)) < 3 * len(html)
    few = "<p><b><i><u></p>" + "<p>x</p>" * 500
    assert sanitize(few).count("<u>") > 500


def test_what_is_too_much_for_a_parser_is_shown_as_text() -> None:
    html = "<div>" * (markup.DEEPEST + 1) + "<p>I need &euro; 5<br>now<script>x</script>"
    assert re.sub(r"\s+", " ", sanitize(html)) == "<pre> I need € 5 now </pre>"
    assert to_text(html).split() == ["I", "need", "€", "5", "now"]
    assert to_text("x" * (markup.MOST_CHARACTERS + 1)).startswith("xxx")
    assert to_text("<p>x" * (layout.MOST_TAGS + 1)).split("\n")[1:3] == ["x", "x"]
