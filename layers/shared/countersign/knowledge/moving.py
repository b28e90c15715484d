"""Moving an organization from one embedding space to another, without a gap in search.

Each of its texts gets a vector in the new space; once none lacks one, the organization is searched
there, from one commit to the next. The vectors of the old space are deleted when nobody can be
searching them any more. Where the organization is in the right space already, what lacks a vector
gets one.

Claim, call, settle: whoever holds the lease of the job's run embeds a batch, and keeps it in a
transaction of its own. What is left is looked for each time, so a worker that was killed costs a
batch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from countersign.identity.budget import may_spend, next_day
from countersign.knowledge import vectors
from countersign.knowledge.vectors import FIRST, SOURCES, Bare, Source
from countersign.models import spaces, spending
from countersign.models.errors import ModelError, ModelRefused
from countersign.models.spaces import Encoder, Encoders
from countersign.platform import clock, outbox
from countersign.platform.db import TenantSession
from countersign.platform.errors import CountersignError, NotFound, Unavailable
from countersign.platform.ids import new_id
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox
from countersign.platform.retrying import backoff
from countersign.platform.tables import JobRun

BATCH = 64
SECONDS = 150.0
"""How long one message's work goes on; what is left comes with the next."""
LEASE = timedelta(seconds=330)
"""Longer than the function's own timeout; each batch begins it anew."""
MOST_DEATHS = 5
MOST_FAILURES = 100
"""About half a day of a provider's outage."""
MOST_REFUSED = 1000
"""Texts that the provider refuses to embed: more are a reason to stop."""
GRACE = timedelta(hours=1)
"""Longer than any search or draft takes that began in the old space."""
FORGOTTEN = 5000
"""How many old vectors of a corpus one transaction deletes."""
TYPE = "re_embed"
_OPEN = ("queued", "running")


def begin(session: TenantSession) -> JobRun:
    """The run that moves the organization: the one that is under way, or a new one."""
    row = {"organization_id": session.organization_id, "id": new_id(), "type": TYPE}
    made = session.scalar(insert(JobRun).values(row).on_conflict_do_nothing().returning(JobRun.id))
    if made:
        _promise(session, made)
    under_way = _under_way(session)
    assert under_way
    return under_way


def _under_way(session: TenantSession) -> JobRun | None:
    return session.scalars(
        select(JobRun)
        .where(JobRun.organization_id == session.organization_id)
        .where(JobRun.type == TYPE)
        .where(JobRun.status.in_(_OPEN))
    ).one_or_none()


def _promise(session: TenantSession, run_id: UUID, delay: timedelta = timedelta(0)) -> None:
    body = {"organization_id": str(session.organization_id), "job_run_id": str(run_id)}
    outbox.enqueue(session, "index", body, clock.now() + delay)


@dataclass(frozen=True)
class Job:
    """The right to move an organization until the lease ends."""

    run_id: UUID
    fence: int
    encoder: Encoder
    """Of the space that it is to be in."""


class Overtaken(CountersignError):
    """Another worker has the run by now."""

    code = "overtaken"


