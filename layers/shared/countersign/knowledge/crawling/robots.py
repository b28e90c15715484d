"""What a host lets robots fetch, and how fast (RFC 9309)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from countersign.platform.urls import Url

if TYPE_CHECKING:
    from protego import Protego

NAME = "Countersign"
"""Our product token: the group of rules that begins `User-agent: Countersign` is for us."""
PATH = "/robots.txt"
MOST_BYTES = 512 * 1024
"""RFC 9309, 2.5 asks for 500 KiB at least; what comes after is not read."""
MOST_SECONDS = 60.0
"""Between two pages: a host that asks for more gets this."""


@dataclass(frozen=True)
class Robots:
    """The rules of a host; without any, all may be fetched."""

    rules: Protego | None = None

    def allow(self, url: Url) -> bool:
        """Whether a page may be fetched."""
        return self.rules is None or self.rules.can_fetch(str(url), NAME)

    @property
    def seconds(self) -> float:
        """How long to wait between two pages, as far as the host says so."""
        delay = self.rules.crawl_delay(NAME) if self.rules else None
        return min(max(delay or 0.0, 0.0), MOST_SECONDS)


def parse(content: bytes) -> Robots:
    """The rules that a `robots.txt` holds; what cannot be read in it is no rule."""
    from protego import Protego

    return Robots(Protego.parse(content.decode("utf-8-sig", "replace")))
