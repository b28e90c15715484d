"""What SES tells through SNS: mails that came in, and what became of ours.

Nothing here is signed for us: that a queue takes messages from our own topics alone is its policy.
A mail's channels are found by whom it was brought for; an event names the channel in a tag, which
is part of a channel key and proves itself, or is of whoever sent the mail.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import text

from countersign.channels import keys
from countersign.channels.envelope import Envelope
from countersign.channels.keys import ChannelKey
from countersign.channels.messages import WebhookRequest
from countersign.channels.providers import ses_events
from countersign.mail import replies
from countersign.platform.db import Database
from countersign.platform.secrets import Secret

_FIND = text("SELECT address, organization_id, id FROM find_mail_channels(:addresses)")


def envelopes(message: dict[str, Any], database: Database, mac_key: Secret) -> list[Envelope]:
    """Whom the SES event in an SNS message is for; nobody if it is no event.

    A mail may be for several channels, hidden copies among them: each gets it for itself.

    `message` is as it comes without raw message delivery:
    https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
    Raises `Invalid` for what is not of SES, `NotFound` for a tag that no key was made of.
    """
    told = ses_events.read(message["Message"])
    if told is None:
        return []
    if ses_events.is_received(told):
        found = _channels_at(database, ses_events.received(told).recipients)
    elif named := ses_events.subject_of(told).channel_key:
        found = {keys.read(named, mac_key): ()}
    else:
        found = _channels_at(database, [ses_events.source_of(told)])
    request = WebhookRequest(
        method="POST",
        url=message["TopicArn"],
        headers={},
        body=message["Message"].encode(),
        received_at=datetime.fromisoformat(message["Timestamp"]),
    )
    return [
        Envelope(
            key.organization_id, key.channel_id, "ses", message["MessageId"], request, addresses
        )
        for key, addresses in found.items()
    ]


def _channels_at(database: Database, addresses: Iterable[str]) -> dict[ChannelKey, tuple[str, ...]]:
    """The mail channels at these addresses, whatever stands after a `+` in them, and which of the
    addresses are whose."""
    known_as = {one: (one, replies.without_token(one)) for one in addresses}
    with database.system() as session:
        forms = [form for both in known_as.values() for form in both]
        rows = session.execute(_FIND, {"addresses": forms})
        at = {row.address: ChannelKey("ses", row.id, row.organization_id) for row in rows}
    found: dict[ChannelKey, tuple[str, ...]] = {}
    for address, both in known_as.items():
        if key := next((at[form] for form in both if form in at), None):
            found[key] = (*found.get(key, ()), address)
    return found
