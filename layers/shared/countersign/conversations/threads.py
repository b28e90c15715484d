"""Which conversation a mail belongs to.

Our own signed reply address comes first, wherever it stands: who has it, had a mail of that
conversation. Then come the Message-IDs that the mail says it answers; they are no secret, and one
newsletter's id is answered by many, so there the writer must take part in the conversation already.
A changed subject begins another conversation, as it would for a person, and so does an answer to
what was closed long ago.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select, text, union_all

from countersign.channels.messages import InboundMessage
from countersign.channels.tables import Channel, Delivery
from countersign.conversations.tables import Conversation, Message, Participant
from countersign.mail import replies, subjects
from countersign.mail.model import Mail, first_and_newest
from countersign.platform.db import TenantSession

if TYPE_CHECKING:
    from countersign.conversations.letters import Letter

REOPENS_FOR = timedelta(days=30)
"""How long after its last message a closed conversation is reopened by an answer."""
MOST_REFERENCES = 50
"""Of a mail that are looked at: the first, and the newest."""

# Else two strangers who answer one newsletter at once would open one conversation for both. One
# order for all, so that no two wait for each other's names.
_LOCK = text(
    """
    SELECT pg_advisory_xact_lock(hashtextextended('conversation ' || :channel_id || name, 0))
    FROM unnest(CAST(:names AS text[])) AS name
    """
)


def place(
    session: TenantSession,
    channel: Channel,
    message: InboundMessage,
    letter: Letter,
    keys: Collection[str],
    now: datetime,
) -> InboundMessage:
    """The message, with the external id of the conversation that it belongs to.

    `keys` are those that reply addresses were made with.
    """
    mail = letter.mail
    names = _names(message, mail)
    session.execute(_LOCK, {"channel_id": str(channel.id), "names": sorted(names)})
    answered = _by_address(session, channel, letter, keys)
    if answered is None:
        answered = _by_references(session, channel, message, mail)
    if answered and _goes_on(answered, mail, now):
        return replace(message, conversation_external_id=answered.external_id)
    return replace(message, conversation_external_id=_free(session, channel, names))


def _names(message: InboundMessage, mail: Mail) -> list[str]:
    """What a conversation may be named that this mail begins: by the id of the mail that began the
    thread, though it is not here, so that those of one thread find each other in any order; else by
    its own; and where a stranger's answer to it has that name, by one that is no other's."""
    return [*(mail.references or mail.in_reply_to)[:1], *message.external_ids]


def _by_address(
    session: TenantSession, channel: Channel, letter: Letter, keys: Collection[str]
) -> Conversation | None:
    """The conversation of a reply address among whom the mail is for, hidden copies included.

    A mail to several channels may have one of each: each of them finds its own.
    """
    visible = [one.address for one in (*letter.mail.to, *letter.mail.cc)]
    ids = replies.find([*letter.envelope_to, *visible], keys)
    if not ids:
        return None
    found = session.scalars(
        select(Conversation)
        .where(Conversation.organization_id == session.organization_id)
        .where(Conversation.id.in_(ids))
        .where(Conversation.channel_id == channel.id)
    )
    return min(found, key=lambda one: ids.index(one.id), default=None)


def _by_references(
    session: TenantSession, channel: Channel, message: InboundMessage, mail: Mail
) -> Conversation | None:
    """The conversation of the newest mail that this one answers and its writer took part in; or of
    an answer to this very one, which came before it."""
    ids = [message.external_id, *references(mail)]
    found = _known(session, channel, ids) or _known_as_sent(session, channel, ids)
    for one in reversed(ids):
        conversation_id = found.get(one)
        if conversation_id and _takes_part(session, conversation_id, message.sender):
            return session.get_one(Conversation, (session.organization_id, conversation_id))
    return None


def references(mail: Mail) -> list[str]:
    """The Message-IDs that a mail says it answers, oldest first; each once."""
    every = list(dict.fromkeys([*mail.references, *mail.in_reply_to]))
    return first_and_newest(every, MOST_REFERENCES)


def _known(session: TenantSession, channel: Channel, ids: list[str]) -> dict[str, UUID]:
    """The conversations of messages that have one of these ids, and those begun by one that has."""
    messages = (
        select(Message.external_id, Message.conversation_id)
        .where(Message.organization_id == session.organization_id)
        .where(Message.channel_id == channel.id)
        .where(Message.external_id.in_(ids))
    )
    begun = (
        select(Conversation.external_id, Conversation.id)
        .where(Conversation.organization_id == session.organization_id)
        .where(Conversation.channel_id == channel.id)
        .where(Conversation.external_id.in_(ids))
    )
    found: Sequence[Any] = session.execute(union_all(begun, messages)).all()
    return {row[0]: row[1] for row in found}


def _known_as_sent(session: TenantSession, channel: Channel, ids: list[str]) -> dict[str, UUID]:
    """Those of messages whose Message-ID the provider made anew, with its own id before the `@`."""
    by_local_part = {one.partition("@")[0]: one for one in ids}
    found = session.execute(
        select(Delivery.provider_message_id, Delivery.conversation_id)
        .where(Delivery.organization_id == session.organization_id)
        .where(Delivery.channel_id == channel.id)
        .where(Delivery.provider_message_id.in_(by_local_part))
    )
    return {by_local_part[sent_as]: id_ for sent_as, id_ in found if sent_as and id_}


def _takes_part(session: TenantSession, conversation_id: UUID, address: str) -> bool:
    found = session.scalar(
        select(Participant.id)
        .where(Participant.organization_id == session.organization_id)
        .where(Participant.conversation_id == conversation_id)
        .where(Participant.address == address)
    )
    return found is not None


def _goes_on(conversation: Conversation, mail: Mail, now: datetime) -> bool:
    """Whether an answer in a conversation goes on with it, rather than begins another."""
    if subjects.is_another(conversation.subject, mail.subject):
        return False
    last = conversation.last_message_at or conversation.created_at
    return conversation.status == "open" or last > now - REOPENS_FOR


def _free(session: TenantSession, channel: Channel, names: Sequence[str]) -> str:
    """The first of these names that no conversation has."""
    taken = session.scalars(
        select(Conversation.external_id)
        .where(Conversation.organization_id == session.organization_id)
        .where(Conversation.channel_id == channel.id)
        .where(Conversation.external_id.in_(names))
    ).all()
    return next(name for name in names if name not in taken)
