from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.models.tokens import cost, counted


@pytest.mark.parametrize(
    ("tokens", "price", "microdollars"),
    [
        (0, 15.0, 0),
        (1_000_000, 15.0, 15_000_000),
        (1_000, 2.5, 2_500),
        (3, 0.1, 1),
        (10, 0.1, 1),
        (11, 0.1, 2),
        (1, 0.0, 0),
        (7, 0.02, 1),
        (30, 0.1, 3),
    ],
)
def test_cost_in_millionths_of_a_dollar(tokens: int, price: float, microdollars: int) -> None:
    assert cost(tokens, price) == microdollars


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1000))
def test_splitting_calls_never_makes_them_cheaper(some: int, more: int, price: float) -> None:
    assert cost(some, price) + cost(more, price) >= cost(some + more, price)


@pytest.mark.parametrize(("reported", "tokens"), [(0, 0), (17, 17), (None, 3), (-1, 3), ("9", 3)])
def test_what_is_not_reported_is_estimated(reported: object, tokens: int) -> None:
    assert counted(reported, "nine byte") == tokens
