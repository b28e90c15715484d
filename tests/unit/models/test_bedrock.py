from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from countersign.models.bedrock import (
    BedrockChat,
    CohereEmbeddings,
    TitanEmbeddings,
    bedrock_embeddings,
)
from countersign.models.errors import (
    ModelDenied,
    ModelError,
    ModelMalformed,
    ModelRefused,
    ModelThrottled,
    ModelUnavailable,
)
from countersign.platform.errors import Invalid
from tests.unit.models.provider import Provider, Reply

CLAUDE = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
COHERE_3 = "cohere.embed-multilingual-v3"
COHERE_4 = "us.cohere.embed-v4:0"
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string", "maxLength": 9}}}
TAKEN_SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")


COUNTED = {"ResponseMetadata": {"HTTPHeaders": {"x-amzn-bedrock-input-token-count": "7"}}}


@pytest.fixture
def chat() -> BedrockChat:
    return BedrockChat(CLAUDE, 5.0)


@pytest.fixture
def stub(chat: BedrockChat) -> Iterator[Stubber]:
    with Stubber(chat.client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def reply(text: str = "Hello.", stop: str = "end_turn", **changes: Any) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": stop,
        "usage": {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15},
        "metrics": {"latencyMs": 1},
        **changes,
    }


def request(**changes: Any) -> dict[str, Any]:
    return {
        "modelId": CLAUDE,
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "inferenceConfig": {"maxTokens": 1024},
        **changes,
    }


def shaped() -> dict[str, Any]:
    definition = {"jsonSchema": {"name": "answer", "schema": json.dumps(TAKEN_SCHEMA)}}
    return {"textFormat": {"type": "json_schema", "structure": definition}}


def test_an_answer_with_its_tokens(chat: BedrockChat, stub: Stubber) -> None:
    stub.add_response("converse", reply(), request(outputConfig=shaped()))
    found = chat.answer("Be brief.", "Hi", schema=SCHEMA)
    assert (found.text, found.input_tokens, found.output_tokens) == ("Hello.", 12, 3)
    assert found.model == CLAUDE


def test_only_text_blocks_are_text(chat: BedrockChat, stub: Stubber) -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "Hmm."}}}
    content = [thought, {"text": "Hel"}, {"text": "lo."}]
    output = {"message": {"role": "assistant", "content": content}}
    stub.add_response("converse", reply(output=output), request())
    assert chat.answer("Be brief.", "Hi").text == "Hello."


def test_a_model_without_schemas_is_asked_without_from_then_on(
    chat: BedrockChat, stub: Stubber
) -> None:
    stub.add_client_error(
        "converse",
        "ValidationException",
        "output_config.format: Extra inputs are not permitted",
        400,
        expected_params=request(outputConfig=shaped()),
    )
    stub.add_response("converse", reply(), request())
    stub.add_response("converse", reply(), request())
    assert chat.answer("Be brief.", "Hi", schema=SCHEMA).text == "Hello."
    assert chat.answer("Be brief.", "Hi", schema=SCHEMA).text == "Hello."


def test_another_refusal_is_not_asked_again(chat: BedrockChat, stub: Stubber) -> None:
    stub.add_client_error("converse", "ValidationException", "Input is too long", 400)
    with pytest.raises(ModelRefused, match=r"ValidationException for .*: Input is too long"):
        chat.answer("Be brief.", "Hi", schema=SCHEMA)