@dataclass(frozen=True)
class Mover:
    """What moves organizations."""

    outbox: Outbox
    encoders: Encoders
    organization_id: UUID

    def work(self, run_id: UUID) -> None:
        """Move the organization, or go on with that for as long as time suffices.

        Raises `Unavailable` while another worker does, `NotFound` for no such run.
        """
        with self.outbox.transaction(self.organization_id) as session:
            run = _locked(session, run_id)
            job = self._claim(session, run)
        if job is None:
            if run.status == "succeeded" and run.finished_at:
                self._forget(run_id, run.finished_at + GRACE)
            return
        try:
            status = self._move(job)
        except Overtaken:
            status = "overtaken"
        logger.info(
            "an organization was worked on that moves to another embedding space",
            organization_id=str(self.organization_id),
            job_run_id=str(run_id),
            status=status,
        )

    def _claim(self, session: TenantSession, run: JobRun) -> Job | None:
        now = clock.now()
        if run.status not in _OPEN:
            return None
        if run.leased_until and run.leased_until > now:
            raise Unavailable("Another worker is moving this organization.")
        if run.leased_until and run.attempts >= MOST_DEATHS:
            _end(run, "failed", "No worker survived it.")
            return None
        if not may_spend(session, now):
            _release(session, run, next_day(now) - now)
            return None
        run.status, run.started_at = "running", run.started_at or now
        run.fence += 1
        run.attempts += 1
        run.leased_until = now + LEASE
        encoder = self.encoders.target(session)
        if run.metrics is None:
            texts = sum(vectors.count(session, source, encoder.space) for source in SOURCES)
            run.metrics = {"texts": texts, "embedded": 0}
        return Job(run.id, run.fence, encoder)

    def _move(self, job: Job) -> str:
        """Embed what lacks a vector until none does or time is over; say which."""
        until = time.monotonic() + SECONDS
        try:
            for source in SOURCES:
                after = FIRST
                while batch := self._lacking(job, source, after):
                    if time.monotonic() > until or not self._embed(job, source, batch):
                        return self._give_back(job)
                    after = batch[-1].id
        except ModelRefused as error:
            return self._fail(job, error.detail)
        except ModelError as error:
            return self._put_off(job, error)
        return self._switch(job)

    def _lacking(self, job: Job, source: Source, after: UUID) -> list[Bare]:
        with self.outbox.database.tenant(self.organization_id) as session:
            refused = _refused(_locked(session, job.run_id))
            space = job.encoder.space
            return vectors.lacking(session, source, space, BATCH, after=after, refused=refused)

    def _embed(self, job: Job, source: Source, batch: Sequence[Bare]) -> bool:
        """Give texts their vectors; whether there is money for more.

        Of several of which one is refused, each is tried alone.
        """
        try:
            embedded = spending.embed(
                self.outbox.database,
                self.organization_id,
                job.encoder.model,
                [bare.text for bare in batch],
                subject_id=job.run_id,
            )
        except ModelRefused as error:
            if len(batch) > 1:
                return all(self._embed(job, source, [bare]) for bare in batch)
            return self._leave_out(job, batch[0], error)
        with self.outbox.database.tenant(self.organization_id) as session:
            run = _held(session, job)
            vectors.keep(session, source, job.encoder.space, batch, embedded.vectors)
            return _note(session, run, len(batch))

    def _leave_out(self, job: Job, bare: Bare, error: ModelRefused) -> bool:
        """Let a text that is refused have no vector: it is found by its words.

        Raises `ModelRefused` where so many are that there must be another reason.
        """
        with self.outbox.database.tenant(self.organization_id) as session:
            run = _held(session, job)
            refused = [*map(str, _refused(run)), str(bare.id)]
            if len(refused) > MOST_REFUSED:
                raise error
            run.metrics = {**(run.metrics or {}), "refused": refused}
            return may_spend(session, clock.now())

    def _switch(self, job: Job) -> str:
        """Let the organization be searched in the new space, if there is nothing left to embed."""
        space = job.encoder.space
        with self.outbox.transaction(self.organization_id) as session:
            run = _held(session, job)
            spaces.lock(session)
            refused = _refused(run)
            if any(vectors.lacking(session, one, space, 1, refused=refused) for one in SOURCES):
                _release(session, run)
                return "more has come"
            spaces.switch(session, space)
            _end(run, "succeeded")
            _promise(session, run.id, GRACE)
        return "moved"

    def _give_back(self, job: Job) -> str:
        """Let whoever comes go on, when there is money."""
        now = clock.now()
        with self.outbox.transaction(self.organization_id) as session:
            run = _held(session, job)
            _release(session, run, timedelta(0) if may_spend(session, now) else next_day(now) - now)
        return "running"

    def _put_off(self, job: Job, error: ModelError) -> str:
        """Let whoever comes try again later, unless the model has failed too often."""
        with self.outbox.transaction(self.organization_id) as session:
            run = _held(session, job)
            if run.attempts >= MOST_FAILURES:
                _end(run, "failed", error.detail)
                return "failed"
            _release(session, run, backoff(run.attempts, error.retry_after))
        return "running"

    def _fail(self, job: Job, detail: str) -> str:
        with self.outbox.transaction(self.organization_id) as session:
            _end(_held(session, job), "failed", detail)
        return "failed"

    def _forget(self, run_id: UUID, not_before: datetime) -> None:
        """Delete what nobody searches any more, unless the organization is about to move again.

        A message that comes twice may come too early.
        """
        until = time.monotonic() + SECONDS
        is_more = clock.now() >= not_before
        while is_more and time.monotonic() < until:
            with self.outbox.database.tenant(self.organization_id) as session:
                spaces.lock(session)
                space = spaces.own(session)
                if space is None or _under_way(session):
                    return
                is_more = vectors.forget_others(session, space, FORGOTTEN)
        if is_more:
            with self.outbox.transaction(self.organization_id) as session:
                _promise(session, run_id)


def _locked(session: TenantSession, run_id: UUID) -> JobRun:
    found = session.scalars(
        select(JobRun)
        .where(JobRun.organization_id == session.organization_id)
        .where(JobRun.id == run_id)
        .where(JobRun.type == TYPE)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such job here.")
    return found


def _held(session: TenantSession, job: Job) -> JobRun:
    """The run, its row locked, while it is leased to us. Raises `Overtaken`."""
    run = _locked(session, job.run_id)
    if run.fence != job.fence or run.status != "running":
        raise Overtaken
    return run


def _note(session: TenantSession, run: JobRun, count: int) -> bool:
    """Note progress; whoever makes some may go on for another lease, if there is money."""
    now = clock.now()
    metrics = run.metrics or {}
    run.metrics = {**metrics, "embedded": metrics["embedded"] + count}
    run.attempts, run.leased_until = 1, now + LEASE
    session.flush()
    return may_spend(session, now)


def _refused(run: JobRun) -> list[UUID]:
    return [UUID(id_) for id_ in (run.metrics or {}).get("refused", ())]


def _release(session: TenantSession, run: JobRun, delay: timedelta = timedelta(0)) -> None:
    run.leased_until = None
    _promise(session, run.id, delay)


def _end(run: JobRun, status: Literal["succeeded", "failed"], error: str | None = None) -> None:
    run.status, run.error = status, error
    run.leased_until, run.finished_at = None, clock.now()
