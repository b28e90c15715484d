"""Tables of the drafting room."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from countersign.platform.columns import Tenant, blob, created, json, timestamp, word
from countersign.platform.db import Table

RequestStatus = Literal["waiting", "drafting", "drafted", "abstained", "superseded", "failed"]
DraftStatus = Literal["pending", "sent", "superseded", "archived"]
ActionType = Literal["approve", "edit", "reject"]
RejectionReason = Literal[
    "wrong_facts", "wrong_tone", "incomplete", "not_needed", "handled_elsewhere", "other"
]


class DraftRequest(Tenant, Table):
    """The wish for a draft on a message, and what came of it.

    `correlation_id` is that of the webhook, or of the request, that it began with.
    """

    __tablename__ = "draft_requests"

    conversation_id: Mapped[UUID]
    trigger_message_id: Mapped[UUID]
    revision: Mapped[int] = mapped_column(server_default="1")
    status: Mapped[RequestStatus] = word(server_default="waiting")
    reason: Mapped[str | None]
    not_before: Mapped[datetime] = timestamp()
    fence: Mapped[int] = mapped_column(server_default="0")
    leased_until: Mapped[datetime | None] = timestamp()
    attempts: Mapped[int] = mapped_column(server_default="0")
    correlation_id: Mapped[str | None]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class Draft(Tenant, Table):
    """A proposed reply. `top_sources` lists document, version, chunk, span, quote and score.

    `text_salt` is what the audit chain's commitment to the suggested text was made with.
    """

    __tablename__ = "drafts"

    conversation_id: Mapped[UUID]
    trigger_message_id: Mapped[UUID]
    revision: Mapped[int] = mapped_column(server_default="1")
    author_user_id: Mapped[UUID | None]
    model_key: Mapped[str]
    prompt_version: Mapped[str]
    status: Mapped[DraftStatus] = word(server_default="pending")
    suggested_text: Mapped[str]
    text_salt: Mapped[bytes] = blob()
    suggested_html: Mapped[str | None]
    top_sources: Mapped[list[dict[str, Any]]] = json(server_default="[]")
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class DraftClaim(Table):
    """Which reviewer is at work on a draft, until when."""

    __tablename__ = "draft_claims"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    draft_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    expires_at: Mapped[datetime] = timestamp()
    created_at: Mapped[datetime] = created()


class DraftAction(Tenant, Table):
    """What a person decided about a draft; `revoked_at` where it was undone or overtaken.

    `diff_json` turns the suggested text into `final_text` (see `diff.py`).
    """

    __tablename__ = "draft_actions"

    draft_id: Mapped[UUID]
    user_id: Mapped[UUID]
    api_key_id: Mapped[UUID | None]
    type: Mapped[ActionType] = word()
    reason_code: Mapped[RejectionReason | None] = word()
    notes: Mapped[str | None]
    final_text: Mapped[str | None]
    final_html: Mapped[str | None]
    diff_json: Mapped[list[list[Any]] | None] = json()
    message_id: Mapped[UUID | None]
    revoked_at: Mapped[datetime | None] = timestamp()
    created_at: Mapped[datetime] = created()


class LearningSample(Tenant, Table):
    """An original draft beside what was sent, for later drafts to learn from.

    `embeddings_json` is for whoever computes vectors before a retraining; absent until then.
    """

    __tablename__ = "learning_samples"

    draft_id: Mapped[UUID]
    action_id: Mapped[UUID]
    diff_json: Mapped[list[list[Any]]] = json()
    embeddings_json: Mapped[Any | None] = json()
    created_at: Mapped[datetime] = created()
