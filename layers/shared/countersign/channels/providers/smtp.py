"""SMTP: a mail server that takes mail for the world. Credentials are `{"host", "port", "username",
"password", "security"}`.

`security` is `starttls` (usually port 587), `tls` (465, RFC 8314), or `none` for a server next door
that asks for no password, which never goes out in clear. Certificates are verified.

Nothing comes in by it: answers and reports of failure are mails, to be read where the mailbox is.
"""

from __future__ import annotations

import functools
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

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
)
from countersign.channels.providers.smtp_client import Connection, Reply
from countersign.mail.fieldwriting import ascii_address
from countersign.mail.writing import Letter, write
from countersign.platform.errors import Invalid, NotFound, Unauthenticated

TYPES: Mapping[ChannelType, str] = {"email": ""}
CREDENTIALS = {
    "host": "smtp.example.com",
    "port": "587",
    "username": "…",
    "password": "…",
    "security": "starttls",
}
PARSED_HEADERS: tuple[str, ...] = ()
ANSWER = ("text/plain", "")
RESEND_IS_SAFE = False
MOST_CHARACTERS = mails.MOST_CHARACTERS
OPTED_OUT: frozenset[str] = frozenset()
fetch = no_files

SECONDS = 25.0
"""For one try, of which two fit in a function's time. The standard would wait for ten minutes for
the last answer (RFC 5321, 4.5.3.2.6): what takes longer than this may have arrived."""
IDLE_SECONDS = 30.0
MOST_MAILS = 50
"""On one connection: some servers count."""

_CHECK_SECONDS = 3.0
_SECURITIES = ("starttls", "tls", "none")


@dataclass(frozen=True)
class _Account:
    host: str
    port: int
    security: str
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass
class _Open:
    """A connection that is logged in, and what it was used for."""

    connection: Connection
    mails: int = 0
    last_used_at: float = 0.0
    """By the wall clock: a function's own stands still while it is frozen."""


class _Ended(Exception):
    """The try is over."""

    def __init__(self, result: SendResult) -> None:
        super().__init__(type(result).__name__)
        self.result = result


_idle: dict[_Account, _Open] = {}
_lock = threading.Lock()


def verify(request: WebhookRequest, credentials: Sequence[Credentials], now: datetime) -> None:
    """Raise `NotFound`: nobody has such a webhook."""
    raise NotFound("An SMTP channel takes nothing in by webhooks.")


def check(request: WebhookRequest) -> None:
    """Refuse nothing: nothing comes here."""


def parse(request: WebhookRequest) -> list[InboundMessage | DeliveryStatus]:
    """Raise `Invalid`: nothing comes here."""
    raise Invalid("An SMTP channel takes nothing in by webhooks.")


def look_up(
    delivery: Outgoing, credentials: Credentials, settings: ProviderSettings, since: datetime
) -> list[str]:
    """Nothing: a mail server does not tell. What is unknown stays so until a person says."""
    return []


def send(delivery: Outgoing, credentials: Credentials, settings: ProviderSettings) -> SendResult:
    """Hand the mail over; it is `Accepted` by its own Message-ID, which reports of failure name.

    4yz is to be tried again, 5yz is refused (RFC 5321, 4.2.1), with the enhanced code (RFC 3463) if
    there is one. A server that refuses whom the delivery is for gets nothing; if it refuses another
    recipient the rest get the mail, and `note` says so. Only from the mail's last dot until the
    answer to it is the result `Unknown`. Raises `Unauthenticated`.
    """
    account = _account(credentials)
    if isinstance(account, Unreached):
        return account
    try:
        letter = mails.letter(delivery)
        raw = write(letter)
        recipient = ascii_address(delivery.recipient)
        sender = ascii_address(delivery.sender)
    except Invalid as error:
        return Refused("invalid_mail", error.detail)
    deadline = time.monotonic() + SECONDS
    try:
        open_ = _open(account, sender.rpartition("@")[2], deadline)
        note = _hand_over(open_.connection, letter, sender, recipient, raw)
        _keep(account, open_)
    except _Ended as ended:
        return ended.result
    return Accepted(letter.message_id, note)


def _account(credentials: Credentials) -> _Account | Unreached:
    security = credentials.get("security")
    needed = ("host", "port", "security") if security == "none" else CREDENTIALS
    missing = [name for name in needed if not credentials.get(name)]
    if missing:
        return Unreached(f"The channel's secret holds no {', '.join(missing)}.")
    port = str(credentials["port"])
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return Unreached("The port in the channel's secret is no port's number.")
    if security not in _SECURITIES:
        return Unreached(f"security in the channel's secret is none of {', '.join(_SECURITIES)}.")
    user = ("", "") if security == "none" else (credentials["username"], credentials["password"])
    return _Account(str(credentials["host"]), int(port), security, *map(str, user))


def _open(account: _Account, name: str, deadline: float) -> _Open:
    """A connection ready for a mail: one that was kept and still answers, or a new one."""
    with _lock:
        kept = _idle.pop(account, None)
    if kept:
        if _still_answers(kept):
            kept.connection.deadline = deadline
            return kept
        kept.connection.close()
    return _Open(_connect(account, name, deadline))


def _still_answers(kept: _Open) -> bool:
    if not 0 <= time.time() - kept.last_used_at < IDLE_SECONDS or kept.mails >= MOST_MAILS:
        return False
    kept.connection.deadline = time.monotonic() + _CHECK_SECONDS
    with suppress(OSError):
        return kept.connection.command("RSET").ok
    return False


def _keep(account: _Account, open_: _Open) -> None:
    open_.mails += 1
    open_.last_used_at = time.time()
    with _lock:
        before, _idle[account] = _idle.get(account), open_
    if before:
        before.connection.close()


