"""What sitemaps list, and what is none."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.knowledge.crawling import sitemaps
from countersign.knowledge.crawling.sitemaps import Sitemap, Unreadable
from countersign.platform import urls

HERE = urls.parse("https://a.example/sitemap.xml")
SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
URLSET = f"""<?xml version="1.0" encoding="UTF-8"?><urlset {SPACE}
  xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> https://a.example/1?a=1&amp;b=2 </loc><lastmod>2026-01-01</lastmod>
    <image:image><image:loc>https://a.example/1.png</image:loc></image:image></url>
  <url><loc><![CDATA[https://a.example/2]]></loc></url>
  <url><loc>javascript:x()</loc></url><url><loc/></url>
</urlset>"""
INDEX = f"""<sitemapindex {SPACE}><sitemap><loc>https://a.example/1.xml.gz</loc></sitemap>
</sitemapindex>"""


def read(content: bytes | str) -> Sitemap:
    return sitemaps.parse(content.encode() if isinstance(content, str) else content, HERE)


def pages(content: bytes | str) -> list[str]:
    return [str(url) for url in read(content).pages]


def test_pages_are_listed() -> None:
    listed = ["https://a.example/1?a=1&b=2", "https://a.example/2", "https://a.example/sitemap.xml"]
    assert pages(URLSET) == listed
    assert pages(gzip.compress(URLSET.encode())) == listed
    assert pages(URLSET.replace(SPACE, "")) == listed


def test_an_index_lists_sitemaps() -> None:
    found = read(INDEX)
    assert ([str(url) for url in found.sitemaps], found.pages) == (
        ["https://a.example/1.xml.gz"],
        [],
    )


def test_a_text_lists_a_page_a_line() -> None:
    text = "\ufeffhttps://a.example/1\r\n\r\nhttps://a.example/2\n"
    assert pages(text) == ["https://a.example/1", "https://a.example/2"]


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    )
    + f"]><urlset {SPACE}><url><loc>https://a.example/&j;</loc></url></urlset>"
)
OUTSIDE = (
    '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    f"<urlset {SPACE}><url><loc>https://a.example/&a;</loc></url></urlset>"
)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (BOMB, "defines entities"),
        (OUTSIDE, "defines entities"),
        ("<html><body>Not found</body></html>", "neither"),
        ("Not found", "not XML"),
        ("", "not XML"),
        (b"\x1f\x8bbroken", "gzip"),
        (b"\xff\xfe\x00", "not XML"),
        ('<?xml version="1.0" encoding="shift_jis"?><urlset/>', "not XML"),
        ('<?xml version="1.0" encoding="nonsense"?><urlset/>', "not XML"),
    ],
)
def test_what_is_no_sitemap_is_refused(content: bytes | str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(content)


def test_what_was_read_of_one_that_breaks_off_stands() -> None:
    assert pages(URLSET[: URLSET.index("<![CDATA")]) == ["https://a.example/1?a=1&b=2"]


def test_a_sitemap_is_read_so_far_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemaps, "MOST_ENTRIES", 2)
    found = read("https://a.example/1\nhttps://a.example/2\nhttps://a.example/3")
    assert (len(found.pages), found.is_cut) == (2, True)
    monkeypatch.setattr(sitemaps, "MOST_BYTES", 200_000)
    bomb = gzip.compress(URLSET.replace("</urlset>", " " * 10_000_000 + "</urlset>").encode())
    found = read(bomb)
    assert (len(found.pages), found.is_cut) == (2, True)


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: f"<urlset>{text}".encode()))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        read(content)
    except Unreadable:
        return
