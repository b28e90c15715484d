from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.models.errors import ModelMalformed
from countersign.models.vectors import check_dimensions, check_texts, checked, padded
from countersign.platform.errors import Invalid

numbers = st.floats(min_value=-1e3, max_value=1e3)


def dot(left: list[float], right: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=384))
def test_padding_keeps_inner_products_and_norms(pairs: list[tuple[float, float]]) -> None:
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    assert len(padded(left)) == 1536
    assert dot(padded(left), padded(right)) == dot(left, right)
    assert padded(left)[: len(left)] == left


def test_a_vector_that_is_too_long_is_not_cut() -> None:
    with pytest.raises(Invalid, match="1537 dimensions does not fit into 1536"):
        padded([1.0] * 1537)


@pytest.mark.parametrize("dimensions", [0, -1, 1537, 3072])
def test_dimensions_that_cannot_be_kept_are_named(dimensions: int) -> None:
    with pytest.raises(Invalid, match=f"EMBEDDING_DIMENSIONS is {dimensions}"):
        check_dimensions(dimensions)


def test_good_vectors_come_back_as_floats() -> None:
    assert checked([[1, 0.5], [0, -2]], count=2, dimensions=2) == [(1.0, 0.5), (0.0, -2.0)]
    assert checked([], count=0, dimensions=2) == []


@pytest.mark.parametrize(
    ("vectors", "complaint"),
    [
        ([[1.0, 2.0]], "Asked for 2 embeddings, got 1"),
        ([[1.0, 2.0]] * 3, "Asked for 2 embeddings, got 3"),
        (None, "Asked for 2 embeddings, got NoneType"),
        ({"0": [1.0, 2.0], "1": [1.0, 2.0]}, "got dict"),
        ([[1.0, 2.0], [1.0]], "Embedding 1 has 1 dimensions; EMBEDDING_DIMENSIONS says 2"),
        ([[1.0, 2.0], [1.0, 2.0, 3.0]], "Embedding 1 has 3 dimensions"),
        ([[1.0, 2.0], [1.0, math.nan]], "Embedding 1 is zero or not finite"),
        ([[1.0, 2.0], [math.inf, 1.0]], "Embedding 1 is zero or not finite"),
        ([[1.0, 2.0], [-math.inf, math.nan]], "Embedding 1 is zero or not finite"),
        ([[0.0, 0.0], [1.0, 2.0]], "Embedding 0 is zero or not finite"),
        ([[1.0, 2.0], [1e39, 0.0]], "Embedding 1 is zero or not finite, or nearly"),
        ([[1e-30, 0.0], [1.0, 2.0]], "Embedding 0 is zero or not finite, or nearly"),
        ([[1.0, "2.0"], [1.0, 2.0]], "Embedding 0 is not a list of numbers"),
        ([[1.0, None], [1.0, 2.0]], "Embedding 0 is not a list of numbers"),
        ([[1.0, True], [1.0, 2.0]], "Embedding 0 is not a list of numbers"),
        (["ab", [1.0, 2.0]], "Embedding 0 is not a list of numbers"),
        ([None, [1.0, 2.0]], "Embedding 0 is not a list of numbers"),
    ],
)
def test_one_bad_vector_spoils_the_batch(vectors: object, complaint: str) -> None:
    with pytest.raises(ModelMalformed, match=complaint):
        checked(vectors, count=2, dimensions=2)


@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_a_blank_text_is_named(blank: str) -> None:
    with pytest.raises(Invalid, match="Text 1 of 2 to embed is blank"):
        check_texts(["hose", blank])
