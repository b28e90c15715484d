"""A mail understood: what it says, to whom, in answer to what, and whether a person waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from countersign.channels.messages import DeliveryStatus, InboundMessage
from countersign.channels.tables import Channel
from countersign.conversations import recipients, threads
from countersign.conversations.tables import Attachment, Message
from countersign.mail import automatic, bounces, said
from countersign.mail.automatic import Silence
from countersign.mail.model import Mail
from countersign.mail.verdicts import is_spoofed

LONGEST_TEXT = 200_000
"""Characters of a body that a message holds; the whole mail lies in storage."""
MOST_FILES = 50

# Nobody waits for an answer to these, and they change nothing for those who do wait.
UNHEARD: frozenset[Silence] = frozenset(
    ("virus", "spam", "loop", "own_address", "bounce", "receipt", "complaint", "auto_reply")
)


@dataclass(frozen=True)
class Letter:
    """What a message holds of its mail besides its text; `silence` is why nobody is to answer it,
    if so."""

    mail: Mail
    own: frozenset[str]
    """The addresses of its channel."""
    recipients: dict[str, Any]
    """Whom it is from and for, as a message's row holds it."""
    envelope_to: tuple[str, ...]
    silence: Silence | None
    quoted: str | None
    html: str | None
    may_have_cut: bool
    raw_key: str

    @property
    def is_heard(self) -> bool:
        """Whether it changes anything for those who wait for an answer."""
        return self.silence not in UNHEARD

    @property
    def copied(self) -> list[tuple[str, str | None]]:
        """Address and name of everyone else whom it was for."""
        others = recipients.of_answer(self.recipients, self.own).cc
        return [(one.address, one.name or None) for one in others]

    def statuses(self, message: Message, now: datetime) -> Iterator[DeliveryStatus]:
        """What became of mails of ours, if it is a mail server's report. What it says counts of
        what it proves to be about: nobody else knows our ids."""
        for one in bounces.bounces(self.mail):
            is_hard = one.kind == "hard"
            yield DeliveryStatus(
                provider_event_id=f"{message.external_id}:{one.recipient.lower()}",
                status="bounced" if is_hard else "failed",
                delivery_id=_uuid(next(iter(one.original.get(automatic.MARK.lower(), ())), "")),
                message_id=_uuid((one.original_message_id or "").partition("@")[0]),
                recipient=one.recipient,
                suppress="bounced" if is_hard else None,
                error_code=one.code,
                error_reason=one.reason,
                occurred_at=now,
            )

    def attachments(self) -> list[Attachment]:
        """Its files: each a part of it, for now."""
        return [
            Attachment(
                file_name=part.file_name or f"part-{part.index}",
                mime_type=part.content_type,
                size_bytes=part.size,
                part_index=part.index,
                content_id=part.content_id,
            )
            for part in self.mail.parts[:MOST_FILES]
        ]

    def row(self) -> dict[str, Any]:
        """The columns of a message that only a mail has."""
        return {
            "body_html": self.html,
            "quoted_text": self.quoted,
            "may_have_cut": self.may_have_cut,
            "recipients": self.recipients,
            "reference_ids": threads.references(self.mail),
            "raw_key": self.raw_key,
        }


def understand(message: InboundMessage, channel: Channel) -> tuple[InboundMessage, Letter]:
    """A message that is a mail, with the text that was said in it, and the rest of that mail."""
    assert message.mail
    mail, verdicts = message.mail.parsed, message.mail.verdicts
    heard, own = said.said(mail), recipients.own_addresses(channel)
    letter = Letter(
        mail=mail,
        own=own,
        recipients=recipients.of_mail(mail),
        envelope_to=verdicts.envelope_to,
        silence=automatic.silence(mail, verdicts, own),
        quoted=heard.quoted[:LONGEST_TEXT] if heard.quoted else None,
        html=heard.html if heard.html and len(heard.html) <= LONGEST_TEXT else None,
        may_have_cut=heard.may_have_cut or len(heard.text) > LONGEST_TEXT,
        raw_key=message.mail.key(channel.organization_id, channel.id),
    )
    authentication = {
        "spoofed": is_spoofed(mail, verdicts),
        "spf": verdicts.spf,
        "dkim": verdicts.dkim,
        "dmarc": verdicts.dmarc,
    }
    metadata = {**message.metadata, "authentication": authentication}
    return replace(message, text=heard.text[:LONGEST_TEXT], metadata=metadata), letter


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
