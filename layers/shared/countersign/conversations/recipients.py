"""Whom a reply goes to: who wrote the very message that it answers, and whoever they copied."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from countersign.channels.tables import Channel
from countersign.conversations.tables import Conversation, Message
from countersign.mail import replies
from countersign.mail.model import Address, Mail
from countersign.platform import audit
from countersign.platform.db import TenantSession
from countersign.platform.errors import Invalid

MOST_RECIPIENTS = 50
"""Of one mail of ours: SES takes no more."""
_MOST_KEPT = 100
_MOST_KEPT_BYTES = 15_000
"""Of each of the four kinds, so that a JSON column holds them whatever a stranger writes there."""
KINDS = ("sent_by", "reply_to", "to", "cc")
"""Of the addresses that a mail names."""
DIFFERENCES = ("added", "left_out")
"""Of a mail of ours, in its row's metadata: who had no part in the mail that it answers, and who
had and does not get it."""


@dataclass(frozen=True)
class Recipients:
    """Of a message of ours: to whom, and whom it is copied to."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()

    @property
    def addresses(self) -> list[str]:
        """All of them."""
        return [one.address for one in (*self.to, *self.cc)]

    def as_json(self) -> dict[str, Any]:
        """As a message's row and a delivery's payload hold them."""
        return {"to": as_json(self.to), "cc": as_json(self.cc)}


def as_json(addresses: Iterable[Address]) -> list[dict[str, str]]:
    """Addresses as rows and the API hold them."""
    return [{"name": one.name, "address": one.address} for one in addresses]


def read(rows: Iterable[dict[str, str]]) -> tuple[Address, ...]:
    """What `as_json` wrote."""
    return tuple(Address(row["name"], row["address"]) for row in rows)


def of_mail(mail: Mail) -> dict[str, Any]:
    """The addresses of a mail, as `messages.recipients` holds them: of each kind the first."""
    named = {"sent_by": mail.from_, "reply_to": mail.reply_to, "to": mail.to, "cc": mail.cc}
    return {name: _kept(addresses) for name, addresses in named.items()}


def _kept(addresses: Iterable[Address]) -> list[dict[str, str]]:
    kept, room = [], _MOST_KEPT_BYTES
    for one in as_json(addresses)[:_MOST_KEPT]:
        room -= len(json.dumps(one, ensure_ascii=False).encode()) + len(", ")
        if room < 0:
            break
        kept.append(one)
    return kept


def answering(session: TenantSession, conversation: Conversation) -> Recipients:
    """Whom an answer to the customer's latest message goes to."""
    answered = answered_message(session, conversation)
    if answered is None or not answered.recipients:
        return Recipients(
            (Address(conversation.customer_name or "", conversation.customer_address),)
        )
    channel = session.get_one(Channel, (session.organization_id, conversation.channel_id))
    return of_answer(answered.recipients, own_addresses(channel))


def answered_message(session: TenantSession, conversation: Conversation) -> Message | None:
    """The customer's latest message, which a reply answers."""
    latest = conversation.latest_inbound_message_id
    return session.get_one(Message, (session.organization_id, latest)) if latest else None


def own_addresses(channel: Channel) -> frozenset[str]:
    """The addresses that a channel's mail comes to, in lower case."""
    known = {channel.external_id, channel.inbound_address}
    return frozenset(address.lower() for address in known if address)


def of_answer(answered: dict[str, Any], own: Collection[str]) -> Recipients:
    """To where its writer asked, else to its writer; copied to everyone else whom it was for.

    Our own addresses never get our own mail, and nobody gets it twice. One that no mail can go to,
    which a writer mistyped, must not stop what is for the others.
    """
    seen: set[str] = set()
    named = {kind: filter(_can_be_written_to, read(answered[kind])) for kind in KINDS}
    asked = _others(named["reply_to"], own, seen)
    to = (asked or _others(named["sent_by"], own, seen))[:MOST_RECIPIENTS]
    cc = _others((*named["to"], *named["cc"]), own, seen)
    return Recipients(to, cc[: MOST_RECIPIENTS - len(to)])


def _can_be_written_to(one: Address) -> bool:
    # Who answers no mail starts without what writes one.
    from countersign.mail import fieldwriting

    try:
        fieldwriting.ascii_address(one.address)
    except Invalid:
        return False
    return True


def _others(
    addresses: Iterable[Address], own: Collection[str], seen: set[str]
) -> tuple[Address, ...]:
    others = []
    for one in addresses:
        known_as = one.address.lower()
        if known_as not in seen and replies.without_token(known_as) not in own:
            seen.add(known_as)
            others.append(one)
    return tuple(others)


def choose(
    usual: Recipients,
    to: tuple[Address, ...] | None,
    cc: tuple[Address, ...] | None,
    own: Collection[str],
) -> Recipients:
    """Those whom a person chose; a kind that they did not choose is as usual.

    Raises `Invalid` for an address of our own, one that is named twice, and for too many.
    """
    chosen = {
        f"{kind}.{index}.address": one.address.lower()
        for kind, given in (("to", to), ("cc", cc))
        for index, one in enumerate(given or ())
    }
    seen = {one.address.lower() for one in usual.to} if to is None else set()
    wrong = []
    for where, address in chosen.items():
        if replies.without_token(address) in own:
            wrong.append({"where": where, "what": "An address of this channel itself"})
        elif address in seen:
            wrong.append({"where": where, "what": "Gets the mail already"})
        seen.add(address)
    if len(seen) > MOST_RECIPIENTS:
        kind = "cc" if cc else "to"
        wrong.append({"where": kind, "what": f"More than {MOST_RECIPIENTS} recipients in all"})
    if wrong:
        raise Invalid("The mail cannot go to these; see errors.", errors=wrong)
    room = MOST_RECIPIENTS - len(seen)
    copied = _others(usual.cc, own, seen)[:room] if cc is None else cc
    return Recipients(usual.to if to is None else to, copied)


def differences(
    recipients: Recipients, answered: Message | None, own: Collection[str]
) -> tuple[list[str], list[str]]:
    """Who gets the reply and had no part in the message it answers, and who had and does not."""
    if answered is None or not answered.recipients:
        return [], []
    had = _others(read(one for kind in KINDS for one in answered.recipients[kind]), own, set())
    added = _without(recipients.addresses, [one.address for one in had])
    left_out = _without([one.address for one in had], recipients.addresses)
    return added, left_out[:_MOST_KEPT]


def _without(addresses: Iterable[str], others: Iterable[str]) -> list[str]:
    known = {address.lower() for address in others}
    return [address for address in addresses if address.lower() not in known]


def recorded(message: Message) -> dict[str, Any]:
    """What the record says of whom a message of ours goes to: of a mail how many of each kind, and
    a commitment to their addresses."""
    if not message.recipients:
        return {}
    named = _named(message)
    return {
        "recipients": {kind: len(addresses) for kind, addresses in named.items()},
        "recipients_commitment": audit.commitment(message.body_salt, _as_text(named)),
    }


def body(message: Message) -> audit.Body:
    """The text that `recorded` commits to."""
    return audit.body(message.body_salt, _as_text(_named(message)))


def _named(message: Message) -> dict[str, list[str]]:
    """The addresses of a mail of ours, of each kind."""
    return {
        **{kind: [one["address"] for one in message.recipients[kind]] for kind in ("to", "cc")},
        **{kind: message.metadata_.get(kind, []) for kind in DIFFERENCES},
    }


def _as_text(named: dict[str, list[str]]) -> str:
    return json.dumps(named, ensure_ascii=False)
