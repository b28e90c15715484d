"""The sample tenants, connected: their channels' secrets, and the providers that know them."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.client import Channel
from local.providers.receiver import Receiver
from local.providers.twilio import Account
from local.stack import Local


@dataclass(frozen=True)
class Tenant:
    """An organization of the sample data: an agent's key of the API, and channels by their type."""

    slug: str
    name: str
    organization_id: str
    api_key: str
    channels: Mapping[str, Channel]


def connect(local: Local, **options: int) -> list[Tenant]:
    """Write the sample data if it is not there, and connect its channels with the providers.

    `options` are those of the migrations function's `sample` event. The keys of the API stay those
    of the first time, since writing the sample again revokes them.
    """
    sample = local.state.read("sample")
    if sample.get("database") != local.cluster.password:
        sample = local.migrations("sample", **options)
        local.state.write("sample", sample | {"database": local.cluster.password})
    return [_connect(local, described) for described in sample["tenants"]]


def _connect(local: Local, described: Mapping[str, Any]) -> Tenant:
    channels = [_channel(local, described, each) for each in described["channels"]]
    for channel in channels:
        _introduce(local, described["slug"], channel)
    return Tenant(
        slug=described["slug"],
        name=described["name"],
        organization_id=described["organization_id"],
        api_key=described["api_key"],
        channels={channel.type: channel for channel in channels},
    )


def _channel(local: Local, tenant: Mapping[str, Any], described: Mapping[str, Any]) -> Channel:
    password = local.state.secret(f"{described['provider']} of {tenant['slug']}")
    if described["provider"] == "twilio":
        sid = "AC" + tenant["organization_id"].replace("-", "")
        credentials = {"account_sid": sid, "auth_token": password}
    else:
        secret = "whsec_" + base64.b64encode(password.encode()).decode()
        credentials = {"secret": secret, "url": local.simulator.receiver_url(tenant["slug"])}
    local.aws.put_secret(described["secret_name"], json.dumps(credentials))
    return Channel(
        id=described["channel_id"],
        type=described["type"],
        provider=described["provider"],
        url=f"{local.gateway.url}{described['webhook_path']}",
        address=described["external_id"],
        credentials=credentials,
    )


def _introduce(local: Local, slug: str, channel: Channel) -> None:
    """Make the channel known to its simulated provider."""
    if channel.provider == "api":
        receiver = Receiver(str(channel.credentials["secret"]), channel.url)
        local.simulator.receivers.known[slug] = receiver
        return
    accounts = local.simulator.twilio.accounts
    known = accounts.get(channel.credentials["account_sid"])
    senders = (known.senders if known else frozenset()) | {channel.address}
    account = Account(str(channel.credentials["auth_token"]), senders)
    accounts[channel.credentials["account_sid"]] = account
