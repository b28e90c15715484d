"""Conversations, messages and deliveries as the API shows them, and what it takes."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from countersign.channels.deliveries import Resolution
from countersign.channels.messages import ChannelType
from countersign.channels.tables import DeliveryState
from countersign.conversations import outbound, uploads
from countersign.conversations.recipients import MOST_RECIPIENTS
from countersign.conversations.tables import (
    ConversationKind,
    ConversationStatus,
    Direction,
    MessageRole,
)
from countersign.identity.members import Member
from countersign.mail.model import Address
from countersign.mail.verdicts import Verdict
from countersign.platform.columns import ProcessingStatus
from countersign.platform.errors import Invalid
from countersign.platform.schemas import Answer, Body, Instant, Text


def _mail_address(text: str) -> str:
    # Few channels have mail: the others start without it.
    from countersign.mail import fieldwriting

    try:
        fieldwriting.ascii_address(text)
    except Invalid:
        raise ValueError("not a mail address") from None
    return text.strip()


def _whole(number: object) -> object:
    """To JSON Schema `3.0` is an integer."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _each_once(ids: list[UUID]) -> list[UUID]:
    if len(set(ids)) < len(ids):
        raise ValueError("names one twice")
    return ids


FileName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        # No path, no control character, and none that turns the direction of writing (UAX 9).
        pattern=r"^[^\x00-\x1f\x7f-\x9f/\\\u200e\u200f\u202a-\u202e\u2066-\u2069]+$",
        description="As the recipient sees it, with its ending.",
    ),
]


class Channel(Answer):
    """The way in and out that a conversation takes."""

    id: UUID
    type: ChannelType
    name: str


class Customer(Answer):
    """Who we talk with."""

    address: Annotated[str, Field(description="Where replies go, as the channel writes it.")]
    name: str | None
    email: str | None
    person_id: UUID | None


class Conversation(Answer):
    """A thread with a customer on one channel."""

    id: UUID
    channel: Channel
    kind: ConversationKind
    status: ConversationStatus
    subject: str | None
    customer: Customer
    assignee_id: UUID | None
    waiting_since: Annotated[
        Instant | None,
        Field(
            description="Since when it waits for us: its latest message is the customer's, or a "
            "reply failed or may not have gone out. null: it does not."
        ),
    ]
    snoozed_until: Annotated[
        Instant | None, Field(description="Until then the feed leaves it out, unless news comes.")
    ]
    latest_message_id: UUID | None
    last_message_at: Instant | None
    created_at: Instant


class Attachment(Answer):
    """A file of a message."""

    id: UUID
    file_name: str
    mime_type: Annotated[
        str,
        Field(description="As its sender says; once `completed`, as its bytes say where they do."),
    ]
    size_bytes: Annotated[
        int | None, Field(description="Of the decoded bytes; null while nobody knows.")
    ]
    content_id: Annotated[str | None, Field(description="What the HTML body calls it by: `cid:`.")]
    is_inline: Annotated[
        bool, Field(description="The HTML body shows it in its place, as `cid:` + `content_id`.")
    ]
    status: Annotated[
        ProcessingStatus,
        Field(
            description="`pending` and `processing`: it is still to be fetched. `completed`: GET "
            "/v1/attachments/{attachment_id} says where it is. `failed`: it cannot be had."
        ),
    ]
    reason: Annotated[
        str | None,
        Field(
            description="Why it failed, or waits: `gone` (its provider has it no more), "
            "`too_large`, `unreadable`, `unavailable` (its provider does not answer), `virus`."
        ),
    ]
    sha256: Annotated[
        str | None, Field(description="Of its bytes, in hex; null until it is `completed`.")
    ]


class AttachmentFile(Attachment):
    """A file, and where its bytes are."""

    message_id: Annotated[UUID | None, Field(description="null: it is an upload.")]
    url: Annotated[
        str | None,
        Field(
            description="Gives the bytes to whoever has it, without a key, as a download; keep it "
            "to yourself. null unless the file is `completed`."
        ),
    ]
    url_expires_at: Annotated[Instant | None, Field(description="Ask again for a new `url`.")]


class BeginUpload(Body):
    """A file that is about to be uploaded."""

    file_name: FileName
    mime_type: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$",
            description="As its sender says; taken in, as its bytes say where they do.",
        ),
    ]
    size_bytes: Annotated[
        int,
        Field(ge=1, le=uploads.MOST_BYTES, description="Just so many bytes are to be sent."),
        BeforeValidator(_whole),
    ]


class Upload(Answer):
    """Where to send the bytes of a file."""

    id: UUID
    upload_url: Annotated[
        str,
        Field(
            description="PUT the bytes here, without a key and as many as were told of; then PUT "
            "/v1/attachments/{attachment_id}/upload. Keep it to yourself."
        ),
    ]
    upload_expires_at: Instant


class Mailbox(Answer):
    """A name and an address."""

    name: str
    address: str


class MailRecipients(Answer):
    """Whom a mail is from, and for."""

    sent_by: Annotated[list[Mailbox], Field(description="Who it says it is from.")]
    reply_to: list[Mailbox]
    to: list[Mailbox]
    cc: list[Mailbox]
    added: Annotated[
        list[str],
        Field(description="Of a mail of ours: who had no part in the message that it answers."),
    ]
    left_out: Annotated[
        list[str], Field(description="Those who had, and do not get it; at most 100.")
    ]


