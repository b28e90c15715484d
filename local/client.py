"""Customers' messages, signed as each provider signs them, sent to the real endpoint.

Mails go to the simulated providers, which bring them as the real ones do.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

from local import mails
from local.errors import LocalError
from local.providers import receiver, twilio

_HTTP = urllib3.PoolManager(maxsize=16, retries=False, timeout=35)


@dataclass(frozen=True)
class Channel:
    """A channel of an organization as its provider sees it.

    `url` is where customers' messages go: the channel's webhook, or for a mail channel whoever
    takes in its mail. `address` is our own there, `credentials` the JSON of the channel's secret.
    """

    id: str
    type: str
    provider: str
    url: str
    address: str
    credentials: Mapping[str, Any]


class Refused(LocalError):
    """The webhook did not answer 2xx; the message holds what it said."""


def send(channel: Channel, sender: str, text: str, *, name: str = "Kim Rivers") -> None:
    """Send a customer's message to the channel.

    `sender` is a number for SMS and WhatsApp, any address for an `api` channel, whose conversation
    is then named after it. By SES goes an answer with a quote and a file, by SendGrid a mail that
    is HTML alone.
    """
    _SENDERS[channel.provider](channel, sender, text, name)


def _send_twilio(channel: Channel, sender: str, text: str, name: str) -> None:
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


def _send_api(channel: Channel, sender: str, text: str, name: str) -> None:
    data = {
        "message_id": f"in_{secrets.token_hex(12)}",
        "conversation_id": f"conversation of {sender}",
        "sender": {"address": sender, "name": name},
        "text": text,
    }
    body = receiver.envelope("message.received", data)
    headers = receiver.signed_headers(str(channel.credentials["secret"]), body)
    _post(channel.url, body, headers)


def _send_ses(channel: Channel, sender: str, text: str, name: str) -> None:
    _bring(channel, sender, mails.reply_with_photo(sender, name, channel.address, text))


def _send_sendgrid(channel: Channel, sender: str, text: str, name: str) -> None:
    _bring(channel, sender, mails.html_alone(sender, name, channel.address, text))


def _bring(channel: Channel, sender: str, raw: bytes) -> None:
    query = urlencode({"from": sender, "to": channel.address})
    _post(f"{channel.url}?{query}", raw, {"Content-Type": "message/rfc822"})


_SENDERS: dict[str, Callable[[Channel, str, str, str], None]] = {
    "twilio": _send_twilio,
    "api": _send_api,
    "ses": _send_ses,
    "sendgrid": _send_sendgrid,
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
