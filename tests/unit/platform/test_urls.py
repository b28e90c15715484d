"""Each URL has one spelling, and odd ones have none."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.platform import urls
from countersign.platform.urls import Refused


@pytest.mark.parametrize(
    ("written", "spelt"),
    [
        ("http://example.com", "http://example.com/"),
        (" HTTPS://Example.COM.:443/a?b#c ", "https://example.com/a?b"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("http://example.com/a/./b/../c/..", "http://example.com/a/"),
        ("http://example.com/../../etc", "http://example.com/etc"),
        (
            "http://example.com/%7euser/%e2%82%ac/€",
            "http://example.com/%7Euser/%E2%82%AC/%E2%82%AC",
        ),
        ("http://example.com/100%?q=50%&é", "http://example.com/100%25?q=50%25&%C3%A9"),
        ("http://example.com/?", "http://example.com/"),
        ("https://Straße.example/", "https://xn--strae-oqa.example/"),
        ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("http://１２７.０.０.１/", "http://127.0.0.1/"),
        ("http://127.0.0.1./", "http://127.0.0.1/"),
        ("http://[::]/", "http://[::]/"),
        ("http://[0:0::FFFF:127.0.0.1]:80/", "http://[::ffff:7f00:1]/"),
    ],
)
def test_a_url_has_one_spelling(written: str, spelt: str) -> None:
    assert str(urls.parse(written)) == spelt


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("ftp://example.com/", "neither http"),
        ("file:///etc/passwd", "neither http"),
        ("//example.com/", "neither http"),
        ("http:///path", "names no host"),
        ("http://user@example.com/", "user or a password"),
        ("http://user:word@example.com/", "user or a password"),
        ("http://@example.com/", "user or a password"),
        ("http://example.com@127.0.0.1/", "user or a password"),
        ("http://example.com\\@127.0.0.1/", "backslash"),
        ("http://example.com/a b", "space"),
        ("http://exam\tple.com/", "control"),
        ("http://example.com\r\nHost: x/", "control"),
        ("http://example.com:0/", "port 0"),
        ("http://example.com:99999/", "cannot be read"),
        ("http://example.com:8０/", "cannot be read"),
        ("http://[::1/", "cannot be read"),
        ("http://[fe80::1%25eth0]/", "network card"),
        ("http://[v1.x]/", "cannot be read|no IPv6"),
        ("http://%31%32%37.0.0.1/", "not a name"),
        ("http://-a.example/", "not a name"),
        ("http://a..example/", "not a name"),
        ("http://.../", "not a name"),
        ("http://" + "a" * 64 + ".example/", "not a name"),
        ("http://" + "a." * 127 + "example/", "not a name"),
        ("http://2130706433/", "four decimal"),
        ("http://0x7f000001/", "four decimal"),
        ("http://0x7f.1/", "four decimal"),
        ("http://017700000001/", "four decimal"),
        ("http://0177.0.0.1/", "four decimal"),
        ("http://127.1/", "four decimal"),
        ("http://1.2.3.4.5/", "four decimal"),
        ("http://127.0.0.0x1/", "four decimal"),
        ("http://256.0.0.1/", "four decimal"),
        ("http://example.com/" + "a" * 2000, "2000"),
        ("http://example.com/" + "€" * 500, "2000"),
        ("http://example.com/\ud800", "cannot be read"),
        ("", "neither http"),
    ],
)
def test_an_odd_one_is_refused(written: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        urls.parse(written)


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("b", "https://example.com/a/b"),
        ("../b?c", "https://example.com/b?c"),
        ("//other.example", "https://other.example/"),
        ("#top", "https://example.com/a/?q"),
        ("\n b", "https://example.com/a/b"),
    ],
)
def test_a_reference_is_read_where_it_stands(reference: str, meant: str) -> None:
    assert str(urls.join(urls.parse("https://example.com/a/?q"), reference)) == meant


@pytest.mark.parametrize(
    "reference", ["mailto:a@b.example", "javascript:x()", "http://[bad", "tel:1"]
)
def test_a_reference_to_no_page_is_refused(reference: str) -> None:
    with pytest.raises(Refused):
        urls.join(urls.parse("https://example.com/"), reference)


_SCHEMES = st.sampled_from(["http:", "https:", "HTTP:", "ftp:", ""])
_HOSTS = st.text(st.sampled_from("127.0x:[]%@/\\#?efgﬀ１。ß-_ "), max_size=20) | st.text(
    max_size=12
)
_REST = st.text(st.sampled_from("/.?#%a1é€:@ "), max_size=20) | st.text(max_size=12)


@given(_SCHEMES, _HOSTS, _REST)
def test_any_text_is_refused_or_has_a_spelling_that_stays(
    scheme: str, host: str, rest: str
) -> None:
    try:
        url = urls.parse(f"{scheme}//{host}{rest}")
    except Refused:
        return
    assert str(urls.parse(str(url))) == str(url)
    assert str(url).isascii()
    # Whoever else reads it finds the same host.
    assert urlsplit(str(url)).hostname == url.host
    assert url.target.startswith("/")


@given(st.ip_addresses(v=4), st.sampled_from(["%d", "0x%x", "0%o"]))
def test_no_other_way_to_write_an_ipv4_address_is_taken(
    address: ipaddress.IPv4Address, form: str
) -> None:
    assert urls.parse(f"http://{address}/").host == str(address)
    with pytest.raises(Refused):
        urls.parse(f"http://{form % int(address)}/")
