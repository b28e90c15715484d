"""What a page of HTML says to robots: where it leads, and what they are not to do with it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from countersign.knowledge.crawling import robots, sites
from countersign.knowledge.parsing import html as parsed
from countersign.mail import charsets, markup
from countersign.platform import urls
from countersign.platform.urls import Refused, Url

MOST = 2_000
"""Links of one page that are followed."""
_WANTED = {
    "a": ("href", "rel"),
    "area": ("href", "rel"),
    "base": ("href",),
    "meta": ("name", "content", "charset", "http-equiv"),
}
_ROBOTS = ("robots", robots.NAME.lower())
_NOT_KEPT = {"noindex", "none"}
# Of a rule of `X-Robots-Tag` that begins with whom it is for; these words begin with what it is.
_WHOM = re.compile(
    r"\s*(?!(?:unavailable_after|max-snippet|max-image-preview|max-video-preview)\s*:)([\w-]+)\s*:(.*)",
    re.IGNORECASE | re.DOTALL,
)
_CHARSET = re.compile(r"charset\s*+=\s*+[\"']?\s*+([\w.:-]+)", re.IGNORECASE)
_TITLE = re.compile(r"<title(?:\s[^<>]{0,200})?>([^<]{1,300})", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """`is_wanted` is false where the page itself asks not to be kept."""

    links: tuple[Url, ...]
    is_wanted: bool
    title: str


def read(content: bytes, headers: Mapping[str, str], url: Url) -> Page:
    """Read a page that was found at `url` with these headers.

    None of its links is followed if it asks for that, and a link that does not.
    """
    told = _told(headers)
    base, found = url, dict[Url, None]()
    text = _text(content, headers)
    for name, attributes in markup.tags(text, _WANTED):
        if name == "meta" and attributes.get("name", "").strip().lower() in _ROBOTS:
            told |= _words(attributes.get("content", ""))
        elif name == "base" and base is url:
            base = _joined(url, attributes) or url
        elif name in ("a", "area") and len(found) < MOST:
            linked = _joined(base, attributes)
            if linked and "nofollow" not in _words(attributes.get("rel", "")):
                found[sites.page(linked)] = None
    follows = not told & {"nofollow", "none"}
    return Page(tuple(found) if follows else (), not told & _NOT_KEPT, _title(text))


def are_wanted(headers: Mapping[str, str]) -> bool:
    """Whether what came with these headers may be kept, of whatever type it is."""
    return not _told(headers) & _NOT_KEPT


def _title(text: str) -> str:
    found = _TITLE.search(text)
    return " ".join(html.unescape(found[1]).split()) if found else ""


def _text(content: bytes, headers: Mapping[str, str]) -> str:
    said = _CHARSET.search(headers.get("content-type", ""))
    return charsets.decode(content, said[1] if said else parsed.declared(content))[0]


def _joined(base: Url, attributes: Mapping[str, str]) -> Url | None:
    href = attributes.get("href")
    if href is None:
        return None
    try:
        return urls.join(base, href)
    except Refused:
        return None


def _told(headers: Mapping[str, str]) -> set[str]:
    """What `X-Robots-Tag` says to all and to us: whom it names gets all that follows."""
    words: set[str] = set()
    is_ours = True
    for rule in headers.get("x-robots-tag", "").split(","):
        named = _WHOM.fullmatch(rule)
        if named:
            is_ours = named[1].lower() in _ROBOTS
        if is_ours:
            words |= _words(named[2] if named else rule)
    return words


def _words(text: str) -> set[str]:
    return set(re.split(r"[\s,]+", text.lower()))
