"""What a list of numbers must be before it counts as an embedding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from countersign.models.errors import ModelMalformed
from countersign.platform.errors import Invalid

LEAST_LENGTH, MOST_LENGTH = 1e-12, 1e12
"""Of a vector: what PostgreSQL keeps in single precision, squares and compares without loss."""
STORED_DIMENSIONS = 1536
"""Length of the `vector` columns; a shorter vector is padded, a longer one cannot be kept."""


def padded(vector: Sequence[float], length: int = STORED_DIMENSIONS) -> list[float]:
    """`vector` with zeros appended up to `length`: cosine and inner product stay exactly the same.

    Raises `Invalid` for a longer vector.
    """
    if len(vector) > length:
        raise Invalid(f"A vector of {len(vector)} dimensions does not fit into {length}.")
    return [*vector, *([0.0] * (length - len(vector)))]


def check_dimensions(dimensions: int) -> int:
    """`dimensions`, if vectors of that length can be kept; else raises `Invalid`."""
    if not 1 <= dimensions <= STORED_DIMENSIONS:
        raise Invalid(f"EMBEDDING_DIMENSIONS is {dimensions}; set 1 to {STORED_DIMENSIONS}.")
    return dimensions


def check_texts(texts: Sequence[str]) -> None:
    """Raises `Invalid` for a blank text: providers refuse the whole batch over one."""
    for position, text in enumerate(texts):
        if not text.strip():
            raise Invalid(f"Text {position} of {len(texts)} to embed is blank.")


def checked(vectors: Any, *, count: int, dimensions: int) -> list[tuple[float, ...]]:
    """The vectors of a provider's answer, or `ModelMalformed` if even one of them is unusable."""
    if not isinstance(vectors, list) or len(vectors) != count:
        got = len(vectors) if isinstance(vectors, list) else type(vectors).__name__
        raise ModelMalformed(f"Asked for {count} embeddings, got {got}.")
    return [_checked(vector, position, dimensions) for position, vector in enumerate(vectors)]


def _checked(vector: Any, position: int, dimensions: int) -> tuple[float, ...]:
    if not isinstance(vector, list) or not set(map(type, vector)) <= {int, float}:
        raise ModelMalformed(f"Embedding {position} is not a list of numbers.")
    if len(vector) != dimensions:
        raise ModelMalformed(
            f"Embedding {position} has {len(vector)} dimensions; "
            f"EMBEDDING_DIMENSIONS says {dimensions}."
        )
    # The comparison is false for NaN; a zero vector has no direction, so no cosine either.
    if not LEAST_LENGTH < math.hypot(*vector) < MOST_LENGTH:
        raise ModelMalformed(f"Embedding {position} is zero or not finite, or nearly.")
    return tuple(map(float, vector))
