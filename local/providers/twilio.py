"""Twilio's message and media resources, as far as Countersign uses them.

Shapes, limits and error codes are those of https://www.twilio.com/docs/messaging/api/message-resource,
https://www.twilio.com/docs/messaging/api/media-resource, https://www.twilio.com/docs/api/errors and
https://www.twilio.com/docs/messaging/guides/track-outbound-message-status.
"""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from local.http_server import Request, Response
from local.providers.callbacks import Callbacks, Event
from local.providers.faults import Fault

API = "2010-04-01"
BODY_CHARACTERS = 1600
STATUSES = ("queued", "sent", "delivered")
PAGE_SIZE, PAGE_SIZE_MOST = 50, 1000

_MESSAGES = re.compile(rf"/{API}/Accounts/(?P<account>[^/]+)/Messages(?:/(?P<sid>[^/]+))?\.json")
_MEDIA = re.compile(rf"/{API}/Accounts/(?P<account>[^/]+)/Messages/[^/]+/Media/(?P<sid>[^/.]+)")
# Where the API redirects to, in the place of mms.twiliocdn.com; the query is what proves the right.
_STORED = "/twilio-media/"
_ADDRESS = re.compile(r"(?P<channel>whatsapp:)?\+[1-9]\d{6,14}")


@dataclass(frozen=True)
class Account:
    """Credentials, and the addresses that may be senders (any, where none is named)."""

    auth_token: str
    senders: frozenset[str] = frozenset()


