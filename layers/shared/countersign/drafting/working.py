"""Drafting one reply: lease the request, write, settle."""

from __future__ import annotations

from uuid import UUID

from countersign.conversations import locking
from countersign.drafting import requests, results
from countersign.drafting.tables import DraftRequest
from countersign.drafting.writing import Writer
from countersign.platform import clock
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox


def work(outbox: Outbox, writer: Writer, organization_id: UUID, request_id: UUID) -> None:
    """Write the draft that a request asks for, if it is due and still wanted.

    Raises `Unavailable` while another worker holds the request, `NotFound` if there is none.
    """
    with outbox.transaction(organization_id) as session:
        conversation = locking.lock(session, requests.conversation_of(session, request_id))
        job = requests.claim(session, conversation, request_id, clock.now())
        request = session.get_one(DraftRequest, (organization_id, request_id))
    if job:
        outcome = writer.write(job)
        with outbox.transaction(organization_id) as session:
            conversation = locking.lock(session, job.request.conversation_id)
            results.settle(session, conversation, job, outcome, clock.now())
            request = session.get_one(DraftRequest, (organization_id, request_id))
    logger.info(
        "a draft request was worked on",
        organization_id=str(organization_id),
        draft_request_id=str(request_id),
        conversation_id=str(request.conversation_id),
        status=request.status,
    )
