from __future__ import annotations

import math
import time
from email.utils import formatdate
from typing import Any

import pytest

from countersign.models.errors import (
    ModelDenied,
    ModelError,
    ModelMalformed,
    ModelRefused,
    ModelThrottled,
    ModelUnavailable,
)
from countersign.models.openai_compatible import (
    TEXTS_PER_CALL,
    Endpoint,
    OpenAIChat,
    OpenAIEmbeddings,
)
from countersign.platform.errors import Invalid, NotFound, Unavailable
from countersign.platform.secrets import Secret
from tests.unit.models.provider import Provider, Reply, Request

KEY = "sk-canary-4f9a1c"
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string", "maxLength": 9}}}
TAKEN_SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}


class Keys:
    """Secrets Manager with one secret, whose value a test may change."""

    def __init__(self) -> None:
        self.value = KEY
        self.cached = KEY

    def __call__(self, secret_id: str, max_age: float = 300.0) -> Secret:
        assert secret_id == "countersign/chat"
        if max_age == 0.0:
            self.cached = self.value
        return Secret(self.cached)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    found = Keys()
    monkeypatch.setattr("countersign.platform.secrets.secret", found)
    return found


def chat(provider: Provider, *, secret_id: str = "", timeout: float = 60.0) -> OpenAIChat:
    return OpenAIChat(Endpoint(provider.base_url, secret_id, timeout), "writer-1")


def embeddings(provider: Provider, model: str = "encoder-1", size: int = 3) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(Endpoint(provider.base_url, "", 5.0), model, size)


def completion(content: Any = "Hello.", **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **choice.pop("message", {})}
    return {
        "model": "writer-1-2026",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message, **choice}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    }


def embedded(request: Request) -> Reply:
    """One vector per text that holds the text's number, in reverse order."""
    data = [
        {"object": "embedding", "index": index, "embedding": [float(text), 1.0, 0.5]}
        for index, text in enumerate(request.body["input"])
    ]
    return Reply(body={"data": data[::-1], "usage": {"prompt_tokens": 2 * len(data)}})


def failure(message: str, **error: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None, **error}}


def test_an_answer_with_its_tokens(keys: Keys) -> None:
    with Provider(Reply(body=completion())) as provider:
        found = chat(provider, secret_id="countersign/chat").answer(
            "Be brief.", "Hi", schema=SCHEMA
        )
    assert (found.text, found.input_tokens, found.output_tokens) == ("Hello.", 12, 3)
    assert found.model == "writer-1-2026"
    (request,) = provider.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "writer-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "max_tokens": 1024,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": TAKEN_SCHEMA},
        },
    }


def test_no_key_and_no_schema_are_sent_where_none_is_set() -> None:
    with Provider(Reply(body=completion())) as provider:
        chat(provider).answer("Be brief.", "Hi", max_output_tokens=9)
    (request,) = provider.requests
    assert "authorization" not in request.headers
    assert "response_format" not in request.body
    assert request.body["max_tokens"] == 9


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("", "max_completion_tokens"),
        ("https://shop.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
    ],
)
def test_the_token_limit_has_the_name_that_the_host_knows(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[dict[str, Any]] = []

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        bodies.append(body)
        return completion()

    endpoint = Endpoint(url, "", 5.0)
    monkeypatch.setattr(endpoint, "post", post)
    OpenAIChat(endpoint, "writer-1").answer("Be brief.", "Hi")
    assert {"max_tokens", "max_completion_tokens"} & set(bodies[0]) == {name}


def test_an_endpoint_without_schemas_is_asked_without_from_then_on() -> None:
    unknown = Reply(400, failure("Unknown name 'response_format'"))
    with Provider(unknown, Reply(body=completion())) as provider:
        model = chat(provider)
        assert model.answer("Be brief.", "Hi", schema=SCHEMA).text == "Hello."
        assert model.answer("Be brief.", "Hi", schema=SCHEMA).text == "Hello."
    shaped = ["response_format" in request.body for request in provider.requests]
    assert shaped == [True, False, False]


def test_another_refusal_is_not_asked_again() -> None:
    with (
        Provider(Reply(400, failure("The context is too long"))) as provider,
        pytest.raises(ModelRefused, match="400: The context is too long"),
    ):
        chat(provider).answer("Be brief.", "Hi", schema=SCHEMA)
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("body", "error", "complaint"),
    [
        (
            completion(message={"refusal": "I cannot."}),
            ModelRefused,
            "declined to answer: I cannot",
        ),
        (completion(None, finish_reason="content_filter"), ModelRefused, "content_filter"),
        (completion("Hel", finish_reason="length"), ModelMalformed, "cut off"),
        (completion(""), ModelMalformed, "no text"),
        (completion(None), ModelMalformed, "no text"),
        (completion([{"type": "text"}]), ModelMalformed, "no text"),
        ({"choices": []}, ModelMalformed, "no choice"),
        ({"choices": [{"finish_reason": "stop"}]}, ModelMalformed, "no choice"),
        (
            {"choices": [{"message": "Hello.", "finish_reason": "stop"}]},
            ModelMalformed,
            "no choice",
        ),
        ({}, ModelMalformed, "no choice"),
        ([], ModelMalformed, "not an object"),
        (b"<html>", ModelMalformed, "not JSON"),
        (b"", ModelMalformed, "not JSON"),
        (b'{"choices": "\xff"}', ModelMalformed, "not JSON"),
    ],
)
def test_an_answer_that_is_none(body: Any, error: type[ModelError], complaint: str) -> None:
    with Provider(Reply(body=body)) as provider, pytest.raises(error, match=complaint) as caught:
        chat(provider).answer("Be brief.", "Hi")
    spent = caught.value.input_tokens, caught.value.output_tokens
    if isinstance(body, dict) and "usage" in body:
        assert spent == (12, 3)
    else:
        assert spent[0] > 0


