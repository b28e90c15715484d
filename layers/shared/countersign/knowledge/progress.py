"""Who works on a document's next version, how far it has come, and how it ended.

Each function is one transaction's part; the caller makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from countersign.identity.budget import may_spend, next_day
from countersign.knowledge import documents, staging
from countersign.knowledge.tables import Document, DocumentVersion
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import CountersignError, Unavailable
from countersign.platform.tables import JobRun

LEASE = timedelta(seconds=330)
"""Longer than the function's own timeout; each batch begins it anew."""
MOST_DEATHS = 5
"""Fewer than the queue's own tries, so that what no worker survives ends as failed."""
BUDGET_SPENT = "daily_budget_spent"


@dataclass(frozen=True)
class Job:
    """The right to work on a document until the lease ends."""

    document: Document

    @property
    def organization_id(self) -> UUID:
        """Whose document it is."""
        return self.document.organization_id


class Overtaken(CountersignError):
    """Another worker has the document by now, or it has another content, or was deleted."""

    code = "overtaken"


def claim(session: TenantSession, document_id: UUID, now: datetime) -> Job | None:
    """Lease a document; None where there is nothing to do, any more or for today.

    Raises `Unavailable` while another worker holds the lease: the queue tries again.
    """
    document = _locked(session, document_id)
    if document is None or document.processing_status not in ("pending", "processing"):
        return None
    if document.leased_until and document.leased_until > now:
        raise Unavailable("Another worker is indexing this document.")
    if document.leased_until and document.attempts >= MOST_DEATHS:
        fail(session, document, "too_many_attempts", "No worker survived reading it.", now)
        return None
    if not may_spend(session, now):
        wait_for_money(session, document, now)
        return None
    document.processing_status, document.reason = "processing", None
    document.fence += 1
    document.attempts += 1
    document.leased_until = now + LEASE
    run = _run(session, document)
    run.status, run.started_at = "running", run.started_at or now
    return Job(document)


def wait_for_money(session: TenantSession, document: Document, now: datetime) -> None:
    """Go on with a document when there is a new day's budget."""
    give_back(session, document, next_day(now), BUDGET_SPENT)


def give_back(
    session: TenantSession, document: Document, when: datetime | None, reason: str | None
) -> None:
    """Let whoever comes, not before a time, go on with a document that is leased to us."""
    document.processing_status, document.reason = "pending", reason
    document.leased_until = None
    documents.promise(session, document, when)


def held(session: TenantSession, job: Job) -> Document:
    """The document, its row locked, while it is still leased to us. Raises `Overtaken`."""
    document = _locked(session, job.document.id)
    if document is None or document.fence != job.document.fence:
        raise Overtaken
    return document


def _locked(session: TenantSession, document_id: UUID) -> Document | None:
    return session.scalars(
        select(Document)
        .where(Document.organization_id == session.organization_id)
        .where(Document.id == document_id)
        .where(Document.deleted_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def version_under_work(session: TenantSession, document: Document) -> DocumentVersion | None:
    """The text of the next version, once it has been read."""
    key = session.organization_id, document.id, document.version + 1
    return session.get(DocumentVersion, key)


def note(
    session: TenantSession,
    document: Document,
    index: int,
    kept: tuple[int, int],
    characters: tuple[int, int],
    now: datetime,
) -> None:
    """Note in a document's run how many passages were kept, the first as number `index`, how many
    of them embedded anew, and up to which of how many characters; whoever keeps some may go on for
    another lease."""
    (chunks, embedded), (end, of) = kept, characters
    document.attempts = 1
    document.leased_until = now + LEASE
    run = _run(session, document)
    before = run.metrics or {}
    # Where it began anew, in another space, what was kept before has been let go.
    embedded_before = before.get("embedded", 0) if index else 0
    run.metrics = {
        **before,
        "chunks": index + chunks,
        "embedded": embedded_before + embedded,
        "characters": end,
        "of_characters": of,
    }


def complete(session: TenantSession, document: Document, now: datetime) -> None:
    """Let search find the version under work, and no other of this document, from now on."""
    version = version_under_work(session, document)
    assert version is not None
    staging.publish(session, document)
    document.hash = version.hash
    settle_same(session, document, now)
    documents.record(session, document, "indexed", audit.SYSTEM, now)


def settle_same(session: TenantSession, document: Document, now: datetime) -> None:
    """There is nothing to change: the content is the one that search finds."""
    document.processing_status, document.reason = "completed", None
    document.indexed_at, document.leased_until = now, None
    run = _run(session, document)
    run.status, run.finished_at = "succeeded", now
    run.metrics = {**(run.metrics or {}), "version": document.version}


def fail(
    session: TenantSession, document: Document, reason: str, detail: str, now: datetime
) -> None:
    """There will be no next version of this content, and why. The live one stays, and so does the
    text that was read, for whoever has it indexed again."""
    staging.let_go(session, document)
    document.processing_status, document.reason = "failed", reason
    document.leased_until = None
    run = _run(session, document)
    run.status, run.finished_at, run.error = "failed", now, detail
    documents.record(session, document, "failed", audit.SYSTEM, now)


def _run(session: TenantSession, document: Document) -> JobRun:
    return session.get_one(JobRun, (session.organization_id, document.job_run_id))
