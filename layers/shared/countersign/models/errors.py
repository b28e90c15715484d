"""How a model call can fail. No message holds a key or the text that was sent."""

from __future__ import annotations

from typing import Self

from countersign.platform.errors import CountersignError, Unavailable


class ModelError(CountersignError):
    """A model call failed.

    `input_tokens` and `output_tokens` are what it cost all the same: an answer that is of no use is
    billed like any other. `retry_after` is how long the provider asked to be left alone, in
    seconds, or None.
    """

    code = "model-error"
    input_tokens = 0
    output_tokens = 0
    retry_after: float | None = None

    def billed(self, input_tokens: int, output_tokens: int = 0) -> Self:
        """This error, with so many more tokens that the provider counts."""
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        return self


class ModelUnavailable(ModelError, Unavailable):
    """The model did not answer, or says that the fault is its own; the same call may succeed."""

    code = "model-unavailable"

    def __init__(self, detail: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ModelThrottled(ModelUnavailable):
    """The provider takes no more calls for now."""

    code = "model-throttled"


class ModelRefused(ModelError):
    """The provider will not do this with what it was given, however often it is asked."""

    code = "model-refused"


class ModelDenied(ModelError):
    """The provider refuses us, whatever the text: a key, an account or a setting is to be mended.

    What can wait may be tried again then.
    """

    code = "model-denied"


class ModelMalformed(ModelError):
    """The model answered, but not with what was asked for; nothing of the answer was kept."""

    code = "model-malformed"