def test_an_answer_that_is_cut_off_and_not_reported_is_estimated() -> None:
    body = {**completion("y" * 400, finish_reason="length"), "usage": None}
    with Provider(Reply(body=body)) as provider, pytest.raises(ModelMalformed) as caught:
        chat(provider).answer("x" * 30, "y" * 10)
    assert caught.value.input_tokens == 10
    assert 100 <= caught.value.output_tokens <= 150


def test_a_refusal_at_the_door_costs_nothing() -> None:
    with Provider(Reply(401, b"")) as provider, pytest.raises(ModelDenied) as caught:
        chat(provider).answer("Be brief.", "Hi")
    assert (caught.value.input_tokens, caught.value.output_tokens) == (0, 0)


@pytest.mark.parametrize("usage", [None, "many", {}, {"prompt_tokens": None}])
def test_tokens_that_are_not_reported_are_estimated(usage: Any) -> None:
    with Provider(Reply(body={**completion(), "usage": usage})) as provider:
        found = chat(provider).answer("x" * 30, "y" * 10)
    assert (found.input_tokens, found.output_tokens) == (10, 2)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, failure("Bad"), ModelRefused),
        (402, failure("Pay"), ModelDenied),
        (403, failure("Region"), ModelDenied),
        (404, failure("No such model"), ModelDenied),
        (413, b"too large", ModelRefused),
        (422, {"detail": []}, ModelRefused),
        (302, b"", ModelRefused),
        (408, b"", ModelUnavailable),
        (409, failure("Lock"), ModelUnavailable),
        (500, failure("Oops"), ModelUnavailable),
        (502, b"<html>Bad gateway</html>", ModelUnavailable),
        (503, {"error": "loading"}, ModelUnavailable),
        (529, [], ModelUnavailable),
        (429, failure("Slow down", type="tokens", code="rate_limit_exceeded"), ModelThrottled),
        (429, b"", ModelThrottled),
        (429, failure("Quota", type="insufficient_quota"), ModelDenied),
        (429, failure("Broke", type="x", code="credit_balance_exhausted"), ModelDenied),
        (429, failure("Cap", type="x", code="project_spend_limit_exceeded"), ModelDenied),
    ],
)
def test_what_each_status_means(status: int, body: Any, error: type[ModelError]) -> None:
    reply = Reply(status, body, {"location": "http://127.0.0.1:1/"})
    with Provider(reply) as provider, pytest.raises(ModelError) as caught:
        chat(provider).answer("Be brief.", "Hi")
    assert type(caught.value) is error
    assert f"127.0.0.1 answered {status}" in caught.value.detail
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0.25", 0.25, 0.25),
        (100, 90, 101),
        (-100, 0, 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_how_long_to_wait(status: int, header: str | int, low: float, high: float) -> None:
    # A number of seconds from now stands for that date.
    asked = formatdate(time.time() + header, usegmt=True) if isinstance(header, int) else header
    reply = Reply(status, failure("Later"), {"Retry-After": asked})
    with Provider(reply) as provider, pytest.raises(ModelUnavailable) as caught:
        chat(provider).answer("Be brief.", "Hi")
    assert caught.value.retry_after is not None
    assert low <= caught.value.retry_after <= high


@pytest.mark.parametrize("header", ["soon", "-1", "nan", "1e9x", ""])
def test_a_wait_that_is_none(header: str) -> None:
    reply = Reply(429, failure("Later"), {"Retry-After": header})
    with Provider(reply) as provider, pytest.raises(ModelThrottled) as caught:
        chat(provider).answer("Be brief.", "Hi")
    assert caught.value.retry_after is None


def test_a_provider_that_hangs_is_left() -> None:
    with Provider(Reply(body=completion(), delay=30)) as provider:
        with pytest.raises(ModelUnavailable, match=r"did not answer within 0\.2 seconds"):
            chat(provider, timeout=0.2).answer("Be brief.", "Hi")
        assert not provider.has_said_all


@pytest.mark.parametrize("how", [{}, {"Transfer-Encoding": "chunked"}])
def test_a_provider_that_trickles_is_left(how: dict[str, str]) -> None:
    content = b'{"choices": [' + b" " * 3600
    if how:
        content = b"1\r\n{\r\n" * 600
    with Provider(Reply(body=content, delay=0.05, piece=6, headers=how)) as provider:
        with pytest.raises(ModelUnavailable, match=r"did not answer within 0\.3 seconds"):
            chat(provider, timeout=0.3).answer("Be brief.", "Hi")
        assert not provider.has_said_all


def test_a_chunked_answer_is_read_whole() -> None:
    body = b'{"choices": [{"finish_reason": "stop", "message": {"content": "Hello."}}]}'
    content = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:9], body[9:])) + b"0\r\n\r\n"
    reply = Reply(body=content, headers={"Transfer-Encoding": "chunked"}, piece=11)
    with Provider(reply) as provider:
        assert chat(provider).answer("Be brief.", "Hi").text == "Hello."


