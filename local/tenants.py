"""The sample tenants, connected: their channels' secrets, and the providers that know them."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from local.client import Channel
from local.providers import sendgrid, twilio
from local.providers.receiver import Receiver
from local.providers.ses import ConfigurationSet, ReceiptRule, Topic
from local.stack import Local

Described = Mapping[str, Any]
"""A tenant or a channel, as the migrations function's answer to `sample` describes it."""


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


def _connect(local: Local, described: Described) -> Tenant:
    channels = [_channel(local, described, each) for each in described["channels"]]
    return Tenant(
        slug=described["slug"],
        name=described["name"],
        organization_id=described["organization_id"],
        api_key=described["api_key"],
        channels={channel.type: channel for channel in channels},
    )


def _channel(local: Local, tenant: Described, described: Described) -> Channel:
    """The channel, known to its simulated provider, whose credentials are its secret."""
    webhook = f"{local.gateway.url}{described['webhook_path']}"
    password = local.state.secret(f"{described['provider']} of {tenant['slug']}")
    credentials = _INTRODUCTIONS[described["provider"]](
        local, tenant, described["external_id"], webhook, password
    )
    local.aws.put_secret(described["secret_name"], json.dumps(credentials))
    return Channel(
        id=described["channel_id"],
        type=described["type"],
        provider=described["provider"],
        url=local.simulator.mail_url if described["type"] == "email" else webhook,
        address=described["external_id"],
        credentials=credentials,
    )


def _introduce_twilio(
    local: Local, tenant: Described, address: str, webhook: str, password: str
) -> dict[str, str]:
    sid = "AC" + tenant["organization_id"].replace("-", "")
    accounts = local.simulator.twilio.accounts
    senders = accounts[sid].senders if sid in accounts else frozenset()
    accounts[sid] = twilio.Account(password, senders | {address})
    return {"account_sid": sid, "auth_token": password}


def _introduce_receiver(
    local: Local, tenant: Described, address: str, webhook: str, password: str
) -> dict[str, str]:
    secret = "whsec_" + base64.b64encode(password.encode()).decode()
    local.simulator.receivers.known[tenant["slug"]] = Receiver(secret, webhook)
    return {"secret": secret, "url": local.simulator.receiver_url(tenant["slug"])}


def _introduce_sendgrid(
    local: Local, tenant: Described, address: str, webhook: str, password: str
) -> dict[str, str]:
    account = sendgrid.Account(
        api_key=f"SG.{password}",
        event_url=webhook,
        event_key=sendgrid.SigningKey(f"events {password}"),
        parse_key=sendgrid.SigningKey(f"mails {password}"),
        domains=frozenset({_domain(address)}),
        parse_url=webhook,
    )
    local.simulator.sendgrid.accounts.append(account)
    return {
        "api_key": account.api_key,
        "event_key": account.event_key.public,
        "parse_key": account.parse_key.public,
    }


def _introduce_ses(
    local: Local, tenant: Described, address: str, webhook: str, password: str
) -> dict[str, str]:
    """Set SES up as docs/email.md says: a verified domain, and mail for it by a receipt rule."""
    aws, ses, outputs = local.aws, local.simulator.ses, local.outputs
    name, bucket = outputs["MailConfigurationSetName"], outputs["RawBucketName"]
    topic = _topic(local, outputs["MailTopicArn"])
    put = aws.client("s3").put_object
    ses.domains.add(_domain(address))
    ses.rule = ReceiptRule(bucket, lambda key, raw: put(Bucket=bucket, Key=key, Body=raw), topic)
    ses.configuration_sets[name] = _configuration_set(local, name)
    return {"configuration_set": name}


def _configuration_set(local: Local, name: str) -> ConfigurationSet:
    """As the template made it in the emulated AWS."""
    described = local.aws.client("sesv2").get_configuration_set_event_destinations(
        ConfigurationSetName=name
    )
    (destination,) = described["EventDestinations"]
    topic = _topic(local, destination["SnsDestination"]["TopicArn"])
    return ConfigurationSet(topic, frozenset(destination["MatchingEventTypes"]))


def _topic(local: Local, arn: str) -> Topic:
    return Topic(arn, local.aws.endpoint, partial(local.aws.signed_headers, "sns"))


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


_INTRODUCTIONS = {
    "twilio": _introduce_twilio,
    "api": _introduce_receiver,
    "sendgrid": _introduce_sendgrid,
    "ses": _introduce_ses,
}
