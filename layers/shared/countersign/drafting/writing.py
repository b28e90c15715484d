"""From a leased request to a grounded answer: embed, retrieve, ask, check. No transaction is open
while a model is called; what the model answers is data until it has been checked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from countersign.drafting.prompts import REPLY, prompt
from countersign.drafting.requests import Job
from countersign.knowledge import passages
from countersign.knowledge.passages import Embedded, Passage
from countersign.models import ChatModel, ModelSettings, tokens
from countersign.models.errors import ModelError, ModelMalformed
from countersign.models.spaces import Encoder, Encoders
from countersign.models.vectors import padded
from countersign.platform.db import Database

SOURCES = 6
MESSAGE_CHARACTERS = 4000
"""How much of each message a model is shown."""
ANSWER_TOKENS = 800
QUOTE_CHARACTERS = 500
"""How much of a quote is kept: what a person reads to check a claim."""
_SOURCES_BYTES = 64_000
"""A little less than a JSON column holds: Postgres writes some numbers longer."""
_REASON = re.compile(r"[a-z_]{1,64}")


class Citation(BaseModel):
    """Words of a source that a claim rests on."""

    model_config = ConfigDict(extra="forbid")

    source: str
    quote: str = Field(min_length=1)


class Answer(BaseModel):
    """What the prompt asks a model for."""

    model_config = ConfigDict(extra="forbid")

    abstain: bool
    reason: str | None
    answer: str = Field(max_length=16_000)
    citations: list[Citation] = Field(max_length=20)


@dataclass(frozen=True)
class Usage:
    """What one call cost."""

    kind: str
    model_key: str
    prompt_version: str | None
    input_tokens: int
    output_tokens: int
    cost_microusd: int


@dataclass(frozen=True)
class Written:
    """What came of a request, and what it cost: a text with its sources, a reason for none, or what
    was wrong with a model or its answer."""

    text: str | None
    top_sources: list[dict[str, Any]]
    reason: str | None
    error: ModelError | None
    model_key: str
    usage: tuple[Usage, ...]


class Writer:
    """Writes drafts with the models of its settings."""

    def __init__(
        self,
        database: Database,
        chat: ChatModel,
        encoders: Encoders,
        settings: ModelSettings,
    ) -> None:
        self._database = database
        self._chat = chat
        self._encoders = encoders
        self._settings = settings
        self.model_key = f"{chat.provider}/{chat.model}"

    def write(self, job: Job) -> Written:
        """Answer the last message of `job` from the organization's knowledge."""
        question = job.messages[-1].body_text[:MESSAGE_CHARACTERS].strip()
        if not question:
            return self._nothing("empty_message", ())
        with self._database.tenant(job.request.organization_id) as session:
            encoder = self._encoders.of(session)
        try:
            embedded = encoder.model.embed([question], purpose="query")
        except ModelError as error:
            return self._failed(error, _embedding_usage(encoder, error.input_tokens))
        used = _embedding_usage(encoder, embedded.input_tokens)
        asked = Embedded(padded(embedded.vectors[0]), encoder.space)
        return self._answered(job, self._retrieve(job, question, asked), used)

    def _retrieve(self, job: Job, question: str, asked: Embedded) -> list[Passage]:
        with self._database.reading(job.request.organization_id) as session:
            return passages.find(session, question, asked, SOURCES)

    def _answered(self, job: Job, found: list[Passage], used: Usage) -> Written:
        if not found:
            return self._nothing("no_sources", (used,))
        try:
            answer = self._chat.answer(
                prompt(REPLY),
                _shown(job, found),
                schema=Answer.model_json_schema(),
                max_output_tokens=ANSWER_TOKENS,
            )
        except ModelError as error:
            spent = self._chat_usage(error.input_tokens, error.output_tokens)
            return self._failed(error, used, spent)
        usage = (used, self._chat_usage(answer.input_tokens, answer.output_tokens))
        return self._checked(answer.text, found, job.most_characters, usage)

    def _checked(
        self, text: str, found: list[Passage], most_characters: int, usage: tuple[Usage, ...]
    ) -> Written:
        try:
            answer = Answer.model_validate_json(text)
            if answer.abstain:
                return self._nothing(answer.reason or "no_source_answers", usage)
            if len(answer.answer.strip()) > most_characters:
                long = f"The answer is longer than the {most_characters} characters of its channel."
                return self._failed(ModelMalformed(long), *usage)
            sources = _verified(answer, found)
        except ValidationError as error:
            faults = f"{error.error_count()} faults"
            shape = f"The answer is not of the shape that was asked for ({faults})."
            return self._failed(ModelMalformed(shape), *usage)
        except ModelMalformed as error:
            return self._failed(error, *usage)
        return Written(answer.answer.strip(), sources, None, None, self.model_key, usage)

    def _failed(self, error: ModelError, *usage: Usage) -> Written:
        """Nothing usable; a call that was not answered cost nothing."""
        spent = tuple(one for one in usage if one.input_tokens or one.output_tokens)
        return Written(None, [], None, error, self.model_key, spent)

    def _nothing(self, reason: str, usage: tuple[Usage, ...]) -> Written:
        known = reason if _REASON.fullmatch(reason) else "no_source_answers"
        return Written(None, [], known, None, self.model_key, usage)

    def _chat_usage(self, asked: int, answered: int) -> Usage:
        cost = tokens.cost(asked, self._settings.chat_input_price)
        cost += tokens.cost(answered, self._settings.chat_output_price)
        return Usage("chat", self.model_key, REPLY, asked, answered, cost)