class Authentication(Answer):
    """What those who took a mail in found out about its sender. Forwarding may break what an honest
    mail proved."""

    spoofed: Annotated[
        bool,
        Field(description="Whether the address that it is from may be somebody else's doing."),
    ]
    spf: Annotated[
        Verdict,
        Field(
            description="Whether its domain lets the host send for it. `none`: the domain says "
            "nothing, or the mail is not signed. `unknown`: nobody has looked, or to no end."
        ),
    ]
    dkim: Annotated[Verdict, Field(description="Whether a domain's signature stands.")]
    dmarc: Annotated[
        Verdict, Field(description="Whether one of the two speaks for the domain that it is from.")
    ]


class Delivery(Answer):
    """What becomes of a message of ours."""

    id: UUID
    message_id: UUID
    status: Annotated[
        DeliveryState,
        Field(
            description="`queued` can still be taken back; `sending` has been handed over; `sent` "
            "was accepted by the provider; `unknown`: it may or may not have been, and a person "
            "must say (POST /v1/deliveries/{delivery_id}/resolution)."
        ),
    ]
    not_before: Annotated[Instant, Field(description="It is handed over no earlier.")]
    attempts: Annotated[int, Field(description="How often it was tried.")]
    reason_code: Annotated[
        str | None, Field(description="Why it failed, is unknown, waits or was cancelled.")
    ]
    reason: Annotated[str | None, Field(description="The same in the provider's words.")]
    provider_message_id: str | None
    sent_at: Instant | None
    delivered_at: Instant | None


class Message(Answer):
    """One message of a conversation."""

    id: UUID
    direction: Direction
    role: MessageRole
    subject: str | None
    text: Annotated[str, Field(description="What its author wrote in it.")]
    html: Annotated[
        str | None, Field(description="Made safe to show; no image of it is at another host.")
    ]
    quoted_text: Annotated[
        str | None, Field(description="What a mail quotes, its signature and small print.")
    ]
    may_have_cut: Annotated[
        bool,
        Field(
            description="`text` may lack words of its author: much was taken for a quote, or "
            "answers stand between quotes. Show `quoted_text` too."
        ),
    ]
    recipients: Annotated[MailRecipients | None, Field(description="Of a mail; else null.")]
    authentication: Annotated[
        Authentication | None, Field(description="Of a mail that came in; else null.")
    ]
    author: Annotated[Member | None, Field(description="Who approved or wrote it, if we did.")]
    sent_at: Annotated[Instant, Field(description="When it was written, by its sender's clock.")]
    cancelled_at: Annotated[
        Instant | None, Field(description="When it was taken back: the customer never got it.")
    ]
    attachments: list[Attachment]
    delivery: Annotated[Delivery | None, Field(description="null if the customer wrote it.")]


class Said(Answer):
    """A message of ours on its way."""

    message_id: UUID
    delivery_id: UUID
    undo_until: Annotated[
        Instant,
        Field(description="It is handed over no earlier, and can be taken back at least so long."),
    ]
    recipients: Annotated[MailRecipients | None, Field(description="Of a mail; else null.")]


class Snooze(Body):
    """Until when the feed leaves a conversation out."""

    until: Annotated[
        AwareDatetime,
        Field(description="In the future, by a year at most, with an offset from UTC."),
    ]


class Recipient(Body):
    """Someone whom a mail shall go to."""

    name: Annotated[
        str,
        Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", description="As the mail shows it."),
    ] = ""
    address: Annotated[
        str,
        Field(max_length=254, json_schema_extra={"format": "email"}),
        AfterValidator(_mail_address),
    ]


Mailboxes = Annotated[list[Recipient], Field(max_length=MOST_RECIPIENTS)]


class Addressed(Body):
    """A message, whom it shall go to where that is not as usual, and what it takes along."""

    to: Annotated[
        Annotated[Mailboxes, Field(min_length=1)] | None,
        Field(
            description="Whom a mail goes to, the first of them being whom its delivery is for. "
            "null or absent: who wrote, or where they asked for answers. No address of the channel "
            "itself, nobody twice, and at most 50 with `cc`."
        ),
    ] = None
    cc: Annotated[
        Mailboxes | None,
        Field(
            description="Who gets a copy; none if empty. null or absent: everyone else whom the "
            "message that it answers was for."
        ),
    ] = None
    attachment_ids: Annotated[
        list[UUID],
        Field(
            max_length=uploads.MOST_FILES,
            json_schema_extra={"uniqueItems": True},
            description="Uploads that a mail takes along, `completed`, in this order; together at "
            f"most {uploads.MOST_BYTES} bytes. An upload may go with several messages.",
        ),
        AfterValidator(_each_once),
    ] = []  # noqa: RUF012  pydantic copies it

    @property
    def chosen(self) -> outbound.Chosen:
        """The same, for `outbound.say`."""
        to, cc = (
            None if given is None else tuple(Address(one.name, one.address) for one in given)
            for given in (self.to, self.cc)
        )
        return outbound.Chosen(to, cc, tuple(self.attachment_ids))


class Compose(Addressed):
    """A message of one's own, without a draft."""

    text: Text
    after_message_id: Annotated[
        UUID | None,
        Field(
            description="`latest_message_id` as the author saw it. If the conversation has moved "
            "on since, nothing is sent and the answer is 409 `stale`. null: send whatever came."
        ),
    ] = None


class Resolve(Body):
    """What a person found out, or wants."""

    outcome: Annotated[
        Resolution,
        Field(
            description="`sent`: the customer has it. `failed`: they do not, and it shall not be "
            "sent again. `resend`: they do not, so try again, at the risk of a second message."
        ),
    ]
