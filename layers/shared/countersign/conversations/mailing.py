"""A message of ours as a mail: its subject, its recipients, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable

from countersign.channels.tables import Channel
from countersign.conversations import recipients, uploads
from countersign.conversations.outbound import Chosen
from countersign.conversations.participants import Participation, take_part
from countersign.conversations.recipients import Recipients
from countersign.conversations.tables import Attachment, Conversation, Message
from countersign.mail.model import first_and_newest
from countersign.people import directory
from countersign.platform.db import TenantSession
from countersign.platform.errors import Conflict

MOST_REFERENCES = 20
"""In what we send: the first, which began the thread, and the newest."""
LONGEST_SUBJECT = 500


def address(
    session: TenantSession,
    conversation: Conversation,
    channel: Channel,
    message: Message,
    chosen: Chosen,
) -> Recipients:
    """Make a message of ours a mail: set what only mails have; returns whom it goes to.

    They take part in the conversation from now on. Raises `Conflict` if there is nobody whom it may
    go to, or somebody who was chosen must not be written to; `Invalid` for who cannot be chosen.
    """
    answered = recipients.answered_message(session, conversation)
    own = recipients.own_addresses(channel)
    usual = recipients.answering(session, conversation)
    goes_to = recipients.choose(usual, chosen.to, chosen.cc, own)
    if not goes_to.to:
        raise Conflict("The mail names nobody to answer to.")
    goes_to = _permitted(session, goes_to, chosen)
    people = (*goes_to.to, *goes_to.cc)
    take_part(
        session,
        [Participation(conversation, "copied", one.address, one.name or None) for one in people],
    )
    added, left_out = recipients.differences(goes_to, answered, own)
    message.metadata_ = {"added": added, "left_out": left_out}
    message.subject = _subject(answered.subject if answered else conversation.subject, channel)
    message.external_id = f"{message.id}@{channel.external_id.rpartition('@')[2]}"
    message.reference_ids = _references(answered) if answered else []
    message.recipients = {
        "sent_by": [{"name": channel.name, "address": channel.external_id}],
        "reply_to": [],
        **goes_to.as_json(),
    }
    return goes_to


def _permitted(session: TenantSession, goes_to: Recipients, chosen: Chosen) -> Recipients:
    """Those who may be written to. Nobody whom a person chose is left out without a word."""
    suppressed = directory.suppressed(session, goes_to.addresses)
    picked = [one.address for one in (*(chosen.to or ()), *(chosen.cc or ()))]
    if refused := [address for address in picked if address in suppressed]:
        raise Conflict("Some of the chosen must not be written to.", suppressed=refused)
    if any(one.address in suppressed for one in goes_to.to):
        raise Conflict("The customer's address is suppressed: it must not be written to.")
    return Recipients(goes_to.to, tuple(one for one in goes_to.cc if one.address not in suppressed))


def attach(session: TenantSession, message: Message, chosen: Chosen) -> list[Attachment]:
    """Let a mail take the chosen files along. Raises `Invalid` and `Conflict`."""
    session.flush()
    return uploads.attach(session, message, chosen.files) if chosen.files else []


def payload(message: Message, files: Iterable[Attachment]) -> dict[str, object]:
    """What of a mail its delivery holds, besides the text."""
    return {
        "subject": message.subject,
        "to": message.recipients["to"],
        "cc": message.recipients["cc"],
        "message_id": message.external_id,
        "references": message.reference_ids,
        "attachments": [uploads.payload(file) for file in files],
    }


def _subject(answered: str | None, channel: Channel) -> str:
    """`Re: ` before what is answered (RFC 5322, 3.6.5), once."""
    subject = (answered or "").strip()[:LONGEST_SUBJECT] or channel.name
    return subject if subject.lower().startswith("re:") else f"Re: {subject}"


def _references(answered: Message) -> list[str]:
    """Those of the mail that is answered, then its own id (RFC 5322, 3.6.4)."""
    own_id = (answered.external_id or "").partition("#")[0]
    ids = [*answered.reference_ids, *([own_id] if "@" in own_id else [])]
    return first_and_newest(ids, MOST_REFERENCES)
