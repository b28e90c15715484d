"""What SES tells through SNS: mails that came in, and what became of ours.

Nothing here is signed for us: that a queue takes messages from our own topics alone is its policy.
A mail's channel is found by whom it was brought for; an event names the channel in a tag, which is
part of a channel key and proves itself, or is of whoever sent the mail.
"""

from __future__ import annotations

from collections.abc import Sequence
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

_FIND = text("SELECT organization_id, id FROM find_mail_channel(:addresses)")


def envelope(message: dict[str, Any], database: Database, mac_key: Secret) -> Envelope | None:
    """Whom the SES event in an SNS message is for; None if for nobody, or if it is no event.

    `message` is as it comes without raw message delivery:
    https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
    Raises `Invalid` for what is not of SES, `NotFound` for a tag that no key was made of.
    """
    told = ses_events.read(message["Message"])
    if told is None:
        return None
    if ses_events.is_received(told):
        addresses = ses_events.received(told).verdicts.envelope_to
        channel = _channel_at(database, addresses)
    elif named := ses_events.subject_of(told).channel_key:
        channel = keys.read(named, mac_key)
    else:
        channel = _channel_at(database, [ses_events.source_of(told)])
    if channel is None:
        return None
    request = WebhookRequest(
        method="POST",
        url=message["TopicArn"],
        headers={},
        body=message["Message"].encode(),
        received_at=datetime.fromisoformat(message["Timestamp"]),
    )
    return Envelope(
        channel.organization_id, channel.channel_id, "ses", message["MessageId"], request
    )


def _channel_at(database: Database, addresses: Sequence[str]) -> ChannelKey | None:
    """The mail channel of the first address that is one's, whatever stands after a `+` in it."""
    known_as = [form for one in addresses for form in (one, replies.without_token(one))]
    with database.system() as session:
        found = session.execute(_FIND, {"addresses": known_as}).first()
    return ChannelKey("ses", found.id, found.organization_id) if found else None
