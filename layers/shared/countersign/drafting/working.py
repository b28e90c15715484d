"""Drafting one reply: lease the request, write, settle."""

from __future__ import annotations

from uuid import UUID

from countersign.conversations import locking
from countersign.drafting import requests, results
from countersign.drafting.writing import Writer
from countersign.platform import clock
from countersign.platform.outbox import Outbox


def work(outbox: Outbox, writer: Writer, organization_id: UUID, request_id: UUID) -> None:
    """Write the draft that a request asks for, if it is due and still wanted.

    Raises `Unavailable` while another worker holds the request, `NotFound` if there is none.
    """
    with outbox.transaction(organization_id) as session:
        conversation = locking.lock(session, requests.conversation_of(session, request_id))
        job = requests.claim(session, conversation, request_id, clock.now())
    if job is None:
        return
    outcome = writer.write(job)
    with outbox.transaction(organization_id) as session:
        conversation = locking.lock(session, job.request.conversation_id)
        results.settle(session, conversation, job, outcome, clock.now())
