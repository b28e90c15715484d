"""Making the call that a claim gives the right to: outside any transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from countersign.channels import keys
from countersign.channels.attempts import Claim
from countersign.channels.credentials import CallingSettings, credentials
from countersign.channels.messages import (
    Accepted,
    Outgoing,
    OutgoingMail,
    SendResult,
    Throttled,
    Unknown,
    Unreached,
)
from countersign.channels.providers import provider_module
from countersign.channels.tables import Delivery
from countersign.platform import secrets, storage
from countersign.platform.errors import CountersignError, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from countersign.mail.writing import File


@dataclass(frozen=True, kw_only=True)
class SendingSettings(CallingSettings):
    """What a function that sends must know."""

    public_url: str
    channel_key_secret_id: str
    messages_bucket: str
    """Where the files that mails take along lie."""


def send(claim: Claim, settings: SendingSettings) -> SendResult:
    """Try once to send what was claimed; whatever happens is in the result.

    Where an earlier try may have arrived, it is looked up first, and sent only if it did not.
    """
    try:
        there = _look_first(claim, settings) if claim.look_first else None
        return there or _send(claim, settings, secrets.LIFETIME_SECONDS)
    except Unauthenticated:
        return _send_anew(claim, settings)
    except CountersignError as error:
        return Unreached(error.detail)


def _send_anew(claim: Claim, settings: SendingSettings) -> SendResult:
    """Send with a secret read anew: it may have been rotated. Else whoever keeps it must act."""
    try:
        return _send(claim, settings, 0)
    except CountersignError as error:
        return Unreached(error.detail)


def _send(claim: Claim, settings: SendingSettings, max_age: float) -> SendResult:
    module = provider_module(claim.channel.provider)
    outgoing = _outgoing(claim, settings)
    if outgoing.mail:
        files = _files(claim, settings.messages_bucket)
        outgoing = replace(outgoing, mail=replace(outgoing.mail, attachments=files))
    return module.send(outgoing, credentials(claim.channel.id, settings, max_age), settings)


def _files(claim: Claim, bucket: str) -> tuple[File, ...]:
    """What a mail takes along. Raises `Unavailable`, `NotFound`."""
    from countersign.mail.writing import File

    return tuple(
        File(one["file_name"], one["mime_type"], storage.get(bucket, one["key"]))
        for one in claim.delivery.payload.get("attachments", ())
    )


def _look_first(claim: Claim, settings: SendingSettings) -> SendResult | None:
    """What became of an earlier try that was answered 5xx; None if it did not arrive."""
    try:
        found = look_up(claim, settings)
    except Unavailable as error:
        return Throttled(None, error.detail, may_have_arrived=True)
    ours = [one for one in found if one not in claim.owned]
    if len(ours) > 1:
        return Unknown("An earlier try may be one of several equal messages.")
    return Accepted(ours[0]) if ours else None


def look_up(claim: Claim, settings: SendingSettings) -> list[str]:
    """The provider's ids of what equals the claimed delivery. Raises `Unavailable`."""
    module = provider_module(claim.channel.provider)
    outgoing = _outgoing(claim, settings)
    held = credentials(claim.channel.id, settings)
    return module.look_up(outgoing, held, settings, claim.since)


def _outgoing(claim: Claim, settings: SendingSettings) -> Outgoing:
    delivery, channel = claim.delivery, claim.channel
    secret = secrets.secret(settings.channel_key_secret_id)
    named = keys.ChannelKey(channel.provider, channel.id, channel.organization_id)
    key = keys.make(named, secret.current)
    is_mail = "message_id" in delivery.payload
    return Outgoing(
        delivery_id=delivery.id,
        attempt_id=claim.attempt_id,
        sender=delivery.sender,
        recipient=delivery.recipient,
        text=delivery.payload["text"],
        html=_html(delivery) if is_mail else None,
        external_conversation_id=delivery.payload.get("conversation"),
        mail=_mail(claim, secret.current) if is_mail else None,
        callback_url=f"{settings.public_url}/webhooks/{key}?attempt={claim.attempt_id}",
    )


def _html(delivery: Delivery) -> str:
    from countersign.mail.plain import as_html

    return as_html(delivery.payload["text"])


def _mail(claim: Claim, mac_key: str) -> OutgoingMail:
    # Few channels have mail: the others start without the room of it.
    from countersign.mail.automatic import MARK
    from countersign.mail.model import Address

    delivery, channel, payload = claim.delivery, claim.channel, claim.delivery.payload
    to, cc = ([Address(one["name"], one["address"]) for one in payload[n]] for n in ("to", "cc"))
    return OutgoingMail(
        subject=payload["subject"],
        sender_name=channel.name,
        to=tuple(to),
        cc=tuple(cc),
        reply_to=(Address(channel.name, _reply_address(claim, mac_key)),),
        message_id=payload["message_id"],
        in_reply_to=next(reversed(payload["references"]), None),
        references=tuple(payload["references"]),
        headers={MARK: str(delivery.id)},
    )


def _reply_address(claim: Claim, mac_key: str) -> str:
    from countersign.mail import replies

    address = claim.channel.inbound_address or claim.channel.external_id
    if claim.delivery.conversation_id is None or not replies.fits(address):
        return address
    return replies.make(address, claim.delivery.conversation_id, mac_key)
