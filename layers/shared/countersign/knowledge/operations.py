"""What the API offers on documents, and on the job runs that work on them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from countersign.identity.access import Call
from countersign.knowledge import datasets, documents, reading, schemas, uploads
from countersign.platform.errors import Conflict, NotFound
from countersign.platform.operations import Operations

operations = Operations("Knowledge")


@operations.add("GET", "/v1/datasets", "knowledge:read")
def read_datasets(call: Call, query: schemas.DatasetsQuery) -> schemas.Datasets:
    """List datasets

    The newest first.
    """
    return reading.datasets(call.session, query)


@operations.add("POST", "/v1/datasets", "knowledge:write", Conflict)
def add_dataset(call: Call, body: schemas.NewDataset) -> schemas.Dataset:
    """Make a dataset

    409: its slug is another's; `dataset_id` says whose.
    """
    made = datasets.add(call.session, body.slug, body.name, body.kind)
    return schemas.Dataset.model_validate(made)


@operations.add("GET", "/v1/documents", "knowledge:read")
def read_documents(call: Call, query: schemas.DocumentsQuery) -> schemas.Documents:
    """List documents

    The newest first, without the deleted.
    """
    return reading.documents(call.session, query)


@operations.add("POST", "/v1/documents", "knowledge:write", Conflict)
def add_document(call: Call, body: schemas.NewDocument) -> schemas.Document:
    """Make a document

    With a `text`, search finds it within seconds; read it until it is `completed`. Without one, an
    upload is to follow. 409: a document has this `source_url`; `document_id` says which.
    """
    made = documents.add(
        call.session,
        call.principal.actor,
        body.dataset_id,
        body.title,
        call.now,
        source_url=body.source_url,
        language=body.language,
        tags=body.tags,
    )
    if body.text is not None:
        documents.receive_text(call.session, made, body.text, body.content_type)
    call.session.flush()
    return reading.document(call.session, made.id)


@operations.add("GET", "/v1/documents/{document_id}", "knowledge:read", NotFound)
def read_document(call: Call, document_id: UUID) -> schemas.Document:
    """Read how a document is"""
    return reading.document(call.session, document_id)


@operations.add("DELETE", "/v1/documents/{document_id}", "knowledge:write", NotFound)
def delete_document(call: Call, document_id: UUID) -> None:
    """Delete a document

    Search finds it no more, from now on. Its versions can still be read: drafts may cite them.
    """
    document = documents.locked(call.session, document_id)
    documents.remove(call.session, call.principal.actor, document, call.now)


@operations.add("GET", "/v1/documents/{document_id}/text", "knowledge:read", NotFound)
def read_document_text(
    call: Call, document_id: UUID, query: schemas.TextQuery
) -> schemas.VersionText:
    """Read the text of a document

    As it is, or as a version was: what the `span` of a draft's source counts in. Also of a deleted
    document. 404, too: there is no such version, or not yet.
    """
    return reading.text(call.session, document_id, query)


@operations.add("PUT", "/v1/documents/{document_id}/text", "knowledge:write", NotFound)
def change_document_text(call: Call, document_id: UUID, body: schemas.NewText) -> schemas.Document:
    """Give a document a text

    It becomes the next version; until it is whole, search finds the one before. The same text as
    before changes nothing.
    """
    document = documents.locked(call.session, document_id)
    if documents.receive_text(call.session, document, body.text, body.content_type):
        documents.record(call.session, document, "changed", call.principal.actor, call.now)
    call.session.flush()
    return reading.document(call.session, document_id)


@operations.add("POST", "/v1/documents/{document_id}/upload", "knowledge:write", NotFound)
def begin_document_upload(
    call: Call, document_id: UUID, body: schemas.NewFile
) -> schemas.FileUpload:
    """Begin to upload a file into a document

    The bytes go straight to storage, within a quarter of an hour; other than `size_bytes` of them
    are refused there. Then say so by PUT.
    """
    document = documents.locked(call.session, document_id)
    url = uploads.begin(
        call.session, document, body.content_type, body.size_bytes, call.files_bucket
    )
    documents.record(call.session, document, "changed", call.principal.actor, call.now)
    return schemas.FileUpload(
        upload_url=url, upload_expires_at=call.now + timedelta(seconds=uploads.URL_SECONDS)
    )


@operations.add("PUT", "/v1/documents/{document_id}/upload", "knowledge:write", NotFound, Conflict)
def end_document_upload(call: Call, document_id: UUID) -> schemas.Document:
    """Say that a file has been uploaded

    It becomes the next version; read the document until it is `completed` or `failed`: `gone` says
    that no bytes were there, and may be repeated once they are. 409: no upload was begun.
    """
    uploads.end(call.session, documents.locked(call.session, document_id))
    call.session.flush()
    return reading.document(call.session, document_id)


@operations.add(
    "POST", "/v1/documents/{document_id}/indexing", "knowledge:write", NotFound, Conflict
)
def index_document_again(call: Call, document_id: UUID) -> schemas.Document:
    """Index a document again

    What it has is read and cut anew, into a next version: after a failure, say. 409: it has had no
    content yet.
    """
    document = documents.locked(call.session, document_id)
    documents.index_again(call.session, document)
    documents.record(call.session, document, "changed", call.principal.actor, call.now)
    call.session.flush()
    return reading.document(call.session, document_id)


@operations.add("POST", "/v1/re-embedding", "knowledge:write")
def re_embed(call: Call) -> schemas.JobRun:
    """Embed anew

    Every passage and message gets a vector of the embedding model that is configured now, where it
    has none; then, and not before, searches and drafts use those. Where the model is the same, what
    lacks a vector gets one. While it is under way, asking again answers the run that there is.
    """
    # Whoever only documents this needs no vectors.
    from countersign.knowledge import moving

    return schemas.JobRun.model_validate(moving.begin(call.session))


@operations.add("GET", "/v1/job-runs", "knowledge:read")
def read_job_runs(call: Call, query: schemas.JobRunsQuery) -> schemas.JobRuns:
    """List job runs

    The newest first.
    """
    return reading.job_runs(call.session, query)


@operations.add("GET", "/v1/job-runs/{job_run_id}", "knowledge:read", NotFound)
def read_job_run(call: Call, job_run_id: UUID) -> schemas.JobRun:
    """Read how far a job has come"""
    return reading.job_run(call.session, job_run_id)
