"""Making a document's next version: read it, cut it, embed it, and let search find it all at once.

Claim, call, settle: the document is leased, the encoder is called outside any transaction, and each
batch of passages is kept in one of its own, as long as the lease holds. So a worker that was killed
costs a batch, and one message's work may go on in the next one's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from countersign.identity.budget import may_spend
from countersign.knowledge import chunking, documents, parsing, progress, staging
from countersign.knowledge.chunking import Piece
from countersign.knowledge.parsing import Unreadable
from countersign.knowledge.progress import Job, Overtaken
from countersign.knowledge.tables import DocumentVersion
from countersign.models import Embeddings, spending
from countersign.models.errors import ModelDenied, ModelError, ModelRefused
from countersign.models.spaces import Encoder, Encoders
from countersign.models.vectors import padded
from countersign.platform import clock, storage
from countersign.platform.errors import NotFound, TooLarge, Unavailable
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox
from countersign.platform.retrying import backoff

BATCH = 64
"""How many passages are embedded by one call and kept by one transaction."""
SECONDS = 150.0
"""How long one message's work goes on; what is left comes with the next."""
TOKENS = 2_000_000
"""How many tokens one message's work may take."""
MOST_OUTAGES = 100
"""About half a day of a provider's outage."""
MOST_MALFORMED = 5


@dataclass(frozen=True)
class Indexer:
    """What makes versions: models that embed, and where the files lie."""

    outbox: Outbox
    encoders: Encoders
    bucket: str

    def index(self, organization_id: UUID, document_id: UUID) -> None:
        """Make the next version of a document, or as much of it as time suffices for.

        Raises `Unavailable` while another worker does.
        """
        with self.outbox.transaction(organization_id) as session:
            job = progress.claim(session, document_id, clock.now())
            encoder = self.encoders.of(session)
        if job is None:
            return
        try:
            status = self._settle(job, encoder)
        except Overtaken:
            status = "overtaken"
        logger.info(
            "a document was worked on",
            organization_id=str(organization_id),
            document_id=str(document_id),
            status=status,
        )

    def _settle(self, job: Job, encoder: Encoder) -> str:
        """Work on a leased document and say what became of it. Raises `Overtaken`."""
        try:
            is_whole = self._work(job, encoder)
        except Unreadable as error:
            return self._fail(job, error.reason, error.detail)
        except ModelRefused as error:
            return self._fail(job, "model_refused", error.detail)
        except (ModelError, Unavailable) as error:
            return self._put_off(job, error)
        with self.outbox.transaction(job.organization_id) as session:
            document = progress.held(session, job)
            if is_whole is None:
                progress.settle_same(session, document, clock.now())
            elif is_whole and self.encoders.hold(session, encoder):
                progress.complete(session, document, clock.now())
            elif may_spend(session, clock.now()):
                progress.give_back(session, document, None, None)
            else:
                progress.wait_for_money(session, document, clock.now())
            return document.processing_status

    def _work(self, job: Job, encoder: Encoder) -> bool | None:
        """Keep the passages of the version under work; whether all of them are, and None if the
        text is the live version's."""
        until = time.monotonic() + SECONDS
        text = self._text(job)
        if text is None:
            return None
        with self.outbox.database.tenant(job.organization_id) as session:
            # Who lost the document knows another version as the live one, and would let that go.
            document = progress.held(session, job)
            index, end = staging.kept(session, document, encoder.space)
        pieces = chunking.pieces(text.content, text.content_type, end)
        left = TOKENS
        while batch := list(islice(pieces, BATCH)):
            if time.monotonic() > until or left <= 0:
                return False
            spent, may_go_on = self._keep(job, encoder, index, batch, len(text.content))
            left -= spent
            index += len(batch)
            if not may_go_on:
                return False
        if index == 0:
            raise Unreadable("empty", "The file has no text that could be cut into passages.")
        return True

    def _text(self, job: Job) -> DocumentVersion | None:
        """The text under work, read out of the file if that has not been done yet; None if it is
        the live version's."""
        with self.outbox.database.tenant(job.organization_id) as session:
            version = progress.version_under_work(session, job.document)
        return version or self._read(job)

    def _read(self, job: Job) -> DocumentVersion | None:
        document = job.document
        assert document.s3_key, "a text without a file is a version from the beginning"
        try:
            content = storage.get(self.bucket, document.s3_key, documents.MOST_BYTES)
        except NotFound:
            raise Unreadable("gone", "No bytes are there; upload them, then say so.") from None
        except TooLarge:
            detail = f"The file is larger than {documents.MOST_BYTES} bytes."
            raise Unreadable("too_large", detail) from None
        read = parsing.parse(content, document.content_type)
        if documents.content_hash(read.content) == document.hash:
            return None
        version = documents.next_version(document, read.content, read.content_type)
        with self.outbox.database.tenant(job.organization_id) as session:
            progress.held(session, job)
            session.add(version)
        return version

    def _keep(
        self, job: Job, encoder: Encoder, index: int, batch: Sequence[Piece], of: int
    ) -> tuple[int, bool]:
        """Keep a batch of a text `of` so many characters with its vectors, those of unchanged
        passages as they are; the tokens that it took, and whether there is money for more."""
        with self.outbox.database.tenant(job.organization_id) as session:
            vectors = staging.unchanged(session, job.document, encoder.space, batch)
        new = list({piece.hash: piece for piece in batch if piece.hash not in vectors}.values())
        embedded = self._embed(job, encoder, new)
        fresh = zip(new, embedded.vectors, strict=True)
        vectors |= {piece.hash: padded(vector) for piece, vector in fresh}
        now = clock.now()
        with self.outbox.database.tenant(job.organization_id) as session:
            document = progress.held(session, job)
            staging.stage(session, document, encoder.space, index, batch, vectors)
            characters = batch[-1].end, of
            progress.note(session, document, index, (len(batch), len(new)), characters, now)
            session.flush()
            return embedded.input_tokens, not new or may_spend(session, now)

    def _embed(self, job: Job, encoder: Encoder, new: Sequence[Piece]) -> Embeddings:
        if not new:
            return Embeddings((), 0, encoder.model.model)
        return spending.embed(
            self.outbox.database,
            job.organization_id,
            encoder.model,
            [piece.embedded for piece in new],
            subject_id=job.document.id,
        )

    def _fail(self, job: Job, reason: str, detail: str) -> str:
        with self.outbox.transaction(job.organization_id) as session:
            document = progress.held(session, job)
            progress.fail(session, document, reason, detail, clock.now())
        return "failed"

    def _put_off(self, job: Job, error: ModelError | Unavailable) -> str:
        """Try again later what may go better then, unless it has been tried too often."""
        is_outage = isinstance(error, Unavailable | ModelDenied)
        if job.document.attempts >= (MOST_OUTAGES if is_outage else MOST_MALFORMED):
            return self._fail(job, error.code.replace("-", "_"), error.detail)
        asked = error.retry_after if isinstance(error, ModelError) else None
        when = clock.now() + backoff(job.document.attempts, asked)
        with self.outbox.transaction(job.organization_id) as session:
            document = progress.held(session, job)
            progress.give_back(session, document, when, error.code.replace("-", "_"))
        return "pending"