def _connect(account: _Account, name: str, deadline: float) -> Connection:
    """A new connection, encrypted and logged in. Nothing of the mail has been said until then."""
    try:
        connection = Connection(account.host, account.port, deadline)
    except (OSError, UnicodeError) as error:  # the latter of a host that is no name
        raise _Ended(Unreached(f"No connection: {_kind(error)}.")) from None
    try:
        _begin(connection, account, name)
    except OSError as error:
        connection.close()
        raise _Ended(Unreached(f"The server cannot be talked to: {_kind(error)}.")) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _begin(connection: Connection, account: _Account, name: str) -> None:
    if account.security == "tls":
        connection.secure(_tls())
    _expect(connection.reply(), "greeted")
    _expect(connection.hello(name), "answered EHLO")
    if account.security == "starttls":
        if "STARTTLS" not in connection.extensions:
            raise _Ended(Unreached("The server offers no STARTTLS; nothing is sent in clear."))
        _expect(connection.command("STARTTLS"), "answered STARTTLS")
        connection.secure(_tls())
        _expect(connection.hello(name), "answered EHLO")
    if account.username:
        _log_in(connection, account)


def _log_in(connection: Connection, account: _Account) -> None:
    reply = connection.log_in(account.username, account.password)
    if reply is None:
        raise _Ended(Unreached("The server offers neither AUTH PLAIN nor LOGIN."))
    if 400 <= reply.number < 500:
        raise _Ended(Throttled(None, reply.reason))
    if not reply.ok:
        raise Unauthenticated(f"The server refused username and password: {reply.reason}")


def _expect(reply: Reply, what: str) -> None:
    """What a server says before it has heard of the mail is not about the mail."""
    if 400 <= reply.number < 500:
        raise _Ended(Throttled(None, reply.reason))
    if not reply.ok:
        raise _Ended(Unreached(f"The server {what}: {reply.reason}"))


def _hand_over(
    connection: Connection, letter: Letter, sender: str, recipient: str, raw: bytes
) -> str | None:
    """The mail's transaction (RFC 5321, 3.3); returns who else was refused."""
    try:
        note = _envelope(connection, letter, sender, recipient, raw)
        _accepted(connection.command("DATA"), 354)
        _write(connection, raw)
        _finish(connection)
    except OSError as error:
        connection.close()
        raise _Ended(Unreached(f"The connection broke before the end: {_kind(error)}.")) from None
    except (_Ended, Unauthenticated):
        connection.close()
        raise
    return note


def _envelope(
    connection: Connection, letter: Letter, sender: str, recipient: str, raw: bytes
) -> str | None:
    options = _options(connection.extensions, letter, raw)
    reply = connection.command(" ".join([f"MAIL FROM:<{sender}>", *options]))
    if reply.number == 530:
        raise Unauthenticated(f"The server asks for a username and password: {reply.reason}")
    _accepted(reply, 250)
    refused, taken = [], 0
    for address in letter.recipients:
        reply = connection.command(f"RCPT TO:<{address}>")
        if reply.number in (250, 251, 252):
            taken += 1
        elif address.lower() == recipient.lower():
            _accepted(reply, 250)
        else:
            refused.append(f"{address} was refused: {reply.reason}")
    if not taken:
        raise _Ended(Refused("no_recipient", " ".join(refused)))
    return " ".join(refused) or None


def _options(extensions: Mapping[str, str], letter: Letter, raw: bytes) -> list[str]:
    """RFC 1870 (SIZE), RFC 6531 (SMTPUTF8), RFC 6152 (8BITMIME)."""
    options = []
    if "SIZE" in extensions:
        most = extensions["SIZE"]
        if most.isdigit() and 0 < int(most) < len(raw):
            raise _Ended(
                Refused("5.3.4", f"The mail has {len(raw)} bytes, the server takes {most}.")
            )
        options.append(f"SIZE={len(raw)}")
    if letter.needs_smtputf8:
        if "SMTPUTF8" not in extensions or "8BITMIME" not in extensions:
            raise _Ended(Refused("5.6.7", "The server takes no addresses that are not ASCII."))
        options += ["BODY=8BITMIME", "SMTPUTF8"]
    return options


def _write(connection: Connection, raw: bytes) -> None:
    """The mail without its last dot, other dots doubled (RFC 5321, 4.5.2)."""
    try:
        connection.write(raw.replace(b"\r\n.", b"\r\n.."))
    except ConnectionError:
        # It hung up in the midst of the mail; perhaps it has said why.
        with suppress(OSError):
            _accepted(connection.reply(), 250)
        raise


def _finish(connection: Connection) -> None:
    """End the mail. A server that has seen the dot may have taken it, whatever comes back."""
    try:
        connection.write(b".\r\n")
        reply = connection.reply()
    except OSError as error:
        reason = f"The connection broke before the last answer: {_kind(error)}."
        raise _Ended(Unknown(reason)) from None
    if 300 <= reply.number < 400:
        raise _Ended(Unknown(f"The server's last answer says nothing: {reply.reason}"))
    if not reply.ok:
        _accepted(reply, 250)


def _accepted(reply: Reply, wanted: int) -> None:
    """Go on if the server said what it should, and else end as it said."""
    if reply.number == wanted:
        return
    if 400 <= reply.number < 500:
        raise _Ended(Throttled(None, reply.reason))
    if reply.number >= 500:
        raise _Ended(Refused(reply.code, reply.reason))
    raise _Ended(Unreached(f"The server did not go on: {reply.reason}"))


def _kind(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    return type(error).__name__


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
