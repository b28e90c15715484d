"""Our reply addresses: each names a conversation and proves that we gave it out.

`support+{token}@example.com` is `support@example.com`'s (RFC 5233 calls the token the detail); the
token is base32, which no server's folding of case spoils, of the conversation's id and 72 bits of
an HMAC-SHA256 (RFC 2104) over it and the address. Who has it had a mail of that conversation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from uuid import UUID

LONGEST_LOCAL_PART = 23
"""Of an address that reply addresses are made of; with the token it has the 64 octets that a local
part may have (RFC 5321, 4.5.3.1.1)."""

_TOKEN = re.compile(r"(?P<local>[^@+]+)\+(?P<token>[a-z2-7]{40})@(?P<domain>[^@]+)")
_MAC_BYTES = 9


def make(address: str, conversation_id: UUID, key: str) -> str:
    """The reply address of a conversation at `address`, made with the secret `key`."""
    local, _, domain = address.rpartition("@")
    packed = conversation_id.bytes + _mac(address, conversation_id, key)
    return f"{local}+{base64.b32encode(packed).decode().lower()}@{domain}"


def fits(address: str) -> bool:
    """Whether reply addresses can be made at `address`."""
    return len(address.rpartition("@")[0].encode()) <= LONGEST_LOCAL_PART


def find(addresses: Iterable[str], keys: Iterable[str]) -> list[UUID]:
    """The conversations that the genuine reply addresses among `addresses` name, in their order."""
    known, found = list(keys), dict[UUID, None]()
    for text in addresses:
        match = _TOKEN.fullmatch(text.lower())
        if match:
            packed = base64.b32decode(match["token"].upper())
            conversation_id, mac = UUID(bytes=packed[:16]), packed[16:]
            address = f"{match['local']}@{match['domain']}"
            expected = [_mac(address, conversation_id, key) for key in known]
            if any(hmac.compare_digest(mac, one) for one in expected):
                found[conversation_id] = None
    return list(found)


def without_token(address: str) -> str:
    """The address that a reply address, or any with a detail, belongs to."""
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _mac(address: str, conversation_id: UUID, key: str) -> bytes:
    signed = b"reply." + address.lower().encode() + b"." + conversation_id.bytes
    return hmac.digest(key.encode(), signed, hashlib.sha256)[:_MAC_BYTES]
