"""Datasets, documents and job runs, as the API shows and takes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from countersign.knowledge.crawling import sites
from countersign.knowledge.documents import MOST_BYTES
from countersign.knowledge.languages import Language
from countersign.platform import urls
from countersign.platform.columns import ProcessingStatus
from countersign.platform.paging import NextCursor, PageQuery
from countersign.platform.schemas import Answer, Body, Instant, Query
from countersign.platform.urls import Refused

MAX_DOCUMENT_CHARACTERS = 200_000
MAX_SLICE_CHARACTERS = 200_000

DatasetKind = Literal["documents", "faq", "analytics"]
JobType = Literal["crawl", "index", "re_embed", "ingest_goldens", "corrections_sync"]
JobStatus = Literal["queued", "running", "succeeded", "failed"]
TextType = Literal["text/markdown", "text/plain"]
_LINE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
Line = Annotated[str, Field(min_length=1, max_length=300, pattern=_LINE)]
Slug = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        max_length=60,
        description="Lower-case letters and digits, in parts by `-`.",
    ),
]
Tag = Annotated[str, Field(min_length=1, max_length=60, pattern=_LINE)]


def _spelt(text: str) -> str:
    """As crawls spell it, so that one page is one document."""
    try:
        return str(sites.page(urls.parse(text)))
    except Refused as error:
        raise ValueError(error.detail) from None


WebAddress = Annotated[
    str,
    Field(
        min_length=1,
        max_length=urls.LONGEST,
        description="A web page, http or https, without a user in it. It is spelt as crawls spell "
        "it: without a fragment and what only tracks.",
    ),
    AfterValidator(_spelt),
]
ContentType = Annotated[
    str,
    Field(
        max_length=200,
        pattern=r"^[\x20-\x7e]+$",
        description="`text/markdown`, `text/plain`, `text/html`, `text/csv` (pairs of question and"
        " answer), `application/pdf`, or that of .docx; a text may name its charset.",
    ),
]
DocumentText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_DOCUMENT_CHARACTERS,
        pattern=r"^[^\x00]*[^\s\x00][^\x00]*$",
        description="Not blank, and without NUL. Upload what is longer.",
    ),
]


class Dataset(Answer):
    """A named set of documents."""

    id: UUID
    slug: str
    name: str
    kind: DatasetKind
    created_at: Instant


class Datasets(Answer):
    """A page of datasets, the newest first."""

    items: list[Dataset]
    next_cursor: NextCursor


class DatasetsQuery(PageQuery):
    """Which datasets."""


class NewDataset(Body):
    """A dataset to be made."""

    slug: Slug
    name: Line
    kind: DatasetKind = "documents"


class Document(Answer):
    """A document, and how far its newest content has come."""

    id: UUID
    dataset_id: UUID
    title: str
    source_url: str | None
    content_type: str
    file_size: int | None
    language: str
    tags: list[str]
    version: Annotated[int, Field(description="What search finds; 0: nothing yet.")]
    processing_status: Annotated[
        ProcessingStatus,
        Field(
            description="Of the newest content. Until it is `completed`, search finds `version`."
        ),
    ]
    reason: Annotated[
        str | None,
        Field(
            description="Why it `failed`: `binary`, `charset`, `corrupt`, `empty`, `encrypted`, "
            "`gone`, `not_pairs`, `too_large`, `unsupported`, `too_many_attempts`, or what the "
            "encoder did: `model_refused`, `model_malformed`, `model_unavailable`. Why it is still "
            "`pending`: `daily_budget_spent`, or what is tried again. The job run's `error` says "
            "more."
        ),
    ]
    job_run_id: UUID | None
    indexed_at: Instant | None
    next_refresh_at: Instant | None
    gone_at: Annotated[Instant | None, Field(description="Since when its page is not there.")]
    created_at: Instant
    updated_at: Instant


class Documents(Answer):
    """A page of documents, the newest first."""

    items: list[Document]
    next_cursor: NextCursor


class DocumentsQuery(PageQuery):
    """Which documents."""

    dataset_id: Annotated[UUID | None, Field(description="Those of this dataset alone.")] = None
    processing_status: Annotated[
        ProcessingStatus | None, Field(description="Those whose newest content is at this.")
    ] = None


class NewDocument(Body):
    """A document to be made."""

    dataset_id: Annotated[UUID, Field(strict=False)]
    title: Line
    source_url: WebAddress | None = None
    language: Language = "english"
    tags: Annotated[list[Tag], Field(max_length=20, default_factory=list)]
    text: Annotated[
        DocumentText | None, Field(description="Its content; absent: a file is uploaded next.")
    ] = None
    content_type: TextType = "text/markdown"


class NewText(Body):
    """The new content of a document."""

    text: DocumentText
    content_type: TextType = "text/markdown"


class NewFile(Body):
    """A file that is to be the content of a document."""

    content_type: ContentType
    size_bytes: Annotated[int, Field(ge=1, le=MOST_BYTES)]


class FileUpload(Answer):
    """Where the bytes of a file go."""

    upload_url: Annotated[str, Field(description="PUT just so many bytes there, without a key.")]
    upload_expires_at: Instant


class TextQuery(Query):
    """Which part of which version."""

    version: Annotated[
        int | None, Field(ge=1, le=2**31 - 1, description="Absent: the live one.")
    ] = None
    start: Annotated[
        int, Field(ge=0, le=2**31 - 2, description="How many characters to leave out.")
    ] = 0
    characters: Annotated[
        int, Field(ge=1, le=MAX_SLICE_CHARACTERS, description="How many at most.")
    ] = MAX_SLICE_CHARACTERS


class VersionText(Answer):
    """A part of a document's text as it was: what the spans of citations count in."""

    document_id: UUID
    version: int
    title: str
    content_type: str
    created_at: Instant
    characters: Annotated[int, Field(description="Of the whole text.")]
    start: int
    text: str


class JobRun(Answer):
    """A run of a background job."""

    id: UUID
    type: JobType
    status: JobStatus
    error: str | None
    metrics: Annotated[
        dict[str, Any] | None,
        Field(
            description="How far it has come. Of `index`: `document_id`, `chunks`, of which "
            "`embedded` anew, up to which of the text's `of_characters` (`characters`), and at the "
            "end the `version`. Of "
            "`re_embed`: how many `texts` lacked a vector at its start, how many were `embedded` "
            "since, and the ids of those that the model `refused`."
        ),
    ]
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None


class JobRuns(Answer):
    """A page of job runs, the newest first."""

    items: list[JobRun]
    next_cursor: NextCursor


class JobRunsQuery(PageQuery):
    """Which job runs."""

    type: Annotated[JobType | None, Field(description="Those of this type alone.")] = None
    status: Annotated[JobStatus | None, Field(description="Those with this status alone.")] = None
