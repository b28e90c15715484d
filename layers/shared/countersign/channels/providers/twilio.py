"""Twilio: SMS and WhatsApp. Credentials are `{"account_sid", "auth_token"}`.

A WhatsApp address is a number with `whatsapp:` before it, and stays so in our records: it alone
tells the two apart. https://www.twilio.com/docs/messaging/api/message-resource
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urljoin, urlsplit, urlunsplit
from uuid import UUID

from urllib3 import make_headers
from urllib3.exceptions import HTTPError

from countersign.channels.messages import (
    Accepted,
    ChannelType,
    Consent,
    DeliveryStatus,
    InboundMessage,
    Media,
    Outgoing,
    Refused,
    SendResult,
    Status,
    Throttled,
    Unknown,
    Unreached,
    WebhookRequest,
)
from countersign.channels.providers import Credentials, ProviderSettings
from countersign.channels.providers.calls import get, post
from countersign.platform.calls import Answer, call, retry_after
from countersign.platform.errors import Invalid, NotFound, Unauthenticated, Unavailable

TYPES: Mapping[ChannelType, str] = {"sms": "", "whatsapp": "whatsapp:"}
CREDENTIALS = {"account_sid": "AC…", "auth_token": "…"}
PARSED_HEADERS: tuple[str, ...] = ()
# An empty TwiML document: "accepted, and say nothing back".
# https://www.twilio.com/docs/usage/webhooks/messaging-webhooks
ANSWER = ("text/xml", "<Response/>")
RESEND_IS_SAFE = False
# https://www.twilio.com/docs/api/errors/21610
OPTED_OUT = frozenset({"21610"})

MOST_CHARACTERS = 1600
_MOST_FIELDS = 1000
_LOOK_UP_SECONDS = 20.0
_MOST_PAGE_BYTES = 16 * 1024 * 1024
_MOST_REDIRECTS = 3
_WHATSAPP = "whatsapp:"
_PORTS = {"http": "80", "https": "443"}
_CHANNEL_FIELDS = (
    "Address",
    "ButtonPayload",
    "ButtonText",
    "Label",
    "Latitude",
    "Longitude",
    "MessagingServiceSid",
    "OptOutType",
    "OriginalRepliedMessageSid",
    "WaId",
)
_OPT_OUT_TYPES: dict[str, Consent] = {"STOP": "opted_out", "START": "opted_in"}
_KEYWORDS: dict[str, Consent] = {
    **dict.fromkeys(
        ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"), "opted_out"
    ),
    **dict.fromkeys(("START", "UNSTOP", "YES"), "opted_in"),
}
_STATUS: dict[str, Status] = {
    "accepted": "sent",
    "scheduled": "sent",
    "queued": "sent",
    "sending": "sent",
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "failed": "failed",
    "undelivered": "failed",
    "canceled": "failed",
}


def verify(request: WebhookRequest, credentials: Sequence[Credentials], now: datetime) -> None:
    """Raise `Unauthenticated` unless `X-Twilio-Signature` is base64 HMAC-SHA1 with an auth token.

    Signed are the URL and each name and value of the form, sorted, a repeated pair once; for any
    other body the URL, whose `bodySHA256` is the body's hash. Twilio signs no time: a replay is
    known by its message's id. https://www.twilio.com/docs/usage/webhooks/webhooks-security
    """
    tokens = [one["auth_token"] for one in credentials if one.get("auth_token")]
    if not tokens:
        raise Unavailable("The channel's secret holds no auth_token.")
    try:
        fields = _signed_fields(request)
        signature = request.headers.get("x-twilio-signature", "").encode()
        signed = [(url + fields).encode() for url in _url_forms(request.url)]
    except ValueError:
        raise Unauthenticated("The body is not a form in UTF-8, which is what is signed.") from None
    macs = [hmac.digest(token.encode(), text, hashlib.sha1) for token in tokens for text in signed]
    if not any(hmac.compare_digest(base64.b64encode(mac), signature) for mac in macs):
        raise Unauthenticated("X-Twilio-Signature is missing or was not made with this auth token.")


def _signed_fields(request: WebhookRequest) -> str:
    hashes = parse_qs(urlsplit(request.url).query).get("bodySHA256")
    if not hashes:
        return "".join(name + value for name, value in sorted(set(_form(request.body))))
    expected = hashlib.sha256(request.body).hexdigest()
    if not hmac.compare_digest(expected.encode(), hashes[0].encode()):
        raise Unauthenticated("The body does not have the hash bodySHA256 in its URL.")
    return ""


def _form(body: bytes) -> list[tuple[str, str]]:
    """The fields in order; raises `ValueError` on what is not UTF-8 or on too many."""
    return parse_qsl(
        body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
    )


def _url_forms(url: str) -> set[str]:
    """`url` as it is, without its port and with it: Twilio signs either, as its own SDKs know."""
    parts = urlsplit(url)
    host, _, port = parts.netloc.partition(":")
    with_port = f"{host}:{port or _PORTS.get(parts.scheme, '')}"
    return {url, *(urlunsplit(parts._replace(netloc=netloc)) for netloc in (host, with_port))}


def check(request: WebhookRequest) -> None:
    """Refuse nothing: Twilio would bring again for ever what it once signed and sent."""


def parse(request: WebhookRequest) -> list[InboundMessage | DeliveryStatus]:
    """A message or a status of one; raises `Invalid` naming what is missing or unheard of.

    https://www.twilio.com/docs/messaging/guides/webhook-request and
    https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
    """
    try:
        # Postgres stores no U+0000.
        form = {name: value.replace("\0", "\ufffd") for name, value in _form(request.body)}
    except ValueError:
        raise Invalid("The body is not a form in UTF-8.") from None
    return [_status(form, request) if "MessageStatus" in form else _message(form, request)]


def _message(form: dict[str, str], request: WebhookRequest) -> InboundMessage:
    sid, sender, recipient = _required(form, "MessageSid", "From", "To")
    return InboundMessage(
        provider_event_id=sid,
        external_id=sid,
        conversation_external_id=sender,
        sender=sender,
        sender_name=form.get("ProfileName") or None,
        recipient=recipient,
        text=form.get("Body", ""),
        sent_at=request.received_at,
        media=tuple(_media(form)),
        consent=_consent(form),
        metadata={name: form[name] for name in _CHANNEL_FIELDS if form.get(name)},
    )


def _consent(form: dict[str, str]) -> Consent | None:
    """What Twilio did on hearing a keyword, which is the whole of the text.

    It says so only of services with keywords of their own; its default ones are for SMS.
    https://help.twilio.com/articles/223134027 and https://help.twilio.com/articles/31560110671259
    """
    if "OptOutType" in form:
        return _OPT_OUT_TYPES.get(form["OptOutType"])
    is_sms = not form["From"].startswith(_WHATSAPP)
    return _KEYWORDS.get(form.get("Body", "").strip().upper()) if is_sms else None


def _media(form: dict[str, str]) -> Iterator[Media]:
    for number in range(len(form)):
        if url := form.get(f"MediaUrl{number}"):
            yield Media(url, form.get(f"MediaContentType{number}") or "application/octet-stream")


def _status(form: dict[str, str], request: WebhookRequest) -> DeliveryStatus:
    sid, word = _required(form, "MessageSid", "MessageStatus")
    if word not in _STATUS:
        raise Invalid(f"MessageStatus is none of {', '.join(_STATUS)}.")
    code = form.get("ErrorCode") or None
    reason = form.get("ErrorMessage") or form.get("ChannelStatusMessage")
    return DeliveryStatus(
        provider_event_id=f"{sid}:{word}",
        status=_STATUS[word],
        attempt_id=_attempt_id(request.url),
        provider_message_id=sid,
        error_code=code,
        error_reason=reason or (code and f"See https://www.twilio.com/docs/api/errors/{code}"),
        occurred_at=request.received_at,
    )


def _attempt_id(url: str) -> UUID | None:
    values = parse_qs(urlsplit(url).query).get("attempt")
    try:
        return UUID(values[0]) if values else None
    except ValueError:
        raise Invalid("The URL's attempt is not a UUID.") from None


def _required(form: dict[str, str], *names: str) -> list[str]:
    missing = [name for name in names if not form.get(name)]
    if missing:
        raise Invalid(f"The form lacks {', '.join(missing)}.")
    return [form[name] for name in names]


def send(delivery: Outgoing, credentials: Credentials, settings: ProviderSettings) -> SendResult:
    """Create a Message; its status comes to `callback_url`.

    https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource. A 429 was
    not processed (error 20429), a 5xx asks to try again. Raises `Unauthenticated`.
    """
    if not (credentials.get("account_sid") and credentials.get("auth_token")):
        return Unreached("The channel's secret holds no account_sid or no auth_token.")
    if len(delivery.text) > MOST_CHARACTERS:
        return Refused("21617", f"The text is longer than {MOST_CHARACTERS} characters.")
    sender, recipient = _addresses(delivery)
    form = {
        "To": recipient,
        "From": sender,
        "Body": delivery.text,
        "StatusCallback": delivery.callback_url,
    }
    headers = {
        **_authorization(credentials),
        "content-type": "application/x-www-form-urlencoded",
    }
    return post(_messages_url(credentials, settings), headers, urlencode(form).encode(), _settle)


def _addresses(delivery: Outgoing) -> tuple[str, str]:
    """Sender and recipient; where one is a WhatsApp address, so is the other."""
    addresses = (delivery.sender, delivery.recipient)
    if not any(address.startswith(_WHATSAPP) for address in addresses):
        return addresses
    sender, recipient = (_WHATSAPP + address.removeprefix(_WHATSAPP) for address in addresses)
    return sender, recipient


def _messages_url(credentials: Credentials, settings: ProviderSettings) -> str:
    return f"{_account_url(credentials, settings)}/Messages.json"


def _account_url(credentials: Credentials, settings: ProviderSettings) -> str:
    return f"{settings.twilio_api_url}/2010-04-01/Accounts/{credentials['account_sid']}"


def _authorization(credentials: Credentials) -> dict[str, str]:
    user = f"{credentials['account_sid']}:{credentials['auth_token']}"
    return dict(make_headers(basic_auth=user))


def _settle(answer: Answer) -> SendResult:
    document = _document(answer)
    if answer.ok:
        sid = document.get("sid")
        return Accepted(sid) if sid else Unknown("Twilio took it, but its answer has no sid.")
    code = str(document.get("code") or f"http_{answer.status}")
    reason = str(document.get("message") or f"Twilio answered {answer.status}.")
    if answer.status == 401:
        raise Unauthenticated(reason)
    if code == "20429":
        return Throttled(retry_after(answer.headers), reason)
    return Refused(code, reason)


def _document(answer: Answer) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def look_up(
    delivery: Outgoing, credentials: Credentials, settings: ProviderSettings, since: datetime
) -> list[str]:
    """The SIDs of messages created since then with this sender, recipient and exact text.

    The list has the newest first. Its `DateSent` filter would hide what Twilio still holds in its
    queue, so the time is compared here, to the second as Twilio gives it. Raises `Unavailable`.
    """
    sender, recipient = _addresses(delivery)
    query = urlencode({"To": recipient, "From": sender, "PageSize": 1000})
    url: str | None = f"{_messages_url(credentials, settings)}?{query}"
    deadline = time.monotonic() + _LOOK_UP_SECONDS
    found: list[str] = []
    while url:
        page = _page(url, credentials, deadline)
        recent = [m for m in page["messages"] if _created(m) >= since.replace(microsecond=0)]
        found += [m["sid"] for m in recent if m["body"] == delivery.text]
        following = page.get("next_page_uri")
        url = settings.twilio_api_url + following if following and recent else None
    return found


def _page(url: str, credentials: Credentials, deadline: float) -> dict[str, Any]:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise Unavailable("Twilio's list of messages: not read in time.")
    try:
        answer = call(
            "GET",
            url,
            _authorization(credentials),
            seconds=seconds,
            most_bytes=_MOST_PAGE_BYTES,
        )
    except HTTPError as error:
        raise Unavailable(f"Twilio's list of messages: {type(error).__name__}.") from None
    document = _document(answer)
    if not answer.ok or "messages" not in document:
        raise Unavailable(f"Twilio's list of messages: HTTP {answer.status}.")
    return document


def _created(message: dict[str, Any]) -> datetime:
    return parsedate_to_datetime(message["date_created"])


def fetch(
    url: str,
    credentials: Credentials,
    settings: ProviderSettings,
    *,
    most_bytes: int,
    seconds: float,
) -> bytes:
    """A media file of a message: the API asks for credentials and redirects to where it lies.

    Whoever has the auth token can sign any URL, so only the account's own resources are asked for.
    https://www.twilio.com/docs/messaging/api/media-resource
    """
    if not (credentials.get("account_sid") and credentials.get("auth_token")):
        raise Unavailable("The channel's secret holds no account_sid or no auth_token.")
    if not url.startswith(_account_url(credentials, settings) + "/"):
        raise NotFound("The file is not one of the channel's Twilio account.")
    deadline = time.monotonic() + seconds
    headers = _authorization(credentials)
    for _ in range(1 + _MOST_REDIRECTS):
        left = max(0.1, deadline - time.monotonic())
        answer = get(url, headers, most_bytes=most_bytes, seconds=left)
        if answer.ok:
            return answer.body
        url, headers = urljoin(url, answer.headers.get("location", "")), {}
        if not url.startswith(("https://", settings.twilio_api_url + "/")):
            raise NotFound("Twilio redirects to what is not reached over TLS.")
    raise Unavailable("Twilio redirects without end.")
