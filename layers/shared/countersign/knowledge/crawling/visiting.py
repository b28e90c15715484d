"""Visiting one page: may it be fetched, what is there, and where does it lead?

It makes the calls and stores nothing; what came of them is told, never raised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from countersign.knowledge import parsing
from countersign.knowledge.crawling import links, robots, sitemaps, sites
from countersign.knowledge.crawling.outcomes import (
    Errand,
    Failed,
    Fetched,
    Gone,
    Listed,
    Outcome,
    Skipped,
    Unchanged,
)
from countersign.knowledge.crawling.robots import Robots
from countersign.knowledge.crawling.sitemaps import Unreadable
from countersign.platform import calls, urls, web
from countersign.platform.addresses import Network
from countersign.platform.calls import Answer
from countersign.platform.errors import CountersignError
from countersign.platform.urls import Refused, Url
from countersign.platform.web import Found, Unreachable

MOST_BYTES = 10 * 1024 * 1024
"""Of a page; what is larger is uploaded instead."""
_SECONDS = 30.0
_ROBOTS_SECONDS = 10.0
_GONE = (404, 410)
_PASSING = (408, 425, 429)
_LONGEST_HEADER = 200
"""Characters of a header that is kept; a longer one is none of use."""
_PRINTABLE = re.compile(f"[ -~]{{1,{_LONGEST_HEADER}}}")


class _Elsewhere(CountersignError):
    """It redirects to another site."""


class _Forbidden(CountersignError):
    """The host does not let robots fetch it."""


@dataclass
class Visitor:
    """Visits pages, and remembers for as long what their hosts let robots do."""

    opened: Sequence[Network] = ()
    _robots: dict[str, Robots] = field(default_factory=dict)

    def visit(self, errand: Errand) -> Outcome:
        """Fetch a page, as far as it may be fetched."""
        try:
            found = self._get(errand)
        except _Forbidden:
            return Skipped("robots")
        except _Elsewhere:
            return Skipped("elsewhere")
        except Refused as error:
            return Failed(error.detail, is_final=True)
        except Unreachable as error:
            return Failed(error.detail)
        return _told(found, errand)

    def seconds(self, url: Url) -> float:
        """How long the host of a page that was visited asks to wait before the next."""
        known = self._robots.get(url.origin)
        return known.seconds if known else 0.0

    def _get(self, errand: Errand) -> Found:
        def follow(url: Url) -> None:
            if sites.site(url) != errand.site:
                raise _Elsewhere
            if not self._rules(url).allow(url):
                raise _Forbidden

        follow(errand.url)
        return web.get(
            errand.url,
            _validators(errand),
            opened=self.opened,
            seconds=_SECONDS,
            most_bytes=sitemaps.MOST_BYTES if errand.kind == "sitemap" else MOST_BYTES,
            follow=follow,
        )

    def _rules(self, url: Url) -> Robots:
        """RFC 9309, 2.3.1: without an answer nothing may be fetched, without a file everything."""
        if url.origin not in self._robots:
            found = web.get(
                urls.join(url, robots.PATH),
                opened=self.opened,
                seconds=_ROBOTS_SECONDS,
                most_bytes=robots.MOST_BYTES,
            )
            status = found.answer.status
            if status >= 500 or status in _PASSING or found.answer.cut in ("late", "broken"):
                raise Unreachable(f"{url.host} does not say what robots may do.")
            rules = robots.parse(found.answer.body) if found.answer.ok else Robots()
            self._robots[url.origin] = rules
        return self._robots[url.origin]


def _validators(errand: Errand) -> Mapping[str, str]:
    """RFC 9110, 13.1. Where the links are asked for, so is the whole page."""
    if errand.follows:
        return {}
    known = {"if-none-match": errand.etag, "if-modified-since": errand.last_modified}
    return {name: value for name, value in known.items() if value}


def _told(found: Found, errand: Errand) -> Outcome:
    answer = found.answer
    if answer.status == 304:
        return Unchanged()
    if answer.status in _GONE:
        return Gone()
    if answer.status >= 500 or answer.status in _PASSING:
        return Failed(f"http_{answer.status}", seconds=calls.retry_after(answer.headers) or 0.0)
    if answer.status not in (200, 203):
        return Failed(f"http_{answer.status}", is_final=True)
    if answer.cut == "long" and errand.kind == "page":
        return Failed("too_large", is_final=True)
    if answer.cut in ("late", "broken"):
        return Failed(answer.cut)
    return _sitemap(found) if errand.kind == "sitemap" else _page(found, errand)


def _sitemap(found: Found) -> Outcome:
    try:
        listed = sitemaps.parse(found.answer.body, found.url)
    except Unreadable as error:
        return Failed(error.detail, is_final=True)
    is_cut = listed.is_cut or found.answer.cut == "long"
    return Listed(tuple(map(sites.page, listed.pages)), listed.sitemaps, is_cut)


def _page(found: Found, errand: Errand) -> Outcome:
    answer = found.answer
    # Where its parameters are none of use, what it begins with may be.
    said = answer.headers.get("content-type", "")
    content_type = _fit(said) or _fit(said.partition(";")[0]) or ""
    kind, _ = parsing.read_type(content_type)
    if kind not in parsing.KINDS:
        return Skipped("content_type")
    if kind != parsing.HTML and not links.are_wanted(answer.headers):
        return Skipped("noindex")
    linked, title = tuple[Url, ...](), ""
    if kind == parsing.HTML:
        page = links.read(answer.body, answer.headers, found.url)
        linked, title = page.links if errand.follows else (), page.title
        if not page.is_wanted:
            return Skipped("noindex", linked)
    fetched = Fetched(
        sites.page(found.url),
        answer.body,
        content_type,
        _kept(answer, "etag"),
        _kept(answer, "last-modified"),
        title,
        linked,
    )
    return Unchanged(linked) if fetched.hash == errand.hash else fetched


def _kept(answer: Answer, name: str) -> str | None:
    return _fit(answer.headers.get(name, ""))


def _fit(value: str) -> str | None:
    """A header's value, if it is one that can be stored and sent back."""
    value = value.strip()
    return value if _PRINTABLE.fullmatch(value) else None
