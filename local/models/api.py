"""The part of OpenAI's API that Countersign calls, with OpenAI's shapes and errors.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np

from local.http_server import Request, Response
from local.models.encoder import DIMENSIONS, Encoder
from local.models.writer import Writer

EMBEDDING_MODEL = "all-MiniLM-L6-v2"
CHAT_MODEL = "extractive-writer"
MODELS = (EMBEDDING_MODEL, CHAT_MODEL)
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_TEXTS = 2048
SCHEMA_NAME = re.compile(r"[\w-]{1,64}")

Json = dict[str, Any]


class Refusal(Exception):
    """What OpenAI answers to a request that it does not take."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Api:
    """Answers one request at a time, in as many threads as there are requests."""

    def __init__(self, encoder: Encoder, key: str) -> None:
        self._encoder = encoder
        self._writer = Writer(encoder)
        self._key = key
        self._routes: dict[str, tuple[str, Callable[[Request], Json]]] = {
            "/v1/models": ("GET", self._models),
            "/v1/embeddings": ("POST", self._embeddings),
            "/v1/chat/completions": ("POST", self._chat_completions),
        }

    def answer(self, request: Request) -> Response:
        """The answer to `request`, always JSON."""
        try:
            self._authenticate(request)
            return _response(200, self._route(request)(request))
        except Refusal as refusal:
            return _response(refusal.status, refusal.body)
        except Exception:
            traceback.print_exc()
            return _response(500, Refusal(500, "The server had an error.").body)

    def _authenticate(self, request: Request) -> None:
        scheme, _, key = request.header("authorization").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Refusal(401, "You didn't provide an API key.")
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            raise Refusal(401, "Incorrect API key provided.", code="invalid_api_key")

    def _route(self, request: Request) -> Callable[[Request], Json]:
        if request.path not in self._routes:
            url = f"{request.method} {request.path}"
            raise Refusal(404, f"Invalid URL ({url})", code="unknown_url")
        method, handle = self._routes[request.path]
        if request.method != method:
            raise Refusal(405, f"Not allowed to {request.method} on {request.path}")
        return handle

    def _models(self, request: Request) -> Json:
        data = [
            {"id": model, "object": "model", "created": 0, "owned_by": "local"} for model in MODELS
        ]
        return {"object": "list", "data": data}

    def _embeddings(self, request: Request) -> Json:
        body = _body(request, EMBEDDING_MODEL)
        texts = _texts(body.get("input"))
        if body.get("dimensions", DIMENSIONS) != DIMENSIONS:
            raise Refusal(400, f"This model has {DIMENSIONS} dimensions.", "dimensions")
        encoding = body.get("encoding_format", "float")
        if encoding not in ("float", "base64"):
            raise Refusal(400, "Supported formats are 'float' and 'base64'.", "encoding_format")
        vectors, tokens = self._encoder.embed(texts)
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector, encoding)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": EMBEDDING_MODEL, "usage": usage}

    def _chat_completions(self, request: Request) -> Json:
        body = _body(request, CHAT_MODEL)
        contents = _contents(body.get("messages"))
        _check_options(body)
        text = json.dumps(self._writer.reply(contents[-1]), ensure_ascii=False)
        asked = self._encoder.count_tokens("\n".join(contents))
        written = self._encoder.count_tokens(text)
        message = {"role": "assistant", "content": text, "refusal": None}
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": CHAT_MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": asked,
                "completion_tokens": written,
                "total_tokens": asked + written,
            },
        }


def _response(status: int, body: Json) -> Response:
    content = json.dumps(body).encode()
    return Response(status, content, (("Content-Type", "application/json"),))


def _body(request: Request, model: str) -> Json:
    """The request's JSON object, if it asks for `model`."""
    if len(request.body) > MAX_BODY_BYTES:
        raise Refusal(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
    try:
        body = json.loads(request.body)
    except ValueError:
        raise Refusal(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise Refusal(400, "The body of your request must be a JSON object.")
    if "model" not in body:
        raise Refusal(400, "you must provide a model parameter", "model")
    if body["model"] != model:
        message = f"The model `{body['model']}` does not exist here; this is {model}."
        raise Refusal(404, message, "model", "model_not_found")
    return body


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "'input' must be a string or an array of strings.", "input")
    if not texts or "" in texts:
        raise Refusal(400, "'input' must not be empty.", "input")
    if len(texts) > MAX_TEXTS:
        raise Refusal(400, f"'input' must have at most {MAX_TEXTS} texts.", "input")
    return texts


def _encoded(vector: Any, encoding: str) -> list[float] | str:
    if encoding == "float":
        numbers: list[float] = vector.tolist()
        return numbers
    return base64.b64encode(vector.astype(np.dtype("<f4")).tobytes()).decode()


def _contents(messages: Any) -> list[str]:
    """The text of each message; the last one must be the user's."""
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "'messages' must be an array with at least one message.", "messages")
    contents = []
    for position, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str):
            name = f"messages.[{position}].content"
            raise Refusal(400, f"'{name}' must be a string.", name)
        contents.append(content)
    if messages[-1].get("role") != "user":
        raise Refusal(400, "The last message must have the role 'user'.", "messages")
    return contents


def _check_options(body: Json) -> None:
    if body.get("stream"):
        raise Refusal(400, "This server does not stream.", "stream")
    shape = body.get("response_format", {"type": "text"})
    kind = shape.get("type") if isinstance(shape, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise Refusal(400, f"Unknown type {kind!r}.", "response_format.type")
    if kind == "json_schema":
        schema = shape.get("json_schema")
        name = schema.get("name") if isinstance(schema, dict) else None
        if not isinstance(name, str) or not SCHEMA_NAME.fullmatch(name):
            raise Refusal(400, "A schema needs a name.", "response_format.json_schema.name")
