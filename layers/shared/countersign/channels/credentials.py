"""The credentials of a channel, for the functions that call its provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from countersign.channels.providers import ProviderSettings
from countersign.platform import secrets


@dataclass(frozen=True, kw_only=True)
class CallingSettings(ProviderSettings):
    """What calls a provider; the secret of a channel is `channel_secrets_prefix` + its id."""

    channel_secrets_prefix: str


def credentials(
    channel_id: UUID, settings: CallingSettings, max_age: float = secrets.LIFETIME_SECONDS
) -> dict[str, Any]:
    """What the channel's secret holds, read at most `max_age` seconds ago.

    Raises `NotFound`, `Unavailable`.
    """
    return secrets.secret_json(settings.channel_secrets_prefix + str(channel_id), max_age)
