"""Tokens and what they cost."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any


def cost(tokens: int, price: float) -> int:
    """What `tokens` cost, in millionths of a US dollar, at `price` US dollars per million tokens.

    A part counts as a whole one, so that many small calls cannot stay under a cap for nothing.
    """
    # A price of 0.1 means a tenth, not the binary fraction nearest to it.
    return int((Decimal(tokens) * Decimal(str(price))).to_integral_value(ROUND_CEILING))


def counted(reported: Any, text: str) -> int:
    """The token count that a provider reported for `text`, else an estimate of four bytes each.

    An endpoint that reports nothing must not write for free under a spending cap.
    """
    if isinstance(reported, int) and reported >= 0:
        return reported
    return -(-len(text.encode()) // 4)
