"""Searching, as the API takes and shows it."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from countersign.knowledge.languages import Language
from countersign.platform.schemas import WRITABLE, Answer, Body, Instant, Question

MOST_RESULTS = 50


class Search(Body):
    """What is asked, of which texts, and how much of what is found is wanted."""

    query: Question
    corpus: Annotated[
        Literal["documents", "messages"],
        Field(
            description="`documents`: the passages of what the organization knows. `messages`: "
            "what was written in its conversations; the key needs `conversations:read`, too."
        ),
    ] = "documents"
    dataset: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            pattern=WRITABLE,
            description="The slug of the documents' dataset.",
        ),
    ] = None
    tags: Annotated[
        tuple[Annotated[str, Field(max_length=200, pattern=WRITABLE)], ...],
        Field(max_length=20, description="All of which the documents have."),
    ] = ()
    language: Annotated[Language | None, Field(description="What the texts are written in.")] = None
    fresh_since: Annotated[
        AwareDatetime | None,
        Field(
            description="Since when documents were indexed, or found to be unchanged, or messages "
            "sent."
        ),
    ] = None
    least_score: Annotated[
        float,
        Field(ge=-1, le=2, description="Leave out what has a lower `score`."),
    ] = -1.0
    least_similarity: Annotated[
        float | None,
        Field(ge=-1, le=1, description="Leave out what has a lower `similarity`, or none."),
    ] = None
    limit: Annotated[int, Field(ge=1, le=MOST_RESULTS)] = 10
    explain: Annotated[bool, Field(description="Say what each arm made of the question.")] = False

    @model_validator(mode="after")
    def _fits_its_corpus(self) -> Self:
        of_documents = (self.dataset, self.tags)
        if self.corpus == "messages" and any(of_documents):
            raise ValueError("dataset and tags are of documents, not of messages")
        return self


class DocumentPlace(Answer):
    """Where a passage stands: `start` is where its text begins in that version of the document."""

    document_id: UUID
    document_version: int
    title: str
    source_url: str | None
    heading: str
    start: int


class MessagePlace(Answer):
    """Where a message stands."""

    conversation_id: UUID
    direction: str
    sent_at: Instant


class Result(Answer):
    """A found text."""

    id: Annotated[UUID, Field(description="Of the chunk or the message.")]
    score: Annotated[
        float,
        Field(description="`similarity`, and what `evidence` adds to it; the best come first."),
    ]
    similarity: Annotated[
        float | None,
        Field(
            description="The cosine, -1 to 1, of its vector and the question's; null: it has none."
        ),
    ]
    evidence: Annotated[
        float, Field(description="How much of the question its words say, from 0 to 1.")
    ]
    text: str
    highlights: Annotated[
        list[tuple[int, int]],
        Field(description="Where in `text` words of the question begin and end."),
    ]
    document: DocumentPlace | None
    message: MessagePlace | None
    lexemes: Annotated[
        list[str] | None, Field(description="With `explain`: what of `terms` it has.")
    ]


class Term(Answer):
    """What the question asks for in texts of one language."""

    language: str
    lexeme: str
    is_code: bool
    texts: Annotated[int, Field(description="How many texts have it, counted up to 10,000.")]
    share: Annotated[float, Field(description="Its part of all that the question says, 0 to 1.")]


class Results(Answer):
    """What was found, best first."""

    items: list[Result]
    terms: Annotated[
        list[Term] | None, Field(description="With `explain`: what the words ask for.")
    ]
