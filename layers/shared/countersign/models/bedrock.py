"""Amazon Bedrock: Converse for chat; Titan and Cohere embeddings through InvokeModel.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from countersign.models.errors import (
    ModelDenied,
    ModelError,
    ModelMalformed,
    ModelRefused,
    ModelThrottled,
    ModelUnavailable,
)
from countersign.models.schemas import ChatAnswer, EmbeddingModel, Embeddings, Purpose
from countersign.models.shapes import without_bounds
from countersign.models.tokens import counted
from countersign.models.vectors import check_dimensions, check_texts, checked
from countersign.platform.errors import Invalid

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime.client import BedrockRuntimeClient

PROVIDER = "bedrock"
CONNECT_SECONDS = 3
COHERE_TEXTS = 96
COHERE_V3_CHARACTERS = 2048

THROTTLED = {"ThrottlingException", "ModelNotReadyException", "ServiceQuotaExceededException"}
UNAVAILABLE = {
    "InternalServerException",
    "ModelErrorException",
    "ModelTimeoutException",
    "ServiceUnavailableException",
}
DECLINED = {"content_filtered", "guardrail_intervened"}
COMPLETE = {"end_turn", "stop_sequence"}


class _Runtime:
    """A model id with its client, made at the first call."""

    provider = PROVIDER

    def __init__(self, model: str, timeout_seconds: float) -> None:
        self.model = model
        self._timeout_seconds = timeout_seconds

    @cached_property
    def client(self) -> BedrockRuntimeClient:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=self._timeout_seconds,
            # Queues retry, with a longer view than a call that holds a lease.
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        return boto3.client("bedrock-runtime", config=config)

    def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        """The answer of a method of the client; every failure becomes an error of this room."""
        try:
            answer: dict[str, Any] = getattr(self.client, operation)(modelId=self.model, **request)
            return answer
        except ClientError as error:
            raise self._failure(error) from None
        except (HTTPClientError, NoConnectionError) as error:
            raise ModelUnavailable(
                f"Bedrock did not answer for {self.model} ({type(error).__name__})."
            ) from None
        except BotoCoreError as error:
            raise ModelDenied(
                f"Bedrock cannot be called for {self.model} ({type(error).__name__}): "
                "check the region, the credentials and the model id."
            ) from None

    def _failure(self, error: ClientError) -> Exception:
        code = error.response.get("Error", {}).get("Code", "")
        message = error.response.get("Error", {}).get("Message", "")[:300]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        says = f"Bedrock answered {code} for {self.model}: {message}"
        if code in THROTTLED or status == 429:
            return ModelThrottled(says, retry_after=_wait(error))
        if code in UNAVAILABLE or status >= 500:
            return ModelUnavailable(says, retry_after=_wait(error))
        if status in (401, 403, 404):
            return ModelDenied(says)
        return ModelRefused(says)


def _wait(error: ClientError) -> float | None:
    # What it calls with is boto3's, which is not loaded before the first call either.
    from countersign.platform.calls import retry_after

    return retry_after(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}))


class BedrockChat(_Runtime):
    """`Converse`."""

    def __init__(self, model: str, timeout_seconds: float) -> None:
        super().__init__(model, timeout_seconds)
        self._takes_schema = True

    def answer(
        self,
        system: str,
        user: str,
        *,
        schema: Mapping[str, Any] | None = None,
        max_output_tokens: int = 1024,
    ) -> ChatAnswer:
        """See `ChatModel.answer`."""
        request: dict[str, Any] = {
            "system": [{"text": system}],
            "messages": [{"role": "user", "content": [{"text": user}]}],
            "inferenceConfig": {"maxTokens": max_output_tokens},
        }
        return self._chat_answer(self._converse(request, schema), system + user)

    def _converse(
        self, request: dict[str, Any], schema: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Asks with the schema; without it, now and later, where the model cannot take one.

        Not every model takes `outputConfig`, nor does each of those in every region.
        """
        if schema is None or not self._takes_schema:
            return self._call("converse", **request)
        described = {"jsonSchema": {"name": "answer", "schema": json.dumps(without_bounds(schema))}}
        output = {"textFormat": {"type": "json_schema", "structure": described}}
        try:
            return self._call("converse", **request, outputConfig=output)
        except ModelRefused as error:
            if not re.search(r"output_?config", error.detail, re.IGNORECASE):
                raise
        self._takes_schema = False
        return self._call("converse", **request)

    def _chat_answer(self, reply: dict[str, Any], asked: str) -> ChatAnswer:
        blocks = reply.get("output", {}).get("message", {}).get("content", [])
        text = "".join(block.get("text", "") for block in blocks)
        usage = reply.get("usage", {})
        input_tokens = counted(usage.get("inputTokens"), asked)
        output_tokens = counted(usage.get("outputTokens"), text)
        if fault := self._fault(reply.get("stopReason", ""), text):
            raise fault.billed(input_tokens, output_tokens)
        return ChatAnswer(text, input_tokens, output_tokens, self.model)

    def _fault(self, stop: str, text: str) -> ModelError | None:
        if stop in DECLINED:
            return ModelRefused(f"{self.model} declined to answer: {stop}")
        if stop not in COMPLETE:
            reason = stop or "no reason"
            return ModelMalformed(f"The answer of {self.model} is incomplete: {reason}")
        if not text.strip():
            return ModelMalformed(f"The answer of {self.model} has no text.")
        return None


