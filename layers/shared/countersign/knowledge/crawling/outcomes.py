"""What a visit is for, and what came of it: words between who calls and who stores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from countersign.knowledge.crawling.tables import PageKind
from countersign.platform.urls import Url


@dataclass(frozen=True)
class Errand:
    """A page that is to be visited, and what is known of it from the last time."""

    url: Url
    site: str
    kind: PageKind = "page"
    follows: bool = False
    """Whether its links are asked for."""
    etag: str | None = None
    last_modified: str | None = None
    hash: str | None = None


@dataclass(frozen=True)
class Fetched:
    """A page, where the redirects ended, with what it is known by the next time."""

    url: Url
    content: bytes
    content_type: str
    etag: str | None = None
    last_modified: str | None = None
    title: str = ""
    links: tuple[Url, ...] = ()

    @property
    def hash(self) -> str:
        """Tells contents apart."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Unchanged:
    """It is what it was."""

    links: tuple[Url, ...] = ()


@dataclass(frozen=True)
class Listed:
    """A sitemap."""

    pages: Sequence[Url]
    sitemaps: Sequence[Url] = ()
    is_cut: bool = False


@dataclass(frozen=True)
class Gone:
    """There is nothing any more, the server says."""


@dataclass(frozen=True)
class Skipped:
    """It is not to be fetched, or not to be kept."""

    reason: str
    links: tuple[Url, ...] = ()


@dataclass(frozen=True)
class Failed:
    """It could not be had. `seconds` is how long its server asks to be left alone."""

    reason: str
    is_final: bool = False
    seconds: float = 0.0


Outcome: TypeAlias = Fetched | Unchanged | Listed | Gone | Skipped | Failed
