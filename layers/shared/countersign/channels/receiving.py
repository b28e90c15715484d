"""Taking a webhook in: prove it, queue it durably, and only then say so. No database is needed."""

from __future__ import annotations

from dataclasses import dataclass

from countersign.channels import keys
from countersign.channels.envelope import Envelope, to_message
from countersign.channels.keys import ChannelKey
from countersign.channels.messages import WebhookRequest
from countersign.channels.providers import Provider, provider_module
from countersign.platform import queues
from countersign.platform.errors import TooLarge, Unauthenticated, Unavailable
from countersign.platform.log import logger
from countersign.platform.secrets import RECHECK_SECONDS, secret, secret_json_versions


@dataclass(frozen=True, kw_only=True)
class ReceivingSettings:
    """What the way in needs; the secret of a channel is `channel_secrets_prefix` + its id."""

    inbound_queue_url: str
    raw_bucket: str
    channel_key_secret_id: str
    channel_secrets_prefix: str
    max_body_bytes: int = 4 * 1024 * 1024


def receive(
    channel_key: str, request: WebhookRequest, settings: ReceivingSettings, correlation_id: str
) -> tuple[str, str]:
    """Queue a verified request; returns content type and body of the answer its provider expects.

    Raises `TooLarge`, `NotFound` (key, channel), `Unauthenticated`, `Invalid` (only where the
    provider's `check` refuses) and `Unavailable`, and then nothing is queued.
    """
    if len(request.body) > settings.max_body_bytes:
        raise TooLarge(f"The body is larger than {settings.max_body_bytes} bytes.")
    key = keys.read(channel_key, secret(settings.channel_key_secret_id))
    logger.info("a webhook arrived", provider=key.provider, channel_id=str(key.channel_id))
    provider = provider_module(key.provider)
    _verify(provider, request, f"{settings.channel_secrets_prefix}{key.channel_id}")
    provider.check(request)
    _accept(key, request, settings, correlation_id)
    return provider.ANSWER


def _verify(provider: Provider, request: WebhookRequest, secret_id: str) -> None:
    """Verify with cached secrets, and again if they have been rotated since."""
    credentials = secret_json_versions(secret_id)
    try:
        provider.verify(request, credentials, request.received_at)
    except Unauthenticated:
        renewed = secret_json_versions(secret_id, max_age=RECHECK_SECONDS)
        if renewed == credentials:
            raise
        provider.verify(request, renewed, request.received_at)


def _accept(
    key: ChannelKey, request: WebhookRequest, settings: ReceivingSettings, correlation_id: str
) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    envelope = Envelope(key.organization_id, key.channel_id, key.provider, correlation_id, request)
    message = to_message(envelope, settings.raw_bucket)
    try:
        queues.send(settings.inbound_queue_url, [message])
    except (BotoCoreError, ClientError) as error:
        raise Unavailable("The request could not be queued; send it again.") from error
