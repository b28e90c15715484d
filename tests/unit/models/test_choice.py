from __future__ import annotations

import subprocess
import sys

import pytest

from countersign.models import ModelSettings, chat_model, embedding_model, embedding_models
from countersign.platform.errors import Invalid, MissingSetting
from countersign.platform.settings import load

OPENAI = {
    "CHAT_PROVIDER": "openai",
    "CHAT_MODEL": "extractive-writer",
    "EMBEDDING_PROVIDER": "openai",
    "EMBEDDING_MODEL": "all-MiniLM-L6-v2",
    "EMBEDDING_DIMENSIONS": "384",
}
BEDROCK = {
    "CHAT_PROVIDER": "bedrock",
    "CHAT_MODEL": "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
    "EMBEDDING_PROVIDER": "bedrock",
    "EMBEDDING_MODEL": "amazon.titan-embed-text-v2:0",
    "EMBEDDING_DIMENSIONS": "1024",
}


def settings(environ: dict[str, str], **changes: str) -> ModelSettings:
    return load(ModelSettings, {**environ, **changes})


@pytest.mark.parametrize("environ", [OPENAI, BEDROCK])
def test_the_environment_names_both_models(environ: dict[str, str]) -> None:
    chat, embedding = chat_model(settings(environ)), embedding_model(settings(environ))
    assert (chat.provider, chat.model) == (environ["CHAT_PROVIDER"], environ["CHAT_MODEL"])
    space = (embedding.provider, embedding.model, str(embedding.dimensions))
    assert space == tuple(
        environ[f"EMBEDDING_{part}"] for part in ("PROVIDER", "MODEL", "DIMENSIONS")
    )


def test_defaults() -> None:
    found = settings(OPENAI)
    assert found.chat_timeout_seconds == 25.0
    assert (found.chat_input_price, found.chat_output_price, found.embedding_price) == (0, 0, 0)


@pytest.mark.parametrize("name", sorted(OPENAI))
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(MissingSetting, match=name):
        load(ModelSettings, {key: value for key, value in OPENAI.items() if key != name})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"CHAT_PROVIDER": "fake"}, "CHAT_PROVIDER is 'fake'"),
        ({"CHAT_BASE_URL": "ftp://models/v1"}, "base URL must look like"),
        ({"CHAT_BASE_URL": "https:///v1"}, "base URL must look like"),
    ],
)
def test_a_chat_model_that_cannot_be_is_refused(changes: dict[str, str], complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        chat_model(settings(OPENAI, **changes))


@pytest.mark.parametrize(
    ("environ", "changes", "complaint"),
    [
        (OPENAI, {"EMBEDDING_PROVIDER": "fake"}, "EMBEDDING_PROVIDER is 'fake'"),
        (OPENAI, {"EMBEDDING_DIMENSIONS": "3072"}, "EMBEDDING_DIMENSIONS is 3072"),
        (BEDROCK, {"EMBEDDING_DIMENSIONS": "0"}, "EMBEDDING_DIMENSIONS is 0"),
        (BEDROCK, {"EMBEDDING_MODEL": "amazon.nova-lite"}, "set a Titan or Cohere"),
    ],
)
def test_an_embedding_model_that_cannot_be_is_refused(
    environ: dict[str, str], changes: dict[str, str], complaint: str
) -> None:
    with pytest.raises(Invalid, match=complaint):
        embedding_model(settings(environ, **changes))


PREVIOUS = {
    "PREVIOUS_EMBEDDING_PROVIDER": "openai",
    "PREVIOUS_EMBEDDING_MODEL": "all-MiniLM-L6-v2",
    "PREVIOUS_EMBEDDING_DIMENSIONS": "384",
    "PREVIOUS_EMBEDDING_PRICE": "0.02",
}


def test_the_previous_embedding_model_comes_after_the_current_one() -> None:
    (only,) = embedding_models(settings(BEDROCK, PREVIOUS_EMBEDDING_PROVIDER=""))
    current, previous = embedding_models(settings(BEDROCK, **PREVIOUS))
    assert only.model == current.model == BEDROCK["EMBEDDING_MODEL"]
    assert (previous.provider, previous.model, previous.dimensions, previous.price) == (
        "openai",
        "all-MiniLM-L6-v2",
        384,
        0.02,
    )


def test_a_previous_embedding_model_that_cannot_be_is_told_from_the_current_one() -> None:
    wrong = {**PREVIOUS, "PREVIOUS_EMBEDDING_DIMENSIONS": "0"}
    with pytest.raises(Invalid, match="The previous embedding model: EMBEDDING_DIMENSIONS is 0"):
        embedding_models(settings(BEDROCK, **wrong))


@pytest.mark.parametrize(
    ("environ", "absent"),
    [(OPENAI, {"boto3", "botocore"}), (BEDROCK, {"urllib3.poolmanager", "boto3.session"})],
)
def test_only_the_chosen_provider_is_imported(environ: dict[str, str], absent: set[str]) -> None:
    program = (
        "import sys\n"
        "from countersign.models import ModelSettings, chat_model, embedding_model\n"
        "from countersign.platform.settings import load\n"
        "before = {'boto3', 'botocore', 'urllib3', 'sqlalchemy', 'pydantic'} & set(sys.modules)\n"
        f"settings = load(ModelSettings, {environ!r})\n"
        "chat_model(settings), embedding_model(settings)\n"
        f"print(sorted(before), sorted({absent!r} & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": "layers/shared"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "[] []"
