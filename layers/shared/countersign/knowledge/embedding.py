"""Giving messages their vectors and languages: claim, call, settle, without a claim.

Two workers with the same messages do the same, and the second's vectors are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from countersign.identity.budget import may_spend, next_day
from countersign.knowledge import messages, unembedded, vectors
from countersign.knowledge.vectors import LETTERS, Bare
from countersign.models import spending
from countersign.models.errors import ModelError, ModelRefused
from countersign.models.spaces import Encoder, Encoders
from countersign.platform import clock
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox
from countersign.platform.retrying import backoff

MOST_ATTEMPTS = 100
"""About half a day of a provider's outage. Then the queue's own tries, and its dead letters."""


def embed_messages(
    outbox: Outbox,
    encoders: Encoders,
    organization_id: UUID,
    message_ids: Sequence[UUID],
    attempts: int,
) -> None:
    """Embed those of the messages that have no vector, or promise to try again; and tell what they
    are written in.

    Raises `ModelError` where that has been tried too often.
    """
    now = clock.now()
    with outbox.transaction(organization_id) as session:
        messages.tell_languages(session, message_ids)
        encoder = encoders.of(session)
        bare = vectors.lacking(session, LETTERS, encoder.space, len(message_ids), ids=message_ids)
        if bare and not may_spend(session, now):
            unembedded.promise(session, message_ids, next_day(now), attempts)
            return
    if bare:
        status = _embed(outbox, encoders, organization_id, encoder, bare, attempts)
        logger.info(
            "messages were embedded",
            organization_id=str(organization_id),
            messages=len(bare),
            status=status,
        )


def _embed(
    outbox: Outbox,
    encoders: Encoders,
    organization_id: UUID,
    encoder: Encoder,
    bare: Sequence[Bare],
    attempts: int,
) -> str:
    ids, texts = [one.id for one in bare], [one.text for one in bare]
    try:
        embedded = spending.embed(outbox.database, organization_id, encoder.model, texts)
    except ModelRefused:
        return _part(outbox, organization_id, ids, attempts)
    except ModelError as error:
        if attempts >= MOST_ATTEMPTS:
            raise
        with outbox.transaction(organization_id) as session:
            when = clock.now() + backoff(attempts + 1, error.retry_after)
            unembedded.promise(session, ids, when, attempts + 1)
        return "put off"
    with outbox.transaction(organization_id) as session:
        if not encoders.hold(session, encoder):
            unembedded.promise(session, ids)
            return "moved meanwhile"
        vectors.keep(session, LETTERS, encoder.space, bare, embedded.vectors)
    return "kept"


def _part(outbox: Outbox, organization_id: UUID, ids: Sequence[UUID], attempts: int) -> str:
    """One text of several is refused: each is tried alone. What is refused alone has words only."""
    if len(ids) > 1:
        with outbox.transaction(organization_id) as session:
            for id_ in ids:
                unembedded.promise(session, [id_], None, attempts)
    return "refused"
