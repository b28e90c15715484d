"""A batch of webhooks takes effect: in one transaction a tenant, one by one where that fails."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from countersign.channels.envelope import Envelope, from_message
from countersign.channels.messages import DeliveryStatus, InboundMessage, RawMail
from countersign.channels.providers import provider_module
from countersign.drafting import effects
from countersign.drafting.effects import Webhook
from countersign.platform import clock, secrets, storage
from countersign.platform.db import Database
from countersign.platform.errors import Invalid, NotFound
from countersign.platform.log import logger
from countersign.platform.outbox import Outbox

_Item = tuple[str, Webhook]
"""A queue message's id, and what it holds."""


@dataclass(frozen=True, kw_only=True)
class IngestSettings:
    """Where large requests lie, where mails are kept, and what reply addresses are made with."""

    raw_bucket: str
    messages_bucket: str
    channel_key_secret_id: str


def ingest(
    outbox: Outbox, records: Iterable[tuple[str, str]], settings: IngestSettings
) -> list[str]:
    """Let each record take effect, once; returns the ids of those to be tried again.

    `records` are queue messages as `envelope.to_message` makes them, with their ids.
    """
    read: list[_Item] = []
    failed: list[str] = []
    for message_id, body in records:
        logger.set_correlation_id(None)
        try:
            webhooks = _read(outbox.database, body, settings)
            read += [(message_id, webhook) for webhook in webhooks]
        except Exception:
            logger.exception("a webhook's queue message cannot be read", message_id=message_id)
            failed.append(message_id)
    for organization_id, items in _groups(read):
        failed += _together(outbox, organization_id, items)
    return list(dict.fromkeys(failed))


def _read(database: Database, body: str, settings: IngestSettings) -> list[Webhook]:
    """What a queue message holds: nothing if that is for nobody here, a mail for each channel."""
    message = json.loads(body)
    envelopes = (
        _of_topic(database, message, settings)
        if "TopicArn" in message
        else [from_message(message, settings.raw_bucket)]
    )
    if not envelopes:
        return []
    try:
        events = provider_module(envelopes[0].provider).parse(envelopes[0].request)
    except Invalid as error:
        return [Webhook(envelope, (), error.detail) for envelope in envelopes]
    return [_webhook(envelope, events, settings) for envelope in envelopes]


def _of_topic(
    database: Database, message: dict[str, Any], settings: IngestSettings
) -> list[Envelope]:
    # Most installations hear nothing of SES: they start without it.
    from countersign.channels import topics

    try:
        found = topics.envelopes(message, database, secrets.secret(settings.channel_key_secret_id))
    except (Invalid, NotFound) as error:
        logger.warning("what SNS brought is no event of SES for us", reason=error.detail)
        return []
    if not found:
        logger.warning("what SNS brought is for no channel here", sns_id=message["MessageId"])
    return found


def _webhook(
    envelope: Envelope, events: Sequence[InboundMessage | DeliveryStatus], settings: IngestSettings
) -> Webhook:
    events = [_brought_to(envelope, event) for event in events]
    mails = [event.mail for event in events if isinstance(event, InboundMessage) and event.mail]
    keys = _keep(envelope, mails, settings) if mails else ()
    return Webhook(envelope, events, reply_keys=keys)


def _brought_to(
    envelope: Envelope, event: InboundMessage | DeliveryStatus
) -> InboundMessage | DeliveryStatus:
    """The event, without the addresses of other channels that the same mail was brought to."""
    if isinstance(event, DeliveryStatus) or not (event.mail and envelope.addresses):
        return event
    mail = event.mail.brought_to(envelope.addresses)
    return replace(event, mail=mail, recipient=envelope.addresses[0])


def _keep(envelope: Envelope, mails: Iterable[RawMail], settings: IngestSettings) -> Sequence[str]:
    """Keep the whole of mails; returns what their reply addresses may have been made with."""
    for mail in mails:
        key = mail.key(envelope.organization_id, envelope.channel_id)
        storage.put(settings.messages_bucket, key, mail.raw)
    return secrets.secret(settings.channel_key_secret_id).versions


def _groups(read: Iterable[_Item]) -> Iterator[tuple[UUID, list[_Item]]]:
    """Messages by tenant. A status or a mail alone: it finds only by reading what to lock."""
    messages: dict[UUID, list[_Item]] = defaultdict(list)
    for message_id, webhook in read:
        organization_id = webhook.envelope.organization_id
        if any(isinstance(event, DeliveryStatus) or event.mail for event in webhook.events):
            yield organization_id, [(message_id, webhook)]
        else:
            messages[organization_id].append((message_id, webhook))
    yield from messages.items()


def _together(outbox: Outbox, organization_id: UUID, items: list[_Item]) -> list[str]:
    """All in one transaction; if that fails, each in its own, so that one holds up no other."""
    alone = items[0][1] if len(items) == 1 else None
    logger.set_correlation_id(alone.envelope.correlation_id if alone else None)
    try:
        with outbox.transaction(organization_id) as session:
            effects.take_effect(session, [webhook for _, webhook in items], clock.now())
    except Exception:
        if not alone:
            failed = [_together(outbox, organization_id, [item]) for item in items]
            return [message_id for one in failed for message_id in one]
        logger.exception("a webhook did not take effect", message_id=items[0][0])
        return [items[0][0]]
    for message_id, webhook in items:
        _log(message_id, webhook.envelope)
    return []


def _log(message_id: str, envelope: Envelope) -> None:
    logger.set_correlation_id(envelope.correlation_id)
    logger.info(
        "a webhook took effect",
        message_id=message_id,
        organization_id=str(envelope.organization_id),
        channel_id=str(envelope.channel_id),
    )
