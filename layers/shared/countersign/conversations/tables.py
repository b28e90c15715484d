"""Tables of the conversations room."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Computed
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from countersign.platform.columns import (
    ProcessingStatus,
    Tenant,
    blob,
    citext,
    created,
    json,
    timestamp,
    word,
    words,
)
from countersign.platform.db import Table

ConversationKind = Literal["support", "campaign", "planning", "ad_hoc"]
ConversationStatus = Literal["open", "closed"]
Direction = Literal["inbound", "outbound", "system"]
MessageRole = Literal["system", "user", "assistant", "tool"]
ParticipantRole = Literal["customer", "agent", "copied"]


class Conversation(Tenant, Table):
    """A thread with a customer on a channel; its row is locked before anything of it changes.

    `waiting_since` is set while it waits for us: the latest message is the customer's, or our
    reply failed or may not have gone out. The draft feed is the index on it.
    """

    __tablename__ = "conversations"

    channel_id: Mapped[UUID]
    external_id: Mapped[str]
    kind: Mapped[ConversationKind] = word(server_default="support")
    status: Mapped[ConversationStatus] = word(server_default="open")
    subject: Mapped[str | None]
    customer_address: Mapped[str]
    customer_email: Mapped[str | None] = citext()
    customer_name: Mapped[str | None]
    person_id: Mapped[UUID | None]
    assignee_id: Mapped[UUID | None]
    snoozed_until: Mapped[datetime | None] = timestamp()
    waiting_since: Mapped[datetime | None] = timestamp()
    session_id: Mapped[str | None]
    session_context: Mapped[dict[str, Any]] = json(server_default="{}")
    last_message_at: Mapped[datetime | None] = timestamp()
    latest_message_id: Mapped[UUID | None]
    latest_inbound_message_id: Mapped[UUID | None]
    latest_inbound_at: Mapped[datetime | None] = timestamp()
    whatsapp_id: Mapped[str | None]
    sms_id: Mapped[str | None]
    messenger_id: Mapped[str | None]
    instagram_id: Mapped[str | None]
    channel_metadata: Mapped[dict[str, Any]] = json(server_default="{}")
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class Participant(Tenant, Table):
    """Who takes part in a conversation, by address."""

    __tablename__ = "participants"

    conversation_id: Mapped[UUID]
    role: Mapped[ParticipantRole] = word(server_default="customer")
    address: Mapped[str] = citext()
    name: Mapped[str | None]
    person_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = created()


class Message(Tenant, Table):
    """One message. `body_salt` is what the audit chain's commitment to the body was made with.

    Of a mail, `body_text` is what its author wrote in it, `quoted_text` what they quoted, and
    `may_have_cut` says that the two may not be told apart well; `recipients` holds `sent_by`,
    `reply_to`, `to` and `cc`, each a list of `{"name", "address"}`; `reference_ids` the Message-IDs
    of what it answers, oldest first; and under `raw_key` the whole of it lies. `metadata` holds the
    `authentication` of a mail that came in, and of one of ours the addresses that were `added` and
    `left_out`, compared with the mail that it answers.

    An outbound message that was taken back has `cancelled_at`: hidden from the customer's view,
    kept in the record.
    """

    __tablename__ = "messages"

    conversation_id: Mapped[UUID]
    channel_id: Mapped[UUID]
    external_id: Mapped[str | None]
    direction: Mapped[Direction] = word()
    role: Mapped[MessageRole] = word()
    subject: Mapped[str | None]
    body_text: Mapped[str]
    body_html: Mapped[str | None]
    body_salt: Mapped[bytes] = blob()
    quoted_text: Mapped[str | None]
    may_have_cut: Mapped[bool] = mapped_column(server_default="false")
    recipients: Mapped[dict[str, Any]] = json(server_default="{}")
    reference_ids: Mapped[list[str]] = words(server_default="{}")
    raw_key: Mapped[str | None]
    author_user_id: Mapped[UUID | None]
    sent_at: Mapped[datetime] = timestamp()
    cancelled_at: Mapped[datetime | None] = timestamp()
    language: Mapped[str] = mapped_column(server_default="english")
    search: Mapped[str] = mapped_column(
        TSVECTOR,
        Computed("search_vector(language, coalesce(subject, ''), body_text)"),
        deferred=True,
    )
    metadata_: Mapped[dict[str, Any]] = json("metadata", server_default="{}")
    created_at: Mapped[datetime] = created()


class Attachment(Tenant, Table):
    """A file of a message: at its provider (`file_url`), or a part of the mail (`part_index`).

    Once it is `completed`, it lies under its organization and `sha256`. `content_id` is what the
    HTML body calls it by. One without a message is an upload, which messages of ours may have.
    """

    __tablename__ = "attachments"

    message_id: Mapped[UUID | None]
    uploaded_by: Mapped[UUID | None]
    file_name: Mapped[str]
    mime_type: Mapped[str]
    size_bytes: Mapped[int | None]
    file_url: Mapped[str | None]
    part_index: Mapped[int | None]
    content_id: Mapped[str | None]
    status: Mapped[ProcessingStatus] = word(server_default="pending")
    reason: Mapped[str | None]
    sha256: Mapped[str | None]
    fence: Mapped[int] = mapped_column(server_default="0")
    attempts: Mapped[int] = mapped_column(server_default="0")
    leased_until: Mapped[datetime | None] = timestamp()
    created_at: Mapped[datetime] = created()


class Notification(Tenant, Table):
    """Something a person should see; `user_id` is absent where anyone of the organization may."""

    __tablename__ = "notifications"

    user_id: Mapped[UUID | None]
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = json(server_default="{}")
    read_at: Mapped[datetime | None] = timestamp()
    created_at: Mapped[datetime] = created()