def _embedding_usage(encoder: Encoder, count: int) -> Usage:
    model = encoder.model
    cost = tokens.cost(count, model.price)
    return Usage("embedding", f"{model.provider}/{model.model}", None, count, 0, cost)


def _shown(job: Job, found: list[Passage]) -> str:
    conversation = [
        {
            "from": "customer" if message.direction == "inbound" else "us",
            "text": message.body_text[:MESSAGE_CHARACTERS],
        }
        for message in job.messages
    ]
    sources = [
        {
            "id": f"S{number}",
            "title": passage.title,
            "heading": passage.heading,
            "text": passage.text,
        }
        for number, passage in enumerate(found, 1)
    ]
    shown = {
        "conversation": conversation,
        "sources": sources,
        "most_characters": job.most_characters,
    }
    return json.dumps(shown, ensure_ascii=False)


def _verified(answer: Answer, found: list[Passage]) -> list[dict[str, Any]]:
    """The sources of an answer, each quote found where it is said to be.

    Raises `ModelMalformed` for an empty or uncited answer, for a citation that does not hold, and
    for more of them than can be kept.
    """
    if not answer.answer.strip() or not answer.citations:
        raise ModelMalformed("The answer is empty or cites nothing.")
    if "\x00" in answer.answer:
        raise ModelMalformed("The answer has a NUL character, which no text may have.")
    by_id = {f"S{number}": passage for number, passage in enumerate(found, 1)}
    cited = [_source(citation, by_id.get(citation.source)) for citation in answer.citations]
    sources = list({(one["chunk_id"], *one["span"]): one for one in cited}.values())
    if len(json.dumps(sources, ensure_ascii=False).encode()) > _SOURCES_BYTES:
        raise ModelMalformed(f"The answer's citations take more than {_SOURCES_BYTES} bytes.")
    return sources


def _source(citation: Citation, passage: Passage | None) -> dict[str, Any]:
    if passage is None:
        raise ModelMalformed("The answer cites a source that it was not given.")
    at = passage.text.find(citation.quote)
    if at < 0:
        raise ModelMalformed("The answer quotes words that its source does not have.")
    start, quote = passage.start + at, citation.quote[:QUOTE_CHARACTERS]
    return {
        "document_id": str(passage.document_id),
        "document_version": passage.document_version,
        "title": passage.title,
        "source_url": passage.source_url,
        "chunk_id": str(passage.chunk_id),
        "span": [start, start + len(quote)],
        "quote": quote,
        "score": passage.score,
    }