@pytest.mark.parametrize(
    ("stop", "text", "error"),
    [
        ("guardrail_intervened", "No.", ModelRefused),
        ("content_filtered", "", ModelRefused),
        ("max_tokens", "Hel", ModelMalformed),
        ("model_context_window_exceeded", "Hel", ModelMalformed),
        ("malformed_model_output", "{", ModelMalformed),
        ("tool_use", "", ModelMalformed),
        ("end_turn", " ", ModelMalformed),
    ],
)
def test_an_answer_that_is_none(
    chat: BedrockChat, stub: Stubber, stop: str, text: str, error: type[ModelError]
) -> None:
    stub.add_response("converse", reply(text, stop))
    with pytest.raises(ModelError) as caught:
        chat.answer("Be brief.", "Hi")
    assert type(caught.value) is error
    assert (caught.value.input_tokens, caught.value.output_tokens) == (12, 3)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ThrottlingException", 429, ModelThrottled),
        ("ModelNotReadyException", 429, ModelThrottled),
        ("ServiceQuotaExceededException", 400, ModelThrottled),
        ("ModelTimeoutException", 408, ModelUnavailable),
        ("ModelErrorException", 424, ModelUnavailable),
        ("InternalServerException", 500, ModelUnavailable),
        ("ServiceUnavailableException", 503, ModelUnavailable),
        ("SomethingNew", 502, ModelUnavailable),
        ("AccessDeniedException", 403, ModelDenied),
        ("ExpiredTokenException", 403, ModelDenied),
        ("ResourceNotFoundException", 404, ModelDenied),
        ("ValidationException", 400, ModelRefused),
    ],
)
def test_what_each_exception_means(
    chat: BedrockChat, stub: Stubber, code: str, status: int, error: type[ModelError]
) -> None:
    stub.add_client_error("converse", code, "So it is.", status)
    with pytest.raises(ModelError, match="So it is") as caught:
        chat.answer("Be brief.", "Hi")
    assert type(caught.value) is error


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", None), (None, None)])
def test_how_long_to_wait(
    chat: BedrockChat, stub: Stubber, header: str | None, seconds: float | None
) -> None:
    headers = {} if header is None else {"retry-after": header}
    stub.add_client_error(
        "converse", "ThrottlingException", "", 429, response_meta={"HTTPHeaders": headers}
    )
    with pytest.raises(ModelThrottled) as caught:
        chat.answer("Be brief.", "Hi")
    assert caught.value.retry_after == seconds


def test_a_bedrock_that_hangs_is_asked_once_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with Provider(Reply(body=reply(), delay=30)) as provider:
        monkeypatch.setenv("AWS_ENDPOINT_URL", provider.base_url)
        with pytest.raises(ModelUnavailable, match="ReadTimeoutError"):
            BedrockChat(CLAUDE, 0.2).answer("Be brief.", "Hi")
    assert len(provider.requests) == 1


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with Provider(Reply()) as provider:
        monkeypatch.setenv("AWS_ENDPOINT_URL", provider.base_url)
    with pytest.raises(ModelUnavailable, match="EndpointConnectionError"):
        BedrockChat(CLAUDE, 1.0).answer("Be brief.", "Hi")


def test_what_cannot_be_called_is_refused_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ModelDenied, match="check the region, the credentials"):
        BedrockChat(CLAUDE, 1.0).answer("Be brief.", "Hi")


def test_no_region_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(ModelDenied, match="NoRegionError"):
        TitanEmbeddings(TITAN, 2, 1.0).embed(["one"])


def body(answer: Any) -> dict[str, Any]:
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    stream = StreamingBody(io.BytesIO(content), len(content))
    return {"body": stream, "contentType": "application/json"}


def asks(model: str, **sent: Any) -> dict[str, Any]:
    return {
        "modelId": model,
        "body": json.dumps(sent),
        "contentType": "application/json",
        "accept": "application/json",
    }


def test_titan_embeds_one_text_a_call() -> None:
    model = TitanEmbeddings(TITAN, 2, 5.0)
    with Stubber(model.client) as stub:
        for text, vector in (("one", [1.0, 0.0]), ("two", [0.0, 1.0])):
            answer = {"embedding": vector, "inputTextTokenCount": 4}
            sent = asks(TITAN, inputText=text, dimensions=2, normalize=True)
            stub.add_response("invoke_model", body(answer), sent)
        found = model.embed(["one", "two"])
        stub.assert_no_pending_responses()
    assert found.vectors == ((1.0, 0.0), (0.0, 1.0))
    assert (found.input_tokens, found.model) == (8, TITAN)


def test_the_first_titan_takes_the_text_alone() -> None:
    model = TitanEmbeddings("amazon.titan-embed-text-v1", 2, 5.0)
    with Stubber(model.client) as stub:
        answer = body({"embedding": [1.0, 0.0]})
        stub.add_response("invoke_model", answer, asks(model.model, inputText="x" * 40))
        assert model.embed(["x" * 40]).input_tokens == 10


def test_a_failure_in_a_later_call_leaves_no_half_batch() -> None:
    model = TitanEmbeddings(TITAN, 2, 5.0)
    with Stubber(model.client) as stub:
        stub.add_response("invoke_model", body({"embedding": [1.0, 0.0]}))
        stub.add_client_error("invoke_model", "ThrottlingException", "Slow down", 429)
        with pytest.raises(ModelThrottled) as caught:
            model.embed(["one" * 4, "two"])
    assert caught.value.input_tokens == 3


