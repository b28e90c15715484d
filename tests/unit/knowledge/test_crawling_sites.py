"""One page has one URL, and a site all of its own."""

from __future__ import annotations

import pytest

from countersign.knowledge.crawling import robots, sites
from countersign.platform import urls


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("http://a.example/x?utm_source=b&id=7&gclid=1#top", "http://a.example/x?id=7"),
        ("http://a.example/x?UTM_Medium=b&PHPSESSID=1", "http://a.example/x"),
        ("http://a.example/x?b=2&a=1", "http://a.example/x?b=2&a=1"),
        ("http://a.example/utm_source=1", "http://a.example/utm_source=1"),
    ],
)
def test_what_only_tracks_makes_no_other_page(url: str, page: str) -> None:
    assert str(sites.page(urls.parse(url))) == page


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("http://a.example/", "a.example"),
        ("https://www.a.example/x", "a.example"),
        ("https://a.example:80/x", "a.example"),
        ("https://a.example:8443/x", "a.example:8443"),
        ("http://[2606:4700::1]/", "[2606:4700::1]"),
        ("http://[2606:4700::1]:8080/", "[2606:4700::1]:8080"),
        ("https://shop.a.example/", "shop.a.example"),
        ("https://www.example/", "example"),
    ],
)
def test_a_site_is_a_host(url: str, site: str) -> None:
    assert sites.of(url) == site


RULES = b"""\xef\xbb\xbf
User-agent: *
Disallow: /
User-agent: other
User-agent: COUNTERSIGN
Crawl-delay: 2.5
Disallow: /search
Disallow: /*?sort=
Allow: /search/help$
"""


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", True),
        ("/search", False),
        ("/search/help", True),
        ("/search/help/2", False),
        ("/shoes?sort=price", False),
        ("/%73earch", False),
    ],
)
def test_the_rules_for_us_hold(path: str, allowed: bool) -> None:
    rules = robots.parse(RULES)
    assert rules.allow(urls.parse("http://a.example" + path)) is allowed
    assert rules.seconds == 2.5


@pytest.mark.parametrize(
    ("content", "allowed", "seconds"),
    [
        (b"", True, 0),
        (b"User-agent: *\nDisallow: /\nCrawl-delay: 86400", False, robots.MOST_SECONDS),
        (b"User-agent: *\nCrawl-delay: -5", True, 0),
        (b"User-agent: *\nCrawl-delay: nan", True, 0),
        (b"User-agent: *\nCrawl-delay: soon", True, 0),
        (b"<html>Not found</html>", True, 0),
        (b"\x00\xff" * 1000, True, 0),
    ],
)
def test_odd_rules_are_read_as_far_as_they_can_be(
    content: bytes, allowed: bool, seconds: float
) -> None:
    rules = robots.parse(content)
    assert rules.allow(urls.parse("http://a.example/x")) is allowed
    assert rules.seconds == seconds
