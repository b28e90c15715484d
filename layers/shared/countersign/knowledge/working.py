"""What the index queue asks for: a document's next version, messages' vectors, or an organization's
move to another embedding space."""

from __future__ import annotations

from uuid import UUID

from countersign.knowledge.embedding import embed_messages
from countersign.knowledge.indexing import Indexer
from countersign.knowledge.moving import Mover
from countersign.models.spaces import Encoders
from countersign.platform.outbox import Outbox
from countersign.platform.queues import Body


def work(outbox: Outbox, encoders: Encoders, bucket: str, body: Body) -> None:
    """Do what one message asks for; `bucket` is where documents lie.

    Raises `Unavailable` while another worker does it.
    """
    organization_id = UUID(body["organization_id"])
    if "document_id" in body:
        Indexer(outbox, encoders, bucket).index(organization_id, UUID(body["document_id"]))
    elif "message_ids" in body:
        ids = list(map(UUID, body["message_ids"]))
        embed_messages(outbox, encoders, organization_id, ids, body["attempts"])
    else:
        Mover(outbox, encoders, organization_id).work(UUID(body["job_run_id"]))
