"""SendGrid: mail out by its API v3, in by Inbound Parse; its Event Webhook tells what became of it.

Credentials are `{"api_key", "event_key", "parse_key"}`: the keys are those that the settings of the
Event Webhook and of the security policy of Inbound Parse show, which must post "the raw, full MIME
message". https://www.twilio.com/docs/sendgrid
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from countersign.channels.messages import (
    Accepted,
    ChannelType,
    DeliveryStatus,
    InboundMessage,
    Outgoing,
    Refused,
    SendResult,
    Throttled,
    Unknown,
    Unreached,
    WebhookRequest,
)
from countersign.channels.providers import (
    Credentials,
    ProviderSettings,
    mails,
    no_files,
    sendgrid_webhooks,
)
from countersign.channels.providers.calls import post
from countersign.mail import fieldwriting
from countersign.mail.model import Address
from countersign.mail.writing import Letter, write
from countersign.platform.calls import Answer
from countersign.platform.errors import Invalid, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from ecdsa import VerifyingKey

TYPES: Mapping[ChannelType, str] = {"email": ""}
CREDENTIALS = {"api_key": "SG.…", "event_key": "MFkw…", "parse_key": "MFkw…"}
PARSED_HEADERS: tuple[str, ...] = ("content-type",)
ANSWER = ("text/plain", "")
RESEND_IS_SAFE = False
MOST_CHARACTERS = mails.MOST_CHARACTERS
OPTED_OUT: frozenset[str] = frozenset()
fetch = no_files

MOST_BYTES = 30 * 1024 * 1024
REPLAY_WINDOW_SECONDS = 3 * 24 * 3600
"""SendGrid tries for as long to bring what it could not, and does not say that it signs anew. What
comes twice changes nothing: events and mails are known by their ids."""

_AHEAD_SECONDS = 300
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = "x-twilio-email-event-webhook-signature"
_SIGNED_AT = "x-twilio-email-event-webhook-timestamp"


def verify(request: WebhookRequest, credentials: Sequence[Credentials], now: datetime) -> None:
    """Raise `Unauthenticated` unless SendGrid signed the timestamp and the body as they came.

    By ECDSA over P-256 and SHA-256, the signature base64 of DER, with a key of its own for mails.
    https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
    https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/securing-your-parse-webhooks
    """
    name = "parse_key" if sendgrid_webhooks.is_mail(request) else "event_key"
    keys = [str(one[name]) for one in credentials if one.get(name)]
    if not keys:
        raise Unavailable(f"The channel's secret holds no {name}.")
    signed_at = request.headers.get(_SIGNED_AT, "")
    if not _TIMESTAMP.fullmatch(signed_at):
        raise Unauthenticated(f"{_SIGNED_AT} is missing or is not in whole Unix seconds.")
    age = now.timestamp() - int(signed_at)
    if not -_AHEAD_SECONDS <= age <= REPLAY_WINDOW_SECONDS:
        raise Unauthenticated(f"{_SIGNED_AT} is too far away from now.")
    digest = hashlib.sha256(signed_at.encode() + request.body).digest()
    signature = request.headers.get(_SIGNATURE, "")
    if not any(_is_signed(_key(key), digest, signature) for key in keys):
        raise Unauthenticated(f"{_SIGNATURE} is missing or was not made with the key of {name}.")


@functools.lru_cache(maxsize=64)
def _key(text: str) -> VerifyingKey:
    """A public key, base64 of its SubjectPublicKeyInfo. Raises `Unavailable` if it is none.

    How long this library takes may tell of a private key (CVE-2024-23342), and there is none here;
    the other one, `cryptography`, is 18 MB and imports in four times the time.
    """
    from ecdsa import NIST256p, VerifyingKey

    try:
        key = VerifyingKey.from_der(base64.b64decode(text, validate=True))
    except Exception:  # of many kinds, by what is wrong
        key = None
    if key is None or key.curve != NIST256p:
        raise Unavailable("A key in the channel's secret is no public key of P-256 in base64.")
    return key


def _is_signed(key: VerifyingKey, digest: bytes, signature: str) -> bool:
    from ecdsa import BadSignatureError
    from ecdsa.util import sigdecode_der

    try:
        return bool(
            key.verify_digest(base64.b64decode(signature, validate=True), digest, sigdecode_der)
        )
    except (BadSignatureError, ValueError):  # of DER, and of base64
        return False


def check(request: WebhookRequest) -> None:
    """Refuse nothing: what SendGrid once signed must not be lost."""


def parse(request: WebhookRequest) -> list[InboundMessage | DeliveryStatus]:
    """The mail, or the events, in the body; raises `Invalid` if neither can be read."""
    if sendgrid_webhooks.is_mail(request):
        return [sendgrid_webhooks.message(request)]
    return [*sendgrid_webhooks.statuses(request)]


def send(delivery: Outgoing, credentials: Credentials, settings: ProviderSettings) -> SendResult:
    """Send by `mail/send`; `Accepted` by the id that its events' `sg_message_id` begins with.

    The mail's bytes are SendGrid's; References name our own id, in case it gives another. Events
    bring back `cs_attempt`. There is no key for a second try: a 5xx, like no answer, is `Unknown`.
    Raises `Unauthenticated`. https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
    """
    missing = [name for name in CREDENTIALS if not credentials.get(name)]
    if missing:
        return Unreached(f"The channel's secret holds no {', '.join(missing)}.")
    try:
        letter = mails.traceable(mails.letter(delivery))
        # What could not be written must not be asked for either.
        size = len(write(letter))
        request = _request(delivery, letter)
    except Invalid as error:
        return Refused("invalid_mail", error.detail)
    if letter.needs_smtputf8:
        return Refused("smtputf8", "SendGrid takes no addresses that are not ASCII before the @.")
    if size > MOST_BYTES:
        return Refused("too_large", f"The mail has {size} bytes; SendGrid takes {MOST_BYTES}.")
    headers = {
        "authorization": f"Bearer {credentials['api_key']}",
        "content-type": "application/json",
    }
    body = json.dumps(request, ensure_ascii=False).encode()
    url = f"{settings.sendgrid_api_url}/v3/mail/send"
    result = post(url, headers, body, lambda answer: _settle(answer, letter))
    if isinstance(result, Throttled) and result.may_have_arrived:
        return Unknown(result.reason)
    return result


def _request(delivery: Outgoing, letter: Letter) -> dict[str, Any]:
    """Each address stands once; plain text comes before HTML; nothing is empty, nothing tracked."""
    to, cc = _everyone(letter)
    personalization: dict[str, Any] = {"to": to, **({"cc": cc} if cc else {})}
    content = [{"type": "text/plain", "value": letter.text or "\n"}]
    if letter.html:
        content.append({"type": "text/html", "value": letter.html})
    request: dict[str, Any] = {
        "personalizations": [personalization],
        "from": _person(letter.from_),
        "subject": letter.subject,
        "content": content,
        "headers": _headers(letter),
        "custom_args": {sendgrid_webhooks.ATTEMPT: str(delivery.attempt_id)},
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        },
    }
    if letter.reply_to:
        request["reply_to_list"] = [_person(one) for one in letter.reply_to]
    if letter.attachments:
        request["attachments"] = [_attachment(letter, n) for n in range(len(letter.attachments))]
    return request


def _everyone(letter: Letter) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    seen: set[str] = set()
    found: tuple[list[dict[str, str]], list[dict[str, str]]] = ([], [])
    for people, given in zip(found, (letter.to, letter.cc), strict=True):
        for address in given:
            person = _person(address)
            if person["email"].lower() not in seen:
                people.append(person)
            seen.add(person["email"].lower())
    return found


def _person(address: Address) -> dict[str, str]:
    email = fieldwriting.ascii_address(address.address)
    return {"email": email, **({"name": address.name} if address.name else {})}


def _headers(letter: Letter) -> dict[str, str]:
    fields = [
        fieldwriting.one_id("Message-ID", letter.message_id),
        *fieldwriting.ids("In-Reply-To", (letter.in_reply_to,) if letter.in_reply_to else ()),
        *fieldwriting.ids("References", letter.references),
        *(fieldwriting.plain(name, value) for name, value in letter.headers.items()),
    ]
    pairs = (field.replace("\r\n", "").partition(":") for field in fields)
    return {name: value.strip() for name, _, value in pairs}


def _attachment(letter: Letter, number: int) -> dict[str, str]:
    file = letter.attachments[number]
    is_inline = file.content_id is not None and letter.html is not None
    return {
        "content": base64.b64encode(file.content).decode(),
        "type": file.content_type,
        "filename": file.file_name or f"file-{number + 1}",
        "disposition": "inline" if is_inline else "attachment",
        **({"content_id": file.content_id} if is_inline and file.content_id else {}),
    }


def _settle(answer: Answer, letter: Letter) -> SendResult:
    if answer.ok:
        return Accepted(answer.headers.get("x-message-id") or letter.message_id)
    reason = _reason(answer)
    if answer.status == 401:
        raise Unauthenticated(reason)
    if answer.status == 403:
        # The sender is not verified, or the account has no credits: nothing about this mail.
        return Unreached(reason)
    return Refused(f"http_{answer.status}", reason)


def _reason(answer: Answer) -> str:
    """The API's first error: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors"""
    try:
        error = json.loads(answer.body)["errors"][0]
        said = " ".join(str(error[name]) for name in ("message", "field") if error.get(name))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = ""
    return f"SendGrid answered {answer.status}: {said[:300]}".replace("\0", "").rstrip(": ")


def look_up(
    delivery: Outgoing, credentials: Credentials, settings: ProviderSettings, since: datetime
) -> list[str]:
    """Nothing: only accounts that pay for it can list mails. Events settle what is unknown."""
    return []
