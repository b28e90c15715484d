"""Where a page leads, and what it asks of robots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.knowledge.crawling import links
from countersign.platform import urls
from tests.unit.timing import seconds

HERE = urls.parse("https://a.example/shop/")


def linked(html: str, **headers: str) -> list[str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return [str(url) for url in links.read(html.encode(), names, HERE).links]


def test_links_are_read_in_their_order_and_once() -> None:
    assert linked(
        """<a href="b?x=1&amp;y=2">1</a> <A HREF='/c#d'>2</A> <area href=d> <a href="/c">again</a>
        <a name=x>none</a> <a href="mailto:a@b.example">no page</a> <a href="http://[bad">bad</a>
        <a href="/e?utm_source=x">e</a> <link href="/style.css"> <!-- <a href="/hidden"> -->
        <script>document.write('<a href="/script">')</script>"""
    ) == [
        "https://a.example/shop/b?x=1&y=2",
        "https://a.example/c",
        "https://a.example/shop/d",
        "https://a.example/e",
    ]


def test_the_first_base_counts() -> None:
    page = '<base target=x><base href="/b/"><base href="/c/"><a href=d>'
    assert linked(page) == ["https://a.example/b/d"]


@pytest.mark.parametrize(
    ("html", "header", "follows", "keeps"),
    [
        ('<meta name="robots" content="NoIndex">', "", True, False),
        ('<meta name="ROBOTS" content="nofollow, noarchive">', "", False, True),
        ('<meta name="countersign" content="none">', "", False, False),
        ('<meta name="otherbot" content="none">', "", True, True),
        ("", "noindex, nofollow", False, False),
        ("", "otherbot: noindex, countersign: nofollow", False, True),
        ("", "otherbot: noindex, nofollow", True, True),
        ("", "nofollow, otherbot: noindex, max-snippet: 5", False, True),
        ("", "max-snippet: 5, noindex", True, False),
        ("", "unavailable_after: Fri, 25 Jun 2010 15:00:00 PST, noindex", True, False),
        ("", "unavailable_after: 25 Jun 2010 15:00:00 PST", True, True),
    ],
)
def test_a_page_may_ask_not_to_be_kept_or_followed(
    html: str, header: str, follows: bool, keeps: bool
) -> None:
    page = links.read(f'{html}<a href="/b">'.encode(), {"x-robots-tag": header}, HERE)
    assert (bool(page.links), page.is_wanted) == (follows, keeps)


def test_a_link_may_ask_not_to_be_followed() -> None:
    assert linked('<a rel="noopener NOFOLLOW" href="/b">b</a><a href="/c">c</a>') == [
        "https://a.example/c"
    ]


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ('<meta charset="iso-8859-1"><a href="/für">'.encode("latin-1"), "text/html"),
        ('<a href="/für">'.encode("latin-1"), "text/html; charset=ISO-8859-1"),
        ('<a href="/für">'.encode(), "text/html"),
    ],
)
def test_links_are_read_in_the_page_s_charset(content: bytes, content_type: str) -> None:
    page = links.read(content, {"content-type": content_type}, HERE)
    assert [str(url) for url in page.links] == ["https://a.example/f%C3%BCr"]


def test_a_header_takes_no_time() -> None:
    header = {"content-type": "text/html; charset=" + " " * 60_000 + "!"}
    assert seconds(lambda given: links.read(b"<a href=/b>", given, HERE), header) < 1
    page = b"<meta charset=" + b" " * 60_000 + b"!"
    assert seconds(lambda given: links.read(given, {}, HERE), page) < 1


def test_of_too_many_links_the_first_are_read() -> None:
    page = "".join(f'<a href="/{number}">' for number in range(links.MOST + 10))
    assert len(linked(page)) == links.MOST


@pytest.mark.parametrize(
    "piece",
    ["<div>", "<a", "<a href='", "<!--", "<script>", "<a <", '<a x="1" ', "<a href=x>", "&"],
)
def test_reading_takes_time_in_proportion(piece: str) -> None:
    page = (piece * (1_000_000 // len(piece))).encode()
    assert seconds(lambda given: links.read(given, {}, HERE), page, runs=1) < 20


@given(st.text(st.sampled_from("<a href='/\">=!-& x"), max_size=60) | st.text(max_size=30))
def test_any_page_can_be_read(html: str) -> None:
    assert len(linked(html)) <= links.MOST
