"""The providers, each a module with the same few functions, imported when it is first used.

A new provider is a file here and a line in `MODULES`. Where its API is, is a constant of that file,
or stands in a channel's secret where it differs by account, as for `api`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

from countersign.channels.messages import (
    ChannelType,
    DeliveryStatus,
    InboundMessage,
    Outgoing,
    SendResult,
    WebhookRequest,
)
from countersign.platform.errors import NotFound

MODULES = {
    "api": "countersign.channels.providers.api",
    "sendgrid": "countersign.channels.providers.sendgrid",
    "ses": "countersign.channels.providers.ses",
    "smtp": "countersign.channels.providers.smtp",
    "twilio": "countersign.channels.providers.twilio",
}

Credentials = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ProviderSettings:
    """What a function that sends must know of providers, beside the channels' secrets.

    Where Twilio's and SendGrid's APIs are, so that the local stack can stand in for them.
    """

    twilio_api_url: str = "https://api.twilio.com"
    sendgrid_api_url: str = "https://api.sendgrid.com"


class Provider(Protocol):
    """What every provider's module holds."""

    TYPES: Mapping[ChannelType, str]
    """The types of its channels, each with what our own addresses on it begin with."""
    CREDENTIALS: Mapping[str, str]
    """What a channel's secret must hold, by name, and what that looks like."""
    PARSED_HEADERS: tuple[str, ...]
    """The request headers that `parse` reads, in lower case."""
    ANSWER: tuple[str, str]
    """Content type and body of the answer to an accepted request."""
    RESEND_IS_SAFE: bool
    """Whether the receiver tells a second try of a delivery from another one."""
    MOST_CHARACTERS: int
    """How long a message may be, in code points."""
    OPTED_OUT: frozenset[str]
    """The codes of refusals that mean: this recipient wants no more messages."""

    def verify(
        self, request: WebhookRequest, credentials: Sequence[Credentials], now: datetime
    ) -> None:
        """Raise `Unauthenticated` unless one of `credentials` (newest first) signed `request`."""

    def check(self, request: WebhookRequest) -> None:
        """Raise `Invalid` if a verified `request` is to be refused at the door."""

    def parse(self, request: WebhookRequest) -> list[InboundMessage | DeliveryStatus]:
        """What a verified `request` tells; raises `Invalid` if that cannot be read."""

    def send(
        self, delivery: Outgoing, credentials: Credentials, settings: ProviderSettings
    ) -> SendResult:
        """Try once to send `delivery`; raise `Unauthenticated` if `credentials` are refused."""

    def look_up(
        self,
        delivery: Outgoing,
        credentials: Credentials,
        settings: ProviderSettings,
        since: datetime,
    ) -> list[str]:
        """The provider's ids of what it took since then that equals `delivery`.

        Raises `Unavailable` if the provider does not tell.
        """

    def fetch(
        self,
        url: str,
        credentials: Credentials,
        settings: ProviderSettings,
        *,
        most_bytes: int,
        seconds: float,
    ) -> bytes:
        """The bytes of a file that a message of the channel named by `url`.

        Raises `NotFound` for none of its files, `TooLarge`, `Unauthenticated` if `credentials` are
        refused, and `Unavailable`.
        """


def provider_module(name: str) -> Provider:
    """The provider of that name; raises `NotFound`."""
    if name not in MODULES:
        raise NotFound(f"There is no provider {name}; there are: {', '.join(MODULES)}.")
    return cast(Provider, importlib.import_module(MODULES[name]))


def no_files(
    url: str,
    credentials: Mapping[str, object],
    settings: object,
    *,
    most_bytes: int,
    seconds: float,
) -> bytes:
    """`fetch` of a provider whose messages bring their files along, or have none."""
    raise NotFound("Messages of this provider point to no files.")


if TYPE_CHECKING:
    from countersign.channels.providers import api, sendgrid, ses, smtp, twilio

    _conform: tuple[Provider, ...] = (api, sendgrid, ses, smtp, twilio)