def test_an_answer_that_breaks_off_is_not_kept() -> None:
    reply = Reply(body=b'{"choices"', headers={"content-length": "999", "connection": "close"})
    with Provider(reply) as provider, pytest.raises(ModelUnavailable):
        chat(provider, timeout=1).answer("Be brief.", "Hi")


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countersign.models.openai_compatible.MAX_ANSWER_BYTES", 1000)
    with (
        Provider(Reply(body=b"[" * 2000)) as provider,
        pytest.raises(ModelMalformed, match="more than 1000 bytes"),
    ):
        chat(provider).answer("Be brief.", "Hi")


def test_nobody_listens() -> None:
    with Provider(Reply()) as provider:
        gone = chat(provider)
    with pytest.raises(ModelUnavailable, match="could not be reached"):
        gone.answer("Be brief.", "Hi")


def test_a_connection_is_kept() -> None:
    with Provider(Reply(body=completion())) as provider:
        model = chat(provider)
        for _ in range(3):
            model.answer("Be brief.", "Hi")
    assert len({request.client_port for request in provider.requests}) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_no_error_repeats_the_key(status: int, keys: Keys) -> None:
    echo = "x" * 295 + f"Incorrect API key provided: {KEY}"
    for message in (f"Incorrect API key provided: {KEY}", "x" * 290 + KEY, echo):
        with (
            Provider(Reply(status, failure(message))) as provider,
            pytest.raises(ModelError) as caught,
        ):
            chat(provider, secret_id="countersign/chat").answer("Be brief.", "Hi")
        said = f"{caught.value!r} {caught.value.detail} {caught.value.extra}"
        assert KEY[:9] not in said


def test_a_key_that_was_rotated_is_read_again(keys: Keys) -> None:
    def check(request: Request) -> Reply:
        good = request.headers["authorization"] == "Bearer sk-new"
        return Reply(body=completion()) if good else Reply(401, failure("Expired"))

    keys.value = "sk-new"
    with Provider(check) as provider:
        found = chat(provider, secret_id="countersign/chat").answer("Be brief.", "Hi")
    assert found.text == "Hello."
    assert len(provider.requests) == 2