def bedrock_embeddings(
    model: str, dimensions: int, timeout_seconds: float, price: float = 0.0
) -> EmbeddingModel:
    """The embedding model with that id, inference profile id or ARN. Raises `Invalid`."""
    if "titan-embed" in model:
        return TitanEmbeddings(model, dimensions, timeout_seconds, price)
    if "cohere.embed" in model:
        return CohereEmbeddings(model, dimensions, timeout_seconds, price)
    raise Invalid(
        f"EMBEDDING_MODEL is {model!r}; on Bedrock, set a Titan or Cohere embedding model."
    )


class _BedrockEmbeddings(_Runtime):
    def __init__(
        self, model: str, dimensions: int, timeout_seconds: float, price: float = 0.0
    ) -> None:
        super().__init__(model, timeout_seconds)
        self.dimensions = check_dimensions(dimensions)
        self.price = price

    def _invoke(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The JSON object that the model answers, and the answer's headers."""
        reply = self._call(
            "invoke_model",
            body=json.dumps(body),
            contentType="application/json",
            accept="application/json",
        )
        headers = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        try:
            return self._parsed(reply["body"].read()), headers
        except BotoCoreError:
            fault = ModelUnavailable(f"The answer of {self.model} broke off.")
            raise fault.billed(_input_tokens(headers) or 0) from None
        except ModelMalformed as error:
            raise error.billed(_input_tokens(headers) or 0) from None

    def _parsed(self, content: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(content)
        except ValueError:
            raise ModelMalformed(f"{self.model} answered something that is not JSON.") from None
        if not isinstance(answer, dict):
            raise ModelMalformed(f"{self.model} answered JSON that is not an object.")
        return answer


class TitanEmbeddings(_BedrockEmbeddings):
    """Amazon Titan Text Embeddings: one text a call."""

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """See `EmbeddingModel.embed`; Titan encodes documents and queries alike."""
        check_texts(texts)
        vectors: list[tuple[float, ...]] = []
        tokens = 0
        try:
            for text in texts:
                answer, _ = self._invoke(self._body(text))
                tokens += counted(answer.get("inputTextTokenCount"), text)
                vectors += checked([answer.get("embedding")], count=1, dimensions=self.dimensions)
        except ModelError as error:
            raise error.billed(tokens) from None
        return Embeddings(vectors=tuple(vectors), input_tokens=tokens, model=self.model)

    def _body(self, text: str) -> dict[str, Any]:
        # The first generation takes the text and nothing else.
        if "titan-embed-text-v1" in self.model:
            return {"inputText": text}
        return {"inputText": text, "dimensions": self.dimensions, "normalize": True}


class CohereEmbeddings(_BedrockEmbeddings):
    """Cohere Embed, versions 3 and 4: up to 96 texts a call."""

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """See `EmbeddingModel.embed`."""
        check_texts(texts)
        vectors: list[tuple[float, ...]] = []
        tokens = 0
        try:
            for start in range(0, len(texts), COHERE_TEXTS):
                batch = texts[start : start + COHERE_TEXTS]
                answer, headers = self._invoke(self._body(batch, purpose))
                tokens += counted(_input_tokens(headers), "".join(batch))
                found = answer.get("embeddings")
                # Keyed by type in version 4, a plain list in version 3.
                found = found.get("float") if isinstance(found, dict) else found
                vectors += checked(found, count=len(batch), dimensions=self.dimensions)
        except ModelError as error:
            raise error.billed(tokens) from None
        return Embeddings(vectors=tuple(vectors), input_tokens=tokens, model=self.model)

    def _body(self, batch: Sequence[str], purpose: Purpose) -> dict[str, Any]:
        input_type = f"search_{purpose}"
        if "embed-v4" in self.model:
            return {
                "texts": list(batch),
                "input_type": input_type,
                "truncate": "RIGHT",
                "embedding_types": ["float"],
                "output_dimension": self.dimensions,
            }
        # Version 3 refuses longer texts, although it would drop the rest itself.
        texts = [text[:COHERE_V3_CHARACTERS] for text in batch]
        return {"texts": texts, "input_type": input_type, "truncate": "END"}


def _input_tokens(headers: Mapping[str, str]) -> int | None:
    """Cohere's body has no count; Bedrock puts one into a header of every InvokeModel answer."""
    value = headers.get("x-amzn-bedrock-input-token-count", "")
    return int(value) if value.isdecimal() else None
