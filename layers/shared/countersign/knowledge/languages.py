"""The languages that texts are stemmed by."""

from __future__ import annotations

from typing import Literal

Language = Literal[
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french",
    "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian",
    "nepali", "norwegian", "portuguese", "romanian", "russian", "serbian", "simple", "spanish",
    "swedish", "tamil", "turkish", "yiddish",
]  # fmt: skip
"""Text-search configurations of PostgreSQL 16; `simple` stems no words."""
