"""How a model call can fail. No message holds a key or the text that was sent."""

from __future__ import annotations

from countersign.platform.errors import CountersignError, Unavailable


class ModelError(CountersignError):
    """A model call failed."""

    code = "model-error"


class ModelUnavailable(ModelError, Unavailable):
    """The model did not answer, or answered that the fault is its own; the same call may succeed.

    `retry_after` is what the provider asked for, in seconds, or None.
    """

    code = "model-unavailable"

    def __init__(self, detail: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ModelThrottled(ModelUnavailable):
    """The provider takes no more calls for now."""

    code = "model-throttled"


class ModelRefused(ModelError):
    """The provider will not do this, however often it is asked."""

    code = "model-refused"


class ModelMalformed(ModelError):
    """The model answered, but not with what was asked for; nothing of the answer was kept."""

    code = "model-malformed"
