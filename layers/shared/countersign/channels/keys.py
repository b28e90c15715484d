"""The channel key in a webhook's path: names a channel and its organization, and proves itself.

`{provider}.{base64url(channel id ‖ organization id ‖ MAC)}`, so that a forged path is told from a
real one without any look-up. The MAC is the first 16 bytes of HMAC-SHA256 (RFC 2104, section 5).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from uuid import UUID

from countersign.platform.errors import NotFound
from countersign.platform.secrets import Secret

_KEY = re.compile(r"([a-z][a-z0-9_]*)\.([A-Za-z0-9_-]{64})")


@dataclass(frozen=True)
class ChannelKey:
    """Whom a webhook is for, as its path says."""

    provider: str
    channel_id: UUID
    organization_id: UUID


def make(key: ChannelKey, mac_key: str) -> str:
    """The text of `key` for a webhook's path, made with the secret `mac_key`."""
    ids = key.channel_id.bytes + key.organization_id.bytes
    packed = base64.urlsafe_b64encode(ids + _mac(key.provider, ids, mac_key))
    return f"{key.provider}.{packed.decode()}"


def read(text: str, mac_key: Secret) -> ChannelKey:
    """The channel key that `text` is; raises `NotFound` unless it was made with `mac_key`.

    The previous value of `mac_key` counts too: keys stand in providers' settings for years.
    """
    match = _KEY.fullmatch(text)
    if match:
        provider, packed = match[1], base64.urlsafe_b64decode(match[2])
        ids, mac = packed[:32], packed[32:]
        if any(hmac.compare_digest(mac, _mac(provider, ids, key)) for key in mac_key.versions):
            return ChannelKey(provider, UUID(bytes=ids[:16]), UUID(bytes=ids[16:]))
    raise NotFound("There is no such webhook; copy its address from the channel's settings.")


def _mac(provider: str, ids: bytes, mac_key: str) -> bytes:
    signed = provider.encode() + b"." + ids
    return hmac.digest(mac_key.encode(), signed, hashlib.sha256)[:16]
