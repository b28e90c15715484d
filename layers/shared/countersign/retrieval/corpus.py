"""What is searched: a table of texts with a table of their vectors, and which of its rows count.

All SQL here and in its neighbours is put together from these, so they come from code alone, never
from a request; what a request says goes into parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Corpus:
    """Where to search.

    `texts` has (organization_id, id, search tsvector); `vectors` has (organization_id,
    embedding_space_id, {owner}, embedding), where `owner` is the id of a text.
    """

    texts: str
    vectors: str
    owner: str


@dataclass(frozen=True)
class Filter:
    """Which of a tenant's texts count.

    `condition` is SQL on the alias `t` of the corpus's texts; it may refer to `:organization_id`,
    to `parameters`, and to other tables by subqueries that name the organization.
    """

    condition: str = "true"
    parameters: Mapping[str, Any] = field(default_factory=dict)


NOTHING = Filter()
"""Filters nothing: every text counts."""
