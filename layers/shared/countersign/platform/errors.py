"""Typed errors. They say what was wrong, where, and what to do; they know no status code.

`platform.http` turns them into problem documents (RFC 9457), `platform.queues` into retries.
An error's docstring is its default detail.
"""

from __future__ import annotations

from typing import Any, ClassVar


class CountersignError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    """Stable slug: the last part of the problem document's `type`."""

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.extra = extra
        super().__init__(self.detail)


class Invalid(CountersignError):
    """The request does not have the shape that is asked for."""

    code = "invalid"


class Unauthenticated(CountersignError):
    """Nothing in the request shows who sends it."""

    code = "unauthenticated"


class Forbidden(CountersignError):
    """The sender is known but may not do this."""

    code = "forbidden"


class NotFound(CountersignError):
    """There is no such thing here."""

    code = "not-found"


class MethodNotAllowed(CountersignError):
    """The address is right, the method is not; `allow` lists those that are."""

    code = "method-not-allowed"


class UnsupportedMediaType(CountersignError):
    """The body is not of the content type that is asked for."""

    code = "unsupported-media-type"


class Conflict(CountersignError):
    """The thing is not in a state that allows this."""

    code = "conflict"


class Stale(Conflict):
    """What was decided on has changed since it was read; read it again."""

    code = "stale"


class TooLarge(CountersignError):
    """The request is larger than what is accepted here."""

    code = "too-large"


class Exhausted(CountersignError):
    """As much as is allowed for a day has been used."""

    code = "exhausted"


class Unavailable(CountersignError):
    """Something this depends on does not answer; try again."""

    code = "unavailable"


class MissingSetting(CountersignError):
    """A required environment variable is not set."""

    code = "missing-setting"
