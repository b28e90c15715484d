"""Customers' messages, signed as each provider signs them, sent to the real endpoint."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

from local.errors import LocalError
from local.providers import receiver, twilio

_HTTP = urllib3.PoolManager(maxsize=16, retries=False, timeout=35)


@dataclass(frozen=True)
class Channel:
    """A channel of an organization as its provider sees it.

    `url` is the channel's webhook, `address` our own number there, `credentials` the JSON of the
    channel's secret.
    """

    id: str
    type: str
    provider: str
    url: str
    address: str
    credentials: Mapping[str, Any]


class Refused(LocalError):
    """The webhook did not answer 2xx; the message holds what it said."""


def send(channel: Channel, sender: str, text: str, *, name: str = "Kim Rivers") -> str:
    """Send a customer's message to the channel; returns the provider's id of it.

    `sender` is a number for SMS and WhatsApp, any address for an `api` channel, whose conversation
    is then named after it.
    """
    return _SENDERS[channel.provider](channel, sender, text, name)


def _send_twilio(channel: Channel, sender: str, text: str, name: str) -> str:
    sid = "SM" + secrets.token_hex(16)
    form = {
        "SmsMessageSid": sid,
        "NumMedia": "0",
        "SmsSid": sid,
        "SmsStatus": "received",
        "Body": text,
        "To": channel.address,
        "NumSegments": str(1 + len(text) // 160),
        "MessageSid": sid,
        "AccountSid": str(channel.credentials["account_sid"]),
        "From": sender,
        "ApiVersion": twilio.API,
    }
    if channel.type == "whatsapp":
        form["From"] = f"whatsapp:{sender.removeprefix('whatsapp:')}"
        form |= {"ProfileName": name, "WaId": form["From"].partition("+")[2], "MessageType": "text"}
    token = str(channel.credentials["auth_token"])
    _post(channel.url, urlencode(form).encode(), twilio.signed_headers(token, channel.url, form))
    return sid


def _send_api(channel: Channel, sender: str, text: str, name: str) -> str:
    message_id = f"in_{secrets.token_hex(12)}"
    data = {
        "message_id": message_id,
        "conversation_id": f"conversation of {sender}",
        "sender": {"address": sender, "name": name},
        "text": text,
    }
    body = receiver.envelope("message.received", data)
    headers = receiver.signed_headers(str(channel.credentials["secret"]), body)
    _post(channel.url, body, headers)
    return message_id


_SENDERS: dict[str, Callable[[Channel, str, str, str], str]] = {
    "twilio": _send_twilio,
    "api": _send_api,
}


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Send the same request again on 5xx, as providers do."""
    for pause in (0.5, 1, 2, 4, 8, 0):
        answer = _HTTP.request("POST", url, body=body, headers=headers)
        if answer.status < 300:
            return
        if answer.status < 500:
            break
        time.sleep(pause)
    raise Refused(f"{url} answered {answer.status}: {answer.data.decode(errors='replace')}")