@dataclass
class Message:
    """An accepted message."""

    sid: str
    account_sid: str
    sender: str
    recipient: str
    body: str
    status_callback: str
    created_at: datetime
    status: str = "queued"
    sent_at: datetime | None = None
    error_code: int | None = None

    def resource(self) -> dict[str, Any]:
        """The JSON of the API."""
        updated = self.sent_at or self.created_at
        uri = f"/{API}/Accounts/{self.account_sid}/Messages/{self.sid}"
        return {
            "account_sid": self.account_sid,
            "api_version": API,
            "body": self.body,
            "date_created": format_datetime(self.created_at),
            "date_sent": format_datetime(self.sent_at) if self.sent_at else None,
            "date_updated": format_datetime(updated),
            "direction": "outbound-api",
            "error_code": self.error_code,
            "error_message": None,
            "from": self.sender,
            "messaging_service_sid": None,
            "num_media": "0",
            "num_segments": str(1 + (len(self.body) - 1) // 153),
            "price": None,
            "price_unit": "USD",
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": self.recipient,
            "uri": f"{uri}.json",
        }


@dataclass(frozen=True)
class Media:
    """A file of a customer's message."""

    content_type: str
    content: bytes
    right: str = field(default_factory=lambda: secrets.token_hex(16))


class Refused(Exception):
    """An error of the API: HTTP status, Twilio's code and its text."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Twilio:
    """The accounts known here, and all messages that were accepted for them."""

    callbacks: Callbacks
    accounts: dict[str, Account] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    media: dict[str, Media] = field(default_factory=dict)
    """Files of customers' messages by their SIDs."""
    _lock: Lock = field(default_factory=Lock)

    def answer(self, request: Request, fault: Fault) -> Response:
        """Create, fetch or list messages; give a media file."""
        try:
            if request.method == "GET" and request.path.startswith(_STORED):
                return self._stored(request)
            if request.method == "GET" and (match := _MEDIA.fullmatch(request.path)):
                self._authenticate(request, match["account"])
                return self._redirected(request, match["sid"])
            match = _MESSAGES.fullmatch(request.path)
            if match is None:
                raise _not_found(request.path)
            account_sid = self._authenticate(request, match["account"])
            if request.method == "POST" and match["sid"] is None:
                form = parse_qs(request.body.decode(), keep_blank_values=True)
                message = self._create(account_sid, {name: form[name][-1] for name in form}, fault)
                return _json(201, message)
            if request.method == "GET" and match["sid"]:
                return _json(200, self._fetch(account_sid, match["sid"], request.path))
            if request.method == "GET":
                return _json(200, self._page(account_sid, request))
            raise Refused(405, 20004, "Method not allowed")
        except Refused as error:
            return refusal(error.status, error.code, error.message)

    def take_media(self, account_sid: str, message_sid: str, media: Media) -> str:
        """Keep a file of a customer's message; returns the path that the webhook names it by."""
        sid = "ME" + secrets.token_hex(16)
        self.media[sid] = media
        return f"/{API}/Accounts/{account_sid}/Messages/{message_sid}/Media/{sid}"

    def _redirected(self, request: Request, sid: str) -> Response:
        if sid not in self.media:
            raise _not_found(request.path)
        location = f"{_STORED}{sid}?right={self.media[sid].right}"
        return Response(307, headers=(("Location", location),))

    def _stored(self, request: Request) -> Response:
        media = self.media.get(request.path.removeprefix(_STORED))
        if media is None or request.query != f"right={media.right}":
            return Response(403)
        return Response(200, media.content, (("Content-Type", media.content_type),))

    def _authenticate(self, request: Request, account_sid: str) -> str:
        scheme, _, encoded = request.header("Authorization").partition(" ")
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = password = ""
        account = self.accounts.get(account_sid)
        if scheme.lower() != "basic" or account is None or name != account_sid:
            raise Refused(401, 20003, "Authenticate")
        if not secrets.compare_digest(password.encode(), account.auth_token.encode()):
            raise Refused(401, 20003, "Authenticate")
        return account_sid

    def _create(self, account_sid: str, form: Mapping[str, str], fault: Fault) -> dict[str, Any]:
        _check(form, self.accounts[account_sid])
        message = Message(
            sid="SM" + secrets.token_hex(16),
            account_sid=account_sid,
            sender=form["From"],
            recipient=form["To"],
            body=form["Body"],
            status_callback=form.get("StatusCallback", ""),
            created_at=datetime.now(UTC),
        )
        with self._lock:
            self.messages.append(message)
        answer = message.resource()
        events = self._events(message, fault)
        if fault.early:
            self.callbacks.send_now(events)
        else:
            self.callbacks.schedule(events)
        return answer

    def _events(self, message: Message, fault: Fault) -> list[Event]:
        statuses = STATUSES if fault.statuses is None else fault.statuses
        return [self._event(message, status, fault.error_code) for status in statuses]

    def _event(self, message: Message, status: str, error_code: int | None) -> Event:
        form = {
            "SmsSid": message.sid,
            "SmsStatus": status,
            "MessageStatus": status,
            "To": message.recipient,
            "MessageSid": message.sid,
            "AccountSid": message.account_sid,
            "From": message.sender,
            "ApiVersion": API,
        }
        if message.recipient.startswith("whatsapp:"):
            form["ChannelPrefix"] = "whatsapp"
            form["ChannelToAddress"] = message.recipient
        if status in ("failed", "undelivered") and error_code is not None:
            form["ErrorCode"] = str(error_code)

        def reach() -> None:
            message.status = status
            if status != "queued":
                message.sent_at = message.sent_at or datetime.now(UTC)
            if "ErrorCode" in form:
                message.error_code = error_code

        def headers() -> Mapping[str, str]:
            token = self.accounts[message.account_sid].auth_token
            return signed_headers(token, message.status_callback, form)

        return Event(message.status_callback, urlencode(form).encode(), headers, reach)

    def _fetch(self, account_sid: str, sid: str, path: str) -> dict[str, Any]:
        for message in self._of(account_sid):
            if message.sid == sid:
                return message.resource()
        raise _not_found(path)

    def _page(self, account_sid: str, request: Request) -> dict[str, Any]:
        given = parse_qs(request.query)
        query = {name: values[-1] for name, values in given.items()}
        found = [message for message in self._of(account_sid) if _matches(message, query)]
        size = min(int(query.get("PageSize", PAGE_SIZE)), PAGE_SIZE_MOST)
        page = int(query.get("Page", 0))
        shown = found[page * size : (page + 1) * size]

        def uri(number: int) -> str:
            return f"{request.path}?{urlencode(query | {'PageSize': size, 'Page': number})}"

        return {
            "end": page * size + max(len(shown) - 1, 0),
            "first_page_uri": uri(0),
            "next_page_uri": uri(page + 1) if (page + 1) * size < len(found) else None,
            "page": page,
            "page_size": size,
            "previous_page_uri": uri(page - 1) if page else None,
            "messages": [message.resource() for message in shown],
            "start": page * size,
            "uri": uri(page),
        }

    def _of(self, account_sid: str) -> Sequence[Message]:
        """This account's messages, newest first."""
        with self._lock:
            return [each for each in reversed(self.messages) if each.account_sid == account_sid]


def signed_headers(auth_token: str, url: str, form: Mapping[str, str]) -> dict[str, str]:
    """Headers of a request that Twilio makes to `url` with these form fields."""
    return {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
        "I-Twilio-Idempotency-Token": secrets.token_hex(16),
        "X-Twilio-Signature": RequestValidator(auth_token).compute_signature(url, dict(form)),
    }


def refusal(
    status: int, code: int, message: str, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """An error in Twilio's shape."""
    body = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return _json(status, body, headers)


def _check(form: Mapping[str, str], account: Account) -> None:
    recipient, sender = form.get("To", ""), form.get("From", "")
    if not recipient:
        raise Refused(400, 21604, "A 'To' phone number is required.")
    if not sender:
        raise Refused(400, 21603, "A 'From' phone number is required.")
    if not form.get("Body"):
        raise Refused(400, 21602, "Message body is required.")
    if len(form["Body"]) > BODY_CHARACTERS:
        raise Refused(400, 21617, "The concatenated message body exceeds the 1600 character limit")
    to_match, from_match = _ADDRESS.fullmatch(recipient), _ADDRESS.fullmatch(sender)
    if to_match is None:
        raise Refused(400, 21211, f"Invalid 'To' Phone Number: {recipient}")
    if from_match is None:
        raise Refused(400, 21212, f"Invalid 'From' Phone Number: {sender}")
    if to_match["channel"] != from_match["channel"]:
        raise Refused(
            400, 21910, "Invalid From and To pair. From and To should be of the same channel"
        )
    if recipient == sender:
        raise Refused(400, 21266, f"'To' and 'From' number cannot be the same: {recipient}")
    if account.senders and sender not in account.senders:
        if from_match["channel"]:
            raise Refused(
                400, 63007, "Twilio could not find a Channel with the specified From address"
            )
        raise Refused(
            400,
            21606,
            f"The From phone number {sender} is not a valid, SMS-capable inbound phone number"
            " or short code for your account.",
        )
    callback = form.get("StatusCallback", "")
    if callback and not urlsplit(callback).hostname:
        raise Refused(400, 21609, f"Invalid 'StatusCallback' URL: {callback}")


def _matches(message: Message, query: Mapping[str, str]) -> bool:
    if "To" in query and message.recipient != query["To"]:
        return False
    if "From" in query and message.sender != query["From"]:
        return False
    moment = message.sent_at or message.created_at
    for name, value in query.items():
        if name.startswith("DateSent") and not _within(moment, name[len("DateSent") :], value):
            return False
    return True


def _within(moment: datetime, comparison: str, value: str) -> bool:
    """`DateSent=`, `DateSent<=` and `DateSent>=` with a GMT day, or with a moment."""
    first = datetime.fromisoformat(value.replace("Z", "+00:00"))
    first = first if first.tzinfo else first.replace(tzinfo=UTC)
    last = first + (timedelta(days=1) if len(value) == len("2026-01-31") else timedelta(seconds=1))
    if comparison == "<":
        return moment < last
    return moment >= first if comparison == ">" else first <= moment < last


def _not_found(path: str) -> Refused:
    return Refused(404, 20404, f"The requested resource {path} was not found")


def _json(
    status: int, value: Mapping[str, Any], headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    content_type = ("Content-Type", "application/json;charset=utf-8")
    return Response(status, json.dumps(value).encode(), (content_type, *headers))
