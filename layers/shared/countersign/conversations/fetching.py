"""Fetching the files of one message: lease them, get each from where it is, keep it, settle.

A file of a mail is a part of the mail that is kept; any other is at the channel's provider.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from countersign.channels.credentials import CallingSettings
from countersign.conversations import attachments, keeping, locking
from countersign.conversations.attachments import Job, Missed
from countersign.conversations.keeping import Kept
from countersign.conversations.tables import Attachment
from countersign.platform import clock, storage
from countersign.platform.errors import CountersignError, NotFound, TooLarge, Unavailable
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox

MOST_BYTES = 40 * 1024 * 1024
"""Of a file: a mail is not larger, and no provider sends larger media."""
SECONDS = 80.0
"""For the files of a message together; what is left over comes next time."""
_SECONDS_EACH = 20.0
_LONGEST_REASON = 300

Found = tuple[Attachment, bytes | Missed]


@dataclass(frozen=True, kw_only=True)
class FetchingSettings(CallingSettings):
    """What a function that fetches files must know: files and whole mails lie in one bucket."""

    messages_bucket: str


def fetch(
    outbox: Outbox, settings: FetchingSettings, organization_id: UUID, message_id: UUID
) -> None:
    """Fetch what is to be fetched of a message's files.

    Raises `Unavailable` while another worker does, `NotFound` if there is no such message.
    """
    with outbox.transaction(organization_id) as session:
        locking.lock_of_message(session, message_id)
        job = attachments.claim(session, message_id, clock.now())
    if job is None:
        return
    outcomes = dict(_outcomes(job, settings))
    with outbox.transaction(organization_id) as session:
        locking.lock(session, job.message.conversation_id)
        attachments.settle(session, job, outcomes, clock.now())
    logger.info(
        "a message's files were fetched",
        organization_id=str(organization_id),
        message_id=str(message_id),
        kept=sum(isinstance(one, Kept) for one in outcomes.values()),
        of=len(job.files),
    )


def _outcomes(job: Job, settings: FetchingSettings) -> Iterator[tuple[UUID, Kept | Missed]]:
    deadline = time.monotonic() + SECONDS
    for file, found in _found(job, settings):
        yield file.id, found if isinstance(found, Missed) else _keep(file, found, settings)
        if time.monotonic() >= deadline:
            return


def _found(job: Job, settings: FetchingSettings) -> Iterator[Found]:
    parts = [file for file in job.files if file.part_index is not None]
    if parts:
        yield from _parts(job, parts, settings)
    for file in job.files:
        if file.file_url is not None:
            yield file, _from_provider(job, file.file_url, settings)


def _parts(job: Job, files: list[Attachment], settings: FetchingSettings) -> Iterator[Found]:
    """Files of a mail, which is read once for all."""
    # Few channels have mail: the others start without it.
    from countersign.mail import reading

    assert job.message.raw_key
    try:
        raw = storage.get(settings.messages_bucket, job.message.raw_key)
    except CountersignError as error:
        yield from ((file, _missed(error)) for file in files)
        return
    by_index = {file.part_index: file for file in files}
    for index, content in reading.contents(raw):
        if file := by_index.pop(index, None):
            yield file, content
    yield from ((file, Missed("unreadable")) for file in by_index.values())


def _from_provider(job: Job, url: str, settings: FetchingSettings) -> bytes | Missed:
    # Few messages bring files that are elsewhere: mails are read without what calls a provider.
    from countersign.channels import fetching

    try:
        return fetching.fetch(
            job.channel, url, settings, most_bytes=MOST_BYTES, seconds=_SECONDS_EACH
        )
    except CountersignError as error:
        return _missed(error)


def _missed(error: CountersignError) -> Missed:
    logger.warning("a file could not be had", reason=error.detail[:_LONGEST_REASON])
    if isinstance(error, TooLarge):
        return Missed("too_large")
    if isinstance(error, NotFound):
        return Missed("gone")
    return Missed("unavailable", error.extra.get("retry_after"))


def _keep(file: Attachment, content: bytes, settings: FetchingSettings) -> Kept | Missed:
    try:
        return keeping.keep(file, content, settings.messages_bucket)
    except Unavailable as error:
        return _missed(error)
