"""Drafts, what was decided about them, the feed and the timeline, as the API shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from countersign.conversations.schemas import (
    Addressed,
    Authentication,
    Conversation,
    Delivery,
    Mailbox,
    MailRecipients,
    Message,
)
from countersign.drafting.tables import ActionType, DraftStatus, RejectionReason, RequestStatus
from countersign.identity.members import Member
from countersign.platform.paging import NextCursor, PageQuery
from countersign.platform.schemas import Answer, Body, Instant, Notes, Query, Text

EXCERPT_CHARACTERS = 500


class Excerpt(Answer):
    """The beginning of a text."""

    text: Annotated[str, Field(description=f"Its first {EXCERPT_CHARACTERS} characters.")]
    is_whole: Annotated[bool, Field(description="Whether that is all of it.")]


class Claim(Answer):
    """Who is at work on a draft."""

    user: Member
    expires_at: Instant


class DraftRequest(Answer):
    """The wish for a draft, and what came of it."""

    id: UUID
    status: Annotated[
        RequestStatus,
        Field(
            description="`waiting` and `drafting`: a draft is on its way. `abstained`: the model "
            "would not answer. `failed`: it could not be asked."
        ),
    ]
    reason: Annotated[
        str | None, Field(description="Why it abstained, failed or was superseded, as a code.")
    ]
    revision: Annotated[int, Field(description="1 for the first draft on a message.")]
    created_at: Instant


class PendingDraft(Answer):
    """A draft that waits for a decision, in short."""

    id: UUID
    revision: int
    excerpt: Excerpt
    created_at: Instant
    claim: Annotated[Claim | None, Field(description="null: nobody is at work on it.")]


class LatestMessage(Answer):
    """What the customer wrote last, in short."""

    id: UUID
    excerpt: Excerpt
    authentication: Annotated[Authentication | None, Field(description="Of a mail; else null.")]
    sent_at: Instant


class FeedItem(Answer):
    """An open conversation that waits for us, and what there is to do."""

    conversation: Conversation
    latest_inbound_message: LatestMessage | None
    draft: Annotated[PendingDraft | None, Field(description="To be decided on; null: none is.")]
    request: Annotated[
        DraftRequest | None, Field(description="The newest request for a draft, whatever it became")
    ]
    delivery: Annotated[
        Delivery | None,
        Field(description="The newest message of ours, if it `failed` or is `unknown`."),
    ]


class Feed(Answer):
    """A page of the feed."""

    items: list[FeedItem]
    next_cursor: NextCursor


class DraftAction(Answer):
    """What a person decided about a draft."""

    id: UUID
    draft_id: UUID
    type: ActionType
    user: Member
    reason_code: Annotated[RejectionReason | None, Field(description="Of a rejection.")]
    notes: str | None
    final_text: Annotated[str | None, Field(description="What was sent; null for a rejection.")]
    diff: Annotated[
        list[list[Any]] | None,
        Field(
            description='What turned the draft into `final_text`: `["=", n]` keeps, `["-", n]` '
            'drops, `["+", text]` adds; n counts Unicode code points of the draft.'
        ),
    ]
    message_id: Annotated[UUID | None, Field(description="The message that it sent.")]
    revoked_at: Annotated[
        Instant | None, Field(description="When it was undone, or overtaken before it was sent.")
    ]
    created_at: Instant


class MessageEntry(Answer):
    """A message, in its place of the timeline."""

    type: Literal["message"]
    at: Annotated[Instant, Field(description="When it came to be known here, by our clock.")]
    message: Message


class ActionEntry(Answer):
    """A decision about a draft, in its place of the timeline."""

    type: Literal["action"]
    at: Instant
    action: DraftAction


class Timeline(Answer):
    """A conversation, and a page of what happened in it."""

    conversation: Conversation
    items: list[Annotated[MessageEntry | ActionEntry, Field(discriminator="type")]]
    next_cursor: NextCursor


class TimelineQuery(PageQuery):
    """Which page, from which end."""

    order: Annotated[
        Literal["asc", "desc"], Field(description="`asc`: the oldest first. `desc`: the newest.")
    ] = "asc"


class Source(Answer):
    """Words that a draft rests on."""

    document_id: UUID
    document_version: Annotated[int, Field(description="The version that was read.")]
    title: str
    source_url: str | None
    chunk_id: UUID
    span: Annotated[
        list[int],
        Field(
            min_length=2,
            max_length=2,
            description="Where `quote` stands in the document: start and end, in code points.",
        ),
    ]
    quote: str
    score: Annotated[float, Field(description="How well it fitted, compared with other sources.")]


class Recipients(Answer):
    """Whom a reply goes to. Of a mail, that is who wrote the message that it answers, or where they
    asked for answers, and whoever they wrote it to besides."""

    to: list[Mailbox]
    cc: list[Mailbox]
    added: Annotated[
        list[str], Field(description="Addresses that had no part in the message it answers.")
    ]
    left_out: Annotated[list[str], Field(description="Those that had, and do not get the reply.")]


class Draft(Answer):
    """A proposed reply, with all that a person needs to decide."""

    id: UUID
    conversation_id: UUID
    trigger_message_id: Annotated[UUID, Field(description="The message that it answers.")]
    revision: int
    status: Annotated[
        DraftStatus,
        Field(
            description="`pending`: to be decided. `sent`: approved, whatever its delivery does. "
            "`archived`: rejected. `superseded`: the conversation or a newer draft overtook it."
        ),
    ]
    text: str
    html: str | None
    sources: list[Source]
    recipients: Recipients
    may_have_cut: Annotated[
        bool,
        Field(
            description="The message that it answers may say more than its `text`: read its "
            "`quoted_text` too before you decide."
        ),
    ]
    authentication: Annotated[
        Authentication | None,
        Field(
            description="Of the mail that it answers, whose sender may be forged; null if that is "
            "no mail."
        ),
    ]
    revision_token: Annotated[
        str | None,
        Field(description="What an approval must name; null unless the draft is `pending`."),
    ]
    claim: Annotated[Claim | None, Field(description="null: nobody is at work on it.")]
    actions: Annotated[list[DraftAction], Field(description="Decisions, the oldest first.")]
    model_key: str
    prompt_version: str
    created_at: Instant


class Approve(Addressed):
    """A draft as it was seen, to be sent as it is, or with a text or recipients of one's own."""

    revision_token: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            description="`revision_token` of the draft as it was shown to the person.",
        ),
    ]
    final_text: Annotated[Text | None, Field(description="null or absent: the draft's text.")] = (
        None
    )
    notes: Notes | None = None


