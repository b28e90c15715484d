"""Any endpoint that speaks OpenAI's API: OpenAI, Azure, vLLM, Ollama, the local model server.

https://platform.openai.com/docs/api-reference/chat and …/embeddings
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from countersign.models.errors import (
    ModelDenied,
    ModelError,
    ModelMalformed,
    ModelRefused,
    ModelThrottled,
    ModelUnavailable,
)
from countersign.models.schemas import ChatAnswer, Embeddings, Purpose
from countersign.models.shapes import without_bounds
from countersign.models.tokens import counted
from countersign.models.vectors import check_dimensions, check_texts, checked
from countersign.platform.calls import Answer, Late, call, retry_after
from countersign.platform.errors import Invalid, NotFound, Unavailable

PROVIDER = "openai"
OPENAI_URL = "https://api.openai.com/v1"
TEXTS_PER_CALL = 32
"""What the strictest common server takes by default (text-embeddings-inference)."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
BILLING = re.compile(r"quota|billing|credit_balance|(spend|usage)_limit")
"""In `error.type` or `error.code` of a 429 that no waiting will cure."""


class Endpoint:
    """One base URL with its key. Posts JSON and turns every failure into an error of this room."""

    def __init__(self, base_url: str, secret_id: str, timeout_seconds: float) -> None:
        self._base_url = (base_url or OPENAI_URL).rstrip("/")
        parts = urlsplit(self._base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid("A model's base URL must look like https://host/v1.")
        self.host = parts.hostname
        self._secret_id = secret_id
        self._timeout_seconds = timeout_seconds

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that the endpoint answers to `body`. Raises the errors of this room."""
        try:
            return self._post(path, body)
        except ModelMalformed as error:
            # It was answered, and how much was counted for it cannot be read.
            raise error.billed(counted(None, json.dumps(body))) from None

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        key = self._key()
        answer = self._send(path, body, key)
        if answer.status == 401 and (rotated := self._key(max_age=0.0)) != key:
            key = rotated
            answer = self._send(path, body, key)
        if answer.status != 200:
            raise self._failure(answer, key)
        return self._parsed(answer.body)

    def _key(self, **how_old: float) -> str:
        if not self._secret_id:
            return ""
        from countersign.platform.secrets import secret

        try:
            return secret(self._secret_id, **how_old).current
        except NotFound:
            raise ModelDenied(f"The secret with the key of {self.host} does not exist.") from None
        except Unavailable as error:
            raise ModelUnavailable(error.detail) from None

    def _send(self, path: str, body: Mapping[str, Any], key: str) -> Answer:
        """The whole answer."""
        try:
            answer = call(
                "POST",
                self._base_url + path,
                _headers(key),
                json.dumps(body).encode(),
                seconds=self._timeout_seconds,
                most_bytes=MAX_ANSWER_BYTES,
            )
        except Late:
            raise self._too_slow() from None
        except HTTPError as error:
            raise ModelUnavailable(
                f"{self.host} could not be reached ({type(error).__name__})."
            ) from None
        if answer.cut == "late":
            raise self._too_slow()
        if answer.cut == "long":
            raise ModelMalformed(f"{self.host} answered more than {MAX_ANSWER_BYTES} bytes.")
        if answer.cut == "broken":
            raise ModelUnavailable(f"The answer of {self.host} broke off.")
        return answer

    def _too_slow(self) -> ModelUnavailable:
        return ModelUnavailable(
            f"{self.host} did not answer within {self._timeout_seconds:g} seconds."
        )

    def _failure(self, answer: Answer, key: str) -> Exception:
        status = answer.status
        reason, kind = _reason(answer.body, key)
        says = f"{self.host} answered {status}" + (f": {reason}" if reason else ".")
        if status == 401:
            # Some servers repeat the key that they refuse, or a part of it.
            return ModelDenied(f"{self.host} answered 401: it does not accept the key.")
        if status == 429 and not BILLING.search(kind):
            return ModelThrottled(says, retry_after=retry_after(answer.headers))
        if status in (408, 409, 425) or status >= 500:
            return ModelUnavailable(says, retry_after=retry_after(answer.headers))
        if status in (402, 403, 404, 429):
            return ModelDenied(says)
        return ModelRefused(says)

    def _parsed(self, content: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(content)
        except ValueError:
            raise ModelMalformed(f"{self.host} answered something that is not JSON.") from None
        if not isinstance(answer, dict):
            raise ModelMalformed(f"{self.host} answered JSON that is not an object.")
        return answer


def _headers(key: str) -> dict[str, str]:
    headers = {"content-type": "application/json", "accept": "application/json"}
    return {**headers, "authorization": f"Bearer {key}"} if key else headers


def _reason(content: bytes, key: str) -> tuple[str, str]:
    """The provider's message without the key, and its type and code, from OpenAI's error shape."""
    try:
        body = json.loads(content)
    except ValueError:
        return "", ""
    error = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(error, dict):
        error = {"message": error}
    message = str(error.get("message") or "")
    kind = f"{error.get('type')} {error.get('code')}"
    return (message.replace(key, "[redacted]") if key else message)[:300], kind


class OpenAIChat:
    """`POST /chat/completions`."""

    provider = PROVIDER

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self.model = model
        self._endpoint = endpoint
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
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": user},
            ],
            self._limit_name(): max_output_tokens,
        }
        return self._chat_answer(self._complete(body, schema), system + user)

    def _limit_name(self) -> str:
        # OpenAI's reasoning models refuse `max_tokens`; Ollama and others know only that.
        hosted = self._endpoint.host.endswith((".openai.com", ".azure.com"))
        return "max_completion_tokens" if hosted else "max_tokens"

    def _complete(self, body: dict[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
        """Asks with the schema; without it, now and later, where the endpoint cannot take one."""
        if schema is None or not self._takes_schema:
            return self._endpoint.post("/chat/completions", body)
        described = {"name": "answer", "strict": True, "schema": without_bounds(schema)}
        shaped = {**body, "response_format": {"type": "json_schema", "json_schema": described}}
        try:
            return self._endpoint.post("/chat/completions", shaped)
        except ModelRefused as error:
            if "response_format" not in error.detail:
                raise
        self._takes_schema = False
        return self._endpoint.post("/chat/completions", body)

    def _chat_answer(self, completion: dict[str, Any], asked: str) -> ChatAnswer:
        usage = completion.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        input_tokens = counted(usage.get("prompt_tokens"), asked)
        try:
            text = self._text(completion)
        except ModelError as error:
            written = json.dumps(completion.get("choices"))
            raise error.billed(
                input_tokens, counted(usage.get("completion_tokens"), written)
            ) from None
        return ChatAnswer(
            text=text,
            input_tokens=input_tokens,
            output_tokens=counted(usage.get("completion_tokens"), text),
            model=str(completion.get("model") or self.model),
        )

    def _text(self, completion: dict[str, Any]) -> str:
        try:
            choice = completion["choices"][0]
            message = choice["message"]
            finish, refusal, text = (
                choice["finish_reason"],
                message.get("refusal"),
                message["content"],
            )
        except (KeyError, IndexError, TypeError, AttributeError):
            raise ModelMalformed(
                f"{self._endpoint.host} answered no choice with a message."
            ) from None
        if refusal or finish == "content_filter":
            raise ModelRefused(f"{self.model} declined to answer: {str(refusal or finish)[:300]}")
        if finish == "length":
            raise ModelMalformed(f"The answer of {self.model} was cut off at its token limit.")
        if not isinstance(text, str) or not text.strip():
            raise ModelMalformed(f"The answer of {self.model} has no text.")
        return text


class OpenAIEmbeddings:
    """`POST /embeddings`."""

    provider = PROVIDER

    def __init__(self, endpoint: Endpoint, model: str, dimensions: int, price: float = 0.0) -> None:
        self.model = model
        self.dimensions = check_dimensions(dimensions)
        self.price = price
        self._endpoint = endpoint

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """See `EmbeddingModel.embed`; these models encode documents and queries alike."""
        check_texts(texts)
        vectors: list[tuple[float, ...]] = []
        tokens = 0
        try:
            for batch in _batches(texts):
                answer = self._endpoint.post("/embeddings", self._body(batch))
                usage = answer.get("usage")
                reported = usage.get("prompt_tokens") if isinstance(usage, dict) else None
                tokens += counted(reported, "".join(batch))
                vectors += checked(
                    _in_order(answer.get("data")), count=len(batch), dimensions=self.dimensions
                )
        except ModelError as error:
            raise error.billed(tokens) from None
        return Embeddings(vectors=tuple(vectors), input_tokens=tokens, model=self.model)

    def _body(self, batch: Sequence[str]) -> dict[str, Any]:
        body = {"model": self.model, "input": list(batch), "encoding_format": "float"}
        # Only these models can be shortened; others refuse the parameter, even with their own
        # length as its value.
        shortens = self.model.startswith("text-embedding-3")
        return {**body, "dimensions": self.dimensions} if shortens else body


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), TEXTS_PER_CALL):
        yield texts[start : start + TEXTS_PER_CALL]


def _in_order(data: Any) -> list[Any]:
    """The embeddings by their `index`, which must count from 0 without a gap or a repetition."""
    try:
        by_index = {item["index"]: item["embedding"] for item in data}
    except (KeyError, TypeError):
        raise ModelMalformed("The answer holds no list of indexed embeddings.") from None
    if by_index.keys() != set(range(len(data))):
        raise ModelMalformed("The answer's embeddings are not indexed from 0 without a gap.")
    return [by_index[index] for index in range(len(data))]
