"""Structured logs: one JSON line an entry, one correlation id along a message's path, no secrets.

Bodies, addresses and credentials are never passed to a logger; what may slip into an exception's
text (keys in URLs, signatures, bearer tokens) is redacted here, once, for every function.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

_SECRETS = re.compile(
    r"(?P<keep>/webhooks/[a-z]+\.)[\w-]+"
    r"|(?P<scheme>[Bb]earer |[Bb]asic )[\w.~+/=-]+"
    r"|\bcs_[0-9a-f]{32}_[\w-]+"
    r"|\bwhsec_[\w+/=-]+"
    r"|(?P<userinfo>://[^:/@\s]+:)[^@\s]+(?=@)"
    # PostgreSQL quotes the failing row; in the log's JSON a line ends with an escaped newline.
    r"|(?P<row>DETAIL:  )(?:[^\"\\]|\\[^n])+"
)


def redact(text: str) -> str:
    """`text`, a line of JSON, without channel keys, API keys, bearer tokens, signing secrets, URL
    passwords, and rows that the database quotes."""
    return _SECRETS.sub(
        lambda m: (m["keep"] or m["scheme"] or m["userinfo"] or m["row"] or "") + "[redacted]",
        text,
    )


class _RedactingFormatter(LambdaPowertoolsFormatter):
    def serialize(self, log: dict[str, Any]) -> str:  # type: ignore[override]
        return redact(super().serialize(log))


@contextmanager
def correlated(correlation_id: str | None) -> Iterator[None]:
    """What is logged and promised meanwhile belongs to what has this id; None changes nothing."""
    before = logger.get_correlation_id()
    logger.set_correlation_id(correlation_id or before)
    try:
        yield
    finally:
        logger.set_correlation_id(before)


logger = Logger(logger_formatter=_RedactingFormatter(), use_rfc3339=True)
