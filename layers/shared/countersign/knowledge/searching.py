"""Searching what an organization knows, and what was written to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from countersign.identity.api_keys import Principal
from countersign.identity.budget import may_spend
from countersign.knowledge import languages, messages, passages
from countersign.knowledge import search_schemas as schemas
from countersign.knowledge.messages import MESSAGES, FoundMessage
from countersign.knowledge.passages import CHUNKS, Embedded, Passage
from countersign.knowledge.tables import Dataset
from countersign.models import spending
from countersign.models.errors import ModelError
from countersign.models.spaces import Encoders
from countersign.models.vectors import padded
from countersign.platform import clock
from countersign.platform.db import Database, TenantSession
from countersign.platform.errors import Exhausted, NotFound, Unavailable
from countersign.retrieval import highlights, hybrid
from countersign.retrieval.corpus import NOTHING, Filter
from countersign.retrieval.highlights import Marked, Span
from countersign.retrieval.hybrid import Found, Least, Question


class Embedder:
    """Gives questions their vectors, within what an organization may spend on models."""

    def __init__(self, database: Database, encoders: Encoders) -> None:
        self._database, self._encoders = database, encoders

    def prepare(self, principal: Principal, given: Mapping[str, Any]) -> Embedded:
        """Embed the question of a request; what it costs is noted, whatever comes of it.

        Raises `Exhausted` where the day's budget is spent, `Unavailable` where the model is.
        """
        organization_id = principal.organization_id
        with self._database.tenant(organization_id) as session:
            if not may_spend(session, clock.now()):
                raise Exhausted("What models may cost the organization in a day is spent.")
            encoder = self._encoders.of(session)
        try:
            embedded = spending.embed(
                self._database,
                organization_id,
                encoder.model,
                [given["body"].query],
                purpose="query",
            )
        except ModelError as error:
            raise Unavailable("The embedding model does not answer; try again.") from error
        return Embedded(padded(embedded.vectors[0]), encoder.space)


def search(
    session: TenantSession, principal: Principal, embedded: Embedded, asked: schemas.Search
) -> schemas.Results:
    """What fits a question best. Raises `NotFound` for a dataset that is not there, `Forbidden`
    where messages are asked for by a key that may not read them."""
    if asked.corpus == "messages":
        principal.require("conversations:read")
        found = _found(session, embedded, asked)
        return _results(session, asked, found, messages.described(session, found.hits))
    if asked.dataset and not _is_dataset(session, asked.dataset):
        raise NotFound(f"There is no dataset with the slug {asked.dataset}.")
    found = _found(session, embedded, asked)
    return _results(session, asked, found, passages.described(session, found.hits))


def _found(session: TenantSession, embedded: Embedded, asked: schemas.Search) -> Found:
    if asked.corpus == "messages":
        corpus, where = MESSAGES, _of_messages(asked)
        spoken = languages.of_messages
    else:
        corpus, where = CHUNKS, passages.shown(session, _of_documents(asked))
        spoken = languages.of_documents
    wanted = [asked.language] if asked.language else spoken(session)
    question = Question(asked.query, embedded.vector, embedded.space, wanted)
    least = Least(asked.least_score, asked.least_similarity)
    return hybrid.search(session, corpus, question, asked.limit, where, least)


def _is_dataset(session: TenantSession, slug: str) -> bool:
    own = Dataset.organization_id == session.organization_id
    return session.scalar(select(Dataset.id).where(own, Dataset.slug == slug)) is not None


def _of_documents(asked: schemas.Search) -> Filter:
    conditions = {
        "d.dataset_id = (SELECT id FROM datasets s"
        " WHERE s.organization_id = :organization_id AND s.slug = :dataset)": asked.dataset,
        "d.tags @> CAST(:tags AS text[])": asked.tags,
        "d.indexed_at >= :fresh_since": asked.fresh_since,
    }
    wanted = [condition for condition, value in conditions.items() if value]
    parts = ["t.language = :language"] if asked.language else []
    if wanted:
        parts.append(
            "t.document_id IN (SELECT d.id FROM documents d"
            f" WHERE d.organization_id = :organization_id AND {' AND '.join(wanted)})"
        )
    return _filter(parts, asked)


def _of_messages(asked: schemas.Search) -> Filter:
    parts = ["t.cancelled_at IS NULL"]
    if asked.language:
        parts.append("t.language = :language")
    if asked.fresh_since:
        parts.append("t.sent_at >= :fresh_since")
    return _filter(parts, asked)


def _filter(parts: Sequence[str], asked: schemas.Search) -> Filter:
    if not parts:
        return NOTHING
    named = asked.model_dump(include={"dataset", "language", "fresh_since"})
    return Filter(" AND ".join(parts), {**named, "tags": list(asked.tags)})


def _results(
    session: TenantSession,
    asked: schemas.Search,
    found: Found,
    texts: Sequence[Passage | FoundMessage],
) -> schemas.Results:
    marked = [Marked(one.language, one.text, one.hit.lexemes) for one in texts]
    spans = highlights.spans(session, marked)
    pairs = zip(texts, spans, strict=True)
    return schemas.Results(
        items=[_result(one, where, asked.explain) for one, where in pairs],
        terms=[schemas.Term(**asdict(term)) for term in found.terms] if asked.explain else None,
    )


def _result(one: Passage | FoundMessage, spans: list[Span], explain: bool) -> schemas.Result:
    is_passage = isinstance(one, Passage)
    return schemas.Result(
        id=one.hit.id,
        score=one.hit.score,
        similarity=one.hit.similarity,
        evidence=one.hit.evidence,
        text=one.text,
        highlights=spans,
        document=schemas.DocumentPlace.model_validate(one) if is_passage else None,
        message=None if is_passage else schemas.MessagePlace.model_validate(one),
        lexemes=list(one.hit.lexemes) if explain else None,
    )