@pytest.mark.parametrize("answer", [b"", [], {"embedding": [0.0, 0.0], "inputTextTokenCount": 7}])
def test_a_vector_that_is_none_is_billed(answer: Any) -> None:
    model = TitanEmbeddings(TITAN, 2, 5.0)
    with Stubber(model.client) as stub:
        stub.add_response("invoke_model", {**body(answer), **COUNTED})
        with pytest.raises(ModelMalformed) as caught:
            model.embed(["one"])
    assert caught.value.input_tokens == 7


@pytest.mark.parametrize("purpose", ["document", "query"])
def test_cohere_3(purpose: Any) -> None:
    model = CohereEmbeddings(COHERE_3, 2, 5.0)
    sent = {
        "texts": ["one", "y" * 2048],
        "input_type": f"search_{purpose}",
        "truncate": "END",
    }
    answer = body({"embeddings": [[1.0, 0.0], [0.0, 1.0]], "response_type": "embeddings_floats"})
    headers = {"x-amzn-bedrock-input-token-count": "9"}
    with Stubber(model.client) as stub:
        stub.add_response(
            "invoke_model",
            {**answer, "ResponseMetadata": {"HTTPHeaders": headers}},
            asks(COHERE_3, **sent),
        )
        found = model.embed(["one", "y" * 5000], purpose=purpose)
    assert found.vectors == ((1.0, 0.0), (0.0, 1.0))
    assert found.input_tokens == 9


def test_cohere_4() -> None:
    model = CohereEmbeddings(COHERE_4, 2, 5.0)
    sent = {
        "texts": ["y" * 5000],
        "input_type": "search_document",
        "truncate": "RIGHT",
        "embedding_types": ["float"],
        "output_dimension": 2,
    }
    with Stubber(model.client) as stub:
        answer = body({"embeddings": {"float": [[1.0, 0.0]]}})
        stub.add_response("invoke_model", answer, asks(COHERE_4, **sent))
        found = model.embed(["y" * 5000])
    assert found.vectors == ((1.0, 0.0),)
    assert found.input_tokens == 1250


def test_cohere_takes_96_texts_a_call() -> None:
    model = CohereEmbeddings(COHERE_3, 2, 5.0)
    with Stubber(model.client) as stub:
        for size in (96, 4):
            stub.add_response("invoke_model", body({"embeddings": [[float(size), 1.0]] * size}))
        found = model.embed(["text"] * 100)
        stub.assert_no_pending_responses()
    assert [vector[0] for vector in found.vectors] == [96.0] * 96 + [4.0] * 4


@pytest.mark.parametrize(
    "answer",
    [
        {"embeddings": [[1.0, 0.0]]},
        {"embeddings": [[1.0, 0.0], [1.0]]},
        {"embeddings": [[1.0, 0.0], [float("nan"), 1.0]]},
        {"embeddings": {"int8": [[1, 0], [0, 1]]}},
        {"embeddings": None},
        {"message": "later"},
        [],
        b"",
        b"\xff",
    ],
)
def test_a_batch_is_whole_or_nothing(answer: Any) -> None:
    model = CohereEmbeddings(COHERE_3, 2, 5.0)
    with Stubber(model.client) as stub:
        stub.add_response("invoke_model", {**body(answer), **COUNTED})
        with pytest.raises(ModelMalformed) as caught:
            model.embed(["one", "two"])
    assert caught.value.input_tokens == 7


def test_an_answer_that_breaks_off_is_not_kept() -> None:
    model = TitanEmbeddings(TITAN, 2, 5.0)
    stream = StreamingBody(io.BytesIO(b'{"embedding": [1.0, 0.0]}'), 999)
    with Stubber(model.client) as stub:
        reply = {"body": stream, "contentType": "application/json", **COUNTED}
        stub.add_response("invoke_model", reply)
        with pytest.raises(ModelUnavailable, match="broke off") as caught:
            model.embed(["one"])
    assert caught.value.input_tokens == 7


@pytest.mark.parametrize("model", [TITAN, COHERE_3])
def test_a_blank_text_is_not_sent(model: str) -> None:
    encoder = bedrock_embeddings(model, 2, 5.0)
    with pytest.raises(Invalid, match="Text 0 of 1"):
        encoder.embed([" "])
