"""Chat and embedding models behind one small interface each, and what they cost.

It must not know what is asked of a model or why: no prompt, draft, message or chunk.
"""

from __future__ import annotations

from dataclasses import replace

from countersign.models.schemas import (
    ChatAnswer,
    ChatModel,
    ChatSettings,
    EmbeddingModel,
    Embeddings,
    EmbeddingSettings,
    ModelSettings,
)
from countersign.platform.errors import Invalid

__all__ = [
    "ChatAnswer",
    "ChatModel",
    "ChatSettings",
    "EmbeddingModel",
    "EmbeddingSettings",
    "Embeddings",
    "ModelSettings",
    "chat_model",
    "embedding_model",
    "embedding_models",
]


def chat_model(settings: ChatSettings) -> ChatModel:
    """The chat model that the settings name. Opens no connection. Raises `Invalid`."""
    if settings.chat_provider == "bedrock":
        from countersign.models.bedrock import BedrockChat

        return BedrockChat(settings.chat_model, settings.chat_timeout_seconds)
    if settings.chat_provider == "openai":
        from countersign.models.openai_compatible import Endpoint, OpenAIChat

        endpoint = Endpoint(
            settings.chat_base_url, settings.chat_secret_id, settings.chat_timeout_seconds
        )
        return OpenAIChat(endpoint, settings.chat_model)
    raise Invalid(f"CHAT_PROVIDER is {settings.chat_provider!r}; set it to openai or bedrock.")


def embedding_model(settings: EmbeddingSettings) -> EmbeddingModel:
    """The embedding model that the settings name. Opens no connection. Raises `Invalid`."""
    if settings.embedding_provider == "bedrock":
        from countersign.models.bedrock import bedrock_embeddings

        return bedrock_embeddings(
            settings.embedding_model,
            settings.embedding_dimensions,
            settings.embedding_timeout_seconds,
            settings.embedding_price,
        )
    if settings.embedding_provider == "openai":
        from countersign.models.openai_compatible import Endpoint, OpenAIEmbeddings

        endpoint = Endpoint(
            settings.embedding_base_url,
            settings.embedding_secret_id,
            settings.embedding_timeout_seconds,
        )
        return OpenAIEmbeddings(
            endpoint,
            settings.embedding_model,
            settings.embedding_dimensions,
            settings.embedding_price,
        )
    raise Invalid(
        f"EMBEDDING_PROVIDER is {settings.embedding_provider!r}; set it to openai or bedrock."
    )


def embedding_models(settings: EmbeddingSettings) -> tuple[EmbeddingModel, ...]:
    """The embedding model that the settings name, and after it the previous one, if there is one.

    Opens no connection. Raises `Invalid`.
    """
    current = embedding_model(settings)
    if not settings.previous_embedding_provider:
        return (current,)
    previous = replace(
        settings,
        embedding_provider=settings.previous_embedding_provider,
        embedding_model=settings.previous_embedding_model,
        embedding_base_url=settings.previous_embedding_base_url,
        embedding_secret_id=settings.previous_embedding_secret_id,
        embedding_dimensions=settings.previous_embedding_dimensions,
        embedding_price=settings.previous_embedding_price,
    )
    try:
        return current, embedding_model(previous)
    except Invalid as error:
        raise Invalid(f"The previous embedding model: {error.detail}") from None
