"""What the providers of mail have in common: a delivery as a letter, a mail as a message."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from countersign.channels.messages import InboundMessage, Outgoing, RawMail
from countersign.mail.model import Address
from countersign.mail.writing import Letter
from countersign.platform import clock
from countersign.platform.errors import Invalid

MOST_CHARACTERS = 1_000_000
"""Mail itself knows no limit; a provider's is one of bytes, attachments and all."""


def letter(delivery: Outgoing) -> Letter:
    """The letter to be written for a delivery, dated now. Raises `Invalid` if it is for no mail."""
    mail = delivery.mail
    if mail is None:
        raise Invalid("The delivery has no subject and no recipients of a mail.")
    return Letter(
        message_id=mail.message_id,
        sent_at=clock.now(),
        from_=Address(mail.sender_name, delivery.sender),
        to=mail.to,
        cc=mail.cc,
        reply_to=mail.reply_to,
        subject=mail.subject,
        text=delivery.text,
        html=delivery.html,
        in_reply_to=mail.in_reply_to,
        references=mail.references,
        headers=mail.headers,
        attachments=mail.attachments,
    )


def traceable(given: Letter) -> Letter:
    """The same with its own id in References, for a provider that gives mails another Message-ID:
    answers then still bring back the one that we know."""
    if given.message_id in given.references:
        return given
    return replace(given, references=(*given.references, given.message_id))


def message(raw_mail: RawMail, event_id: str, received_at: datetime) -> InboundMessage:
    """The message that a mail is, as far as it can be told without the mails before it.

    Its text is the whole plain body; who answers must take the quote away. The conversation is the
    first of References, or its own id. Raises `Invalid` on what is no mail or names no sender.
    """
    mail = raw_mail.parsed
    sender = _sender(raw_mail)
    own_id = mail.message_id or f"sha256:{raw_mail.digest}"
    return InboundMessage(
        provider_event_id=event_id,
        external_id=own_id,
        conversation_external_id=(*mail.references, *mail.in_reply_to, own_id)[0],
        sender=sender.address,
        sender_name=sender.name or None,
        recipient=(*raw_mail.verdicts.envelope_to, *(one.address for one in mail.to), None)[0],
        subject=mail.subject or None,
        text=mail.text or "",
        # A sender's clock that is ahead must not keep a conversation on top for ever.
        sent_at=min(mail.sent_at or received_at, received_at),
        mail=raw_mail,
    )


def _sender(raw_mail: RawMail) -> Address:
    found = (*raw_mail.parsed.from_, *raw_mail.parsed.sender)
    if found:
        return found[0]
    if raw_mail.verdicts.envelope_from:
        return Address("", raw_mail.verdicts.envelope_from)
    raise Invalid("The mail does not say who sent it: no From, no Sender, no return path.")