def test_a_key_that_is_wrong_is_tried_once(keys: Keys) -> None:
    with (
        Provider(Reply(401, failure("Wrong"))) as provider,
        pytest.raises(ModelDenied, match="does not accept the key"),
    ):
        chat(provider, secret_id="countersign/chat").answer("Be brief.", "Hi")
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("problem", "error"),
    [(NotFound("No."), ModelDenied), (Unavailable("Later."), ModelUnavailable)],
)
def test_a_key_that_cannot_be_read(
    problem: Exception, error: type[ModelError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise problem

    monkeypatch.setattr("countersign.platform.secrets.secret", fail)
    with Provider(Reply(body=completion())) as provider, pytest.raises(ModelError) as caught:
        chat(provider, secret_id="countersign/chat").answer("Be brief.", "Hi")
    assert type(caught.value) is error
    assert provider.requests == []


def test_vectors_come_in_the_order_of_the_texts() -> None:
    texts = [str(number) for number in range(2 * TEXTS_PER_CALL + 1)]
    with Provider(embedded) as provider:
        found = embeddings(provider).embed(texts)
    assert [vector[0] for vector in found.vectors] == [float(text) for text in texts]
    assert found.input_tokens == 2 * len(texts)
    sizes = [len(request.body["input"]) for request in provider.requests]
    assert sizes == [TEXTS_PER_CALL, TEXTS_PER_CALL, 1]
    assert provider.requests[0].path == "/v1/embeddings"


def test_nothing_to_embed_asks_nobody() -> None:
    with Provider(embedded) as provider:
        assert embeddings(provider).embed([]).vectors == ()
    assert provider.requests == []


@pytest.mark.parametrize(
    ("model", "sent"),
    [("text-embedding-3-large", 3), ("text-embedding-ada-002", None), ("all-MiniLM-L6-v2", None)],
)
def test_only_models_that_can_be_shortened_are_asked_to(model: str, sent: int | None) -> None:
    with Provider(embedded) as provider:
        embeddings(provider, model).embed(["1"])
    assert provider.requests[0].body.get("dimensions") == sent


def item(index: Any, vector: Any = (1.0, 2.0, 3.0)) -> dict[str, Any]:
    return {"index": index, "embedding": list(vector)}


@pytest.mark.parametrize(
    "data",
    [
        [item(0)],
        [item(0), item(1), item(2)],
        [item(0), item(0)],
        [item(1), item(2)],
        [item(0), item("1")],
        [item(0), item(None)],
        [item(0), item([])],
        [item(0), {"index": 1}],
        [item(0), None],
        [item(0), item(1, [1.0, 2.0])],
        [item(0), item(1, [1.0, math.nan, 3.0])],
        [item(0), item(1, [1.0, math.inf, 3.0])],
        [item(0), item(1, [0.0, 0.0, 0.0])],
        [item(0), {"index": 1, "embedding": "AACAPwAAAEA="}],
        {"0": [1.0, 2.0, 3.0]},
        None,
        7,
    ],
)
def test_a_batch_is_whole_or_nothing(data: Any) -> None:
    body = {"data": data, "usage": {"prompt_tokens": 4}}
    with Provider(Reply(body=body)) as provider, pytest.raises(ModelMalformed) as caught:
        embeddings(provider).embed(["1", "2"])
    assert caught.value.input_tokens == 4


def test_a_failure_in_a_later_call_leaves_no_half_batch() -> None:
    texts = [str(number) for number in range(TEXTS_PER_CALL + 1)]
    with (
        Provider(embedded, Reply(503, failure("Later"))) as provider,
        pytest.raises(ModelUnavailable) as caught,
    ):
        embeddings(provider).embed(texts)
    assert len(provider.requests) == 2
    assert caught.value.input_tokens == 2 * TEXTS_PER_CALL


def test_a_blank_text_is_not_sent() -> None:
    with Provider(embedded) as provider, pytest.raises(Invalid, match="Text 1 of 2"):
        embeddings(provider).embed(["1", " "])
    assert provider.requests == []


def test_embedding_tokens_that_are_not_reported_are_estimated() -> None:
    with Provider(Reply(body={"data": [item(0)]})) as provider:
        assert embeddings(provider).embed(["x" * 40]).input_tokens == 10
