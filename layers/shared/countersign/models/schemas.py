"""The words of the models room: what is asked of a model, what it answers, how it is set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Purpose = Literal["document", "query"]
"""What a text is embedded for: some models encode what is searched unlike what is asked."""


@dataclass(frozen=True)
class ChatAnswer:
    """What a chat model wrote, still unchecked: `text` is data, whatever it claims to be."""

    text: str
    input_tokens: int
    output_tokens: int
    model: str


@dataclass(frozen=True)
class Embeddings:
    """One vector per text, in the order of the texts, each finite, nonzero and as long as asked."""

    vectors: tuple[tuple[float, ...], ...]
    input_tokens: int
    model: str


class ChatModel(Protocol):
    """A model that writes."""

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...

    def answer(
        self,
        system: str,
        user: str,
        *,
        schema: Mapping[str, Any] | None = None,
        max_output_tokens: int = 1024,
    ) -> ChatAnswer:
        """One answer to one system prompt and one user message; makes one call, never retries.

        `schema` (JSON Schema) shapes the answer where the provider can do that; the caller still
        checks it. Raises the errors of `models.errors`.
        """
        ...


class EmbeddingModel(Protocol):
    """A model that places texts in a space: `provider`, `model` and `dimensions` name the space.

    `price` is in US dollars per million tokens.
    """

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def price(self) -> float: ...

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """One vector for each text, all of them or none; never retries.

        Raises the errors of `models.errors`, and `Invalid` for a blank text.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """Which chat model writes. Prices are in US dollars per million tokens."""

    chat_provider: str
    """`openai` (any OpenAI-compatible endpoint) or `bedrock`."""
    chat_model: str
    chat_base_url: str = ""
    """Of an OpenAI-compatible endpoint, with its `/v1`; empty means OpenAI itself."""
    chat_secret_id: str = ""
    """The secret that holds the endpoint's key; empty where it asks for none."""
    chat_input_price: float = 0.0
    chat_output_price: float = 0.0
    chat_timeout_seconds: float = 25.0


@dataclass(frozen=True, kw_only=True)
class EmbeddingSettings:
    """Which model embeds. Prices are in US dollars per million tokens.

    `previous_embedding_…` is the one before: what organizations are searched by until they have
    been moved (`re_embed`). An empty provider says that there is none.
    """

    embedding_provider: str
    embedding_model: str
    embedding_base_url: str = ""
    embedding_secret_id: str = ""
    embedding_dimensions: int
    embedding_price: float = 0.0
    embedding_timeout_seconds: float = 10.0
    previous_embedding_provider: str = ""
    previous_embedding_model: str = ""
    previous_embedding_base_url: str = ""
    previous_embedding_secret_id: str = ""
    previous_embedding_dimensions: int = 0
    previous_embedding_price: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ModelSettings(ChatSettings, EmbeddingSettings):
    """Both, for functions that retrieve and write."""
