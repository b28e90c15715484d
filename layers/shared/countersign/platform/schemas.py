"""Shapes of the API: what bodies and answers are made of, the same in every room, and what is wrong
with what is of another shape.

Models build their validators when first used, so that a function's start pays for none of them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

MAX_TEXT_CHARACTERS = 16_000
MAX_NOTES_CHARACTERS = 2_000
MAX_QUESTION_CHARACTERS = 4_000
MAX_FAULTS = 20
"""How many faults of one request or event are told of."""

# Postgres stores no NUL, and a phone shows no control character but tab and line ends.
_WRITABLE = r"[^\x00-\x08\x0b\x0c\x0e-\x1f]"
_VISIBLE = r"[^\s\x00-\x08\x0b\x0c\x0e-\x1f]"

WRITABLE = rf"^{_WRITABLE}*$"
"""The pattern of a text, blank or not."""


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_utc)]
"""A moment of an answer: in UTC, written as RFC 3339 with a `Z`."""

Text = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_TEXT_CHARACTERS,
        pattern=rf"^{_WRITABLE}*{_VISIBLE}{_WRITABLE}*$",
        description="Plain text. No control characters but tab and line ends; not blank.",
    ),
]
"""A message of ours."""

Question = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_QUESTION_CHARACTERS,
        pattern=rf"^{_WRITABLE}*{_VISIBLE}{_WRITABLE}*$",
        description="A question, or some words. Codes are found however they are written: "
        "`AB-1234`, `AB1234` and `ab 1234` are the same.",
    ),
]
"""What is looked for."""

Notes = Annotated[
    str,
    Field(
        max_length=MAX_NOTES_CHARACTERS,
        pattern=WRITABLE,
        description="For colleagues and for the record; the customer never sees it.",
    ),
]


class Body(BaseModel):
    """The JSON object that a request carries: strict, and nothing that is not asked for.

    A misspelt optional field must not be left out silently: it may be the text to send.
    """

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class Query(BaseModel):
    """The parameters of a query string."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Answer(BaseModel):
    """The JSON object that an operation answers with."""

    model_config = ConfigDict(from_attributes=True, defer_build=True)


def faults(
    error: ValidationError, whole: str, *, within: tuple[str, ...] = (), skip: int = 0
) -> list[dict[str, str]]:
    """What is wrong, `{"where", "what"}` each: at most `MAX_FAULTS`, and nothing of what was sent.

    `where` is a path such as `query.limit`: from `within`, without the first `skip` parts, which
    are what a union puts there; `whole` names what is wrong as a whole.
    """
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        {"where": ".".join(map(str, (*within, *one["loc"][skip:]))) or whole, "what": one["msg"]}
        for one in wrong[:MAX_FAULTS]
    ]