class Approval(Answer):
    """A countersigned reply on its way."""

    action_id: UUID
    type: Annotated[
        ActionType, Field(description="`approve` if the draft was sent unchanged, else `edit`.")
    ]
    message_id: UUID
    delivery_id: UUID
    undo_until: Annotated[
        Instant,
        Field(description="It is handed over no earlier, and can be taken back at least so long."),
    ]
    recipients: Annotated[MailRecipients | None, Field(description="Of a mail; else null.")]


class Reject(Body):
    """Why a draft will not do."""

    reason_code: RejectionReason
    notes: Notes | None = None


class Rejection(Answer):
    """A draft that will not be sent."""

    action_id: UUID
    reason_code: RejectionReason


class UndoQuery(Query):
    """Which decision to take back."""

    action_id: Annotated[
        UUID | None,
        Field(
            description="`action_id` of the decision: the request may then be repeated, and takes "
            "back no later one. Without it, the one that stands is taken back."
        ),
    ] = None


class Undone(Answer):
    """A decision that was taken back."""

    draft_id: UUID
    status: Annotated[
        DraftStatus,
        Field(
            description="`pending` again, or `superseded` where something newer exists; after a "
            "repeat, what the draft is by now."
        ),
    ]


class ExportQuery(Query):
    """Which page of an export."""

    after_seq: Annotated[
        int,
        Field(
            ge=0, le=2**31 - 1, description="`next_after_seq` of the page before; 0 for the first."
        ),
    ] = 0


class ExportedEvent(Answer):
    """One event of the record."""

    canonical_text: str
    hash: Annotated[str, Field(description="SHA-256 of the text's UTF-8, in hex.")]


class ExportedBody(Answer):
    """A text that events commit to."""

    commitment: str
    salt: Annotated[str | None, Field(description="In hex; null once erased.")]
    text: Annotated[str | None, Field(description="null once erased.")]


class Export(Answer):
    """A page of a conversation's record: `verify.py` checks them together (docs/audit.md)."""

    format: Literal["countersign.timeline/1"]
    organization_id: UUID
    stream_id: UUID
    events: list[ExportedEvent]
    bodies: list[ExportedBody]
    next_after_seq: Annotated[
        int | None, Field(description="The `after_seq` of the next page; null on the last.")
    ]
