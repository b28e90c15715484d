"""Handing mails to servers that work, and to those that break off at every step."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from countersign.channels.messages import (
    Accepted,
    Outgoing,
    OutgoingMail,
    Refused,
    SendResult,
    Throttled,
    Unknown,
    Unreached,
    WebhookRequest,
)
from countersign.channels.providers import ProviderSettings, smtp
from countersign.mail import reading
from countersign.mail.model import Address
from countersign.platform.errors import Invalid, NotFound, Unauthenticated
from tests.unit.channels.certificates import Certificate, self_signed
from tests.unit.channels.smtp_server import HANG_UP, SILENCE, TRICKLE, ScriptedServer

MAIL = OutgoingMail(
    subject="Re: Where is it?",
    sender_name="Acme Support",
    to=(Address("Jo", "jo@example.com"),),
    message_id="c.1@acme.example",
)


@pytest.fixture(autouse=True)
def _no_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    smtp._tls.cache_clear()
    monkeypatch.setattr(smtp, "_CHECK_SECONDS", 30.0)
    yield
    close_kept()
    smtp._tls.cache_clear()


def close_kept() -> None:
    for kept in smtp._idle.values():
        kept.connection.close()
    smtp._idle.clear()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    return certificate


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    running = ScriptedServer()
    yield running
    running.close()


@pytest.fixture
def mail(delivery: Outgoing) -> Outgoing:
    return replace(
        delivery, sender="support@acme.example", recipient="jo@example.com", mail=MAIL, text="Hi."
    )


def plain(port: int) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "security": "none"}


def secure(port: int, security: str = "starttls") -> dict[str, Any]:
    user = {"username": "acme", "password": "canary-password"}
    return {"host": "localhost", "port": str(port), "security": security, **user}


def send(delivery: Outgoing, credentials: dict[str, Any]) -> SendResult:
    return smtp.send(delivery, credentials, ProviderSettings())


class Inbox:
    """What aiosmtpd takes in."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.logins: list[bytes] = []
        self.sessions: set[int] = set()

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        self.sessions.add(id(session))
        return "250 2.0.0 queued"

    def authenticate(self, *arguments: Any) -> AuthResult:
        login = arguments[4]
        assert isinstance(login, LoginPassword)
        self.logins.append(login.login)
        return AuthResult(success=login.password == b"canary-password", handled=False)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def real(inbox: Inbox, certificate: Certificate) -> Iterator[Controller]:
    """aiosmtpd with STARTTLS and passwords."""
    controller = Listening(
        inbox,
        tls_context=certificate.server,
        authenticator=inbox.authenticate,
        auth_required=True,
        require_starttls=True,
        enable_SMTPUTF8=True,
    )
    controller.start()
    yield controller
    close_kept()
    controller.wait_for_the_end_of_connections()
    controller.stop()


class Listening(Controller):
    """aiosmtpd, its port its own from the start. What it has not seen end it would leave open."""

    def __init__(self, inbox: Inbox, **options: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        super().__init__(inbox, hostname="localhost", port=port, ready_timeout=60, **options)
        self._servers: list[SMTP] = []

    def factory(self) -> SMTP:
        self._servers.append(SMTP(self.handler, **self.SMTP_kwargs))
        return self._servers[-1]

    def _create_server(self) -> Awaitable[asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._listener)

    def wait_for_the_end_of_connections(self) -> None:
        deadline = time.monotonic() + 30
        while any(server.transport is not None for server in self._servers):
            assert time.monotonic() < deadline, "a connection is open after 30 s"
            time.sleep(0.005)


def test_a_mail_is_handed_over_encrypted_and_logged_in(
    real: Controller, inbox: Inbox, trusted: Certificate, mail: Outgoing
) -> None:
    assert send(mail, secure(real.port)) == Accepted("c.1@acme.example")
    (envelope,) = inbox.envelopes
    assert envelope.mail_from == "support@acme.example"
    assert envelope.rcpt_tos == ["jo@example.com"]
    assert isinstance(envelope.content, bytes)
    found = reading.read(envelope.content)
    assert (found.subject, found.text) == ("Re: Where is it?", "Hi.\n")
    assert inbox.logins == [b"acme"]


def test_a_connection_is_kept_between_mails(
    real: Controller, inbox: Inbox, trusted: Certificate, mail: Outgoing
) -> None:
    for number in range(3):
        given = replace(mail, mail=replace(MAIL, message_id=f"c.{number}@acme.example"))
        assert send(given, secure(real.port)) == Accepted(f"c.{number}@acme.example")
    assert len(inbox.envelopes) == 3
    assert len(inbox.sessions) == len(inbox.logins) == 1


def test_an_address_that_is_not_ascii_goes_by_smtputf8(
    real: Controller, inbox: Inbox, trusted: Certificate, mail: Outgoing
) -> None:
    to = "jörg@exämple.com"
    given = replace(mail, recipient=to, mail=replace(MAIL, to=(Address("", to),)))
    assert isinstance(send(given, secure(real.port)), Accepted)
    (envelope,) = inbox.envelopes
    assert envelope.rcpt_tos == ["jörg@xn--exmple-cua.com"]
    assert {"SMTPUTF8", "BODY=8BITMIME"} <= set(envelope.mail_options)


def test_a_wrong_password_is_told_from_a_refused_mail(
    real: Controller, trusted: Certificate, mail: Outgoing
) -> None:
    with pytest.raises(Unauthenticated, match="535"):
        send(mail, {**secure(real.port), "password": "wrong"})


def test_nothing_is_said_to_a_server_that_cannot_prove_its_name(
    real: Controller, inbox: Inbox, mail: Outgoing
) -> None:
    result = send(mail, secure(real.port))
    assert isinstance(result, Unreached)
    assert "certificate is not valid" in result.reason
    assert not inbox.logins


def test_implicit_tls(trusted: Certificate, mail: Outgoing) -> None:
    running = ScriptedServer(
        tls=trusted.server, implicit_tls=True, script={"AUTH": b"235 2.7.0 welcome"}
    )
    try:
        assert isinstance(send(mail, secure(running.port, "tls")), Accepted)
    finally:
        running.close()
    assert running.said[:2] == [b"EHLO acme.example", b"AUTH PLAIN AGFjbWUAY2FuYXJ5LXBhc3N3b3Jk"]


def test_auth_login_where_there_is_no_plain(trusted: Certificate, mail: Outgoing) -> None:
    running = ScriptedServer(
        tls=trusted.server,
        implicit_tls=True,
        script={
            "EHLO": b"250-mx.example\r\n250-auth=LOGIN\r\n250 HELP",
            "AUTH": b"334 VXNlcm5hbWU6",
            "YWNTZQ==": b"334 UGFzc3dvcmQ6",
            "Y2FUYXJ5LXBHC3N3B3JK": b"235 2.7.0 welcome",
        },
    )
    assert isinstance(send(mail, secure(running.port, "tls")), Accepted)
    running.close()
    assert running.said[1:4] == [b"AUTH LOGIN", b"YWNtZQ==", b"Y2FuYXJ5LXBhc3N3b3Jk"]


def test_the_transaction_line_by_line(server: ScriptedServer, mail: Outgoing) -> None:
    body = replace(mail, text=".\n..two\n.three")
    assert send(body, plain(server.port)) == Accepted("c.1@acme.example")
    assert server.said[0] == b"EHLO acme.example"
    assert server.said[1].startswith(b"MAIL FROM:<support@acme.example> SIZE=")
    assert server.said[2:] == [b"RCPT TO:<jo@example.com>", b"DATA"]
    (taken,) = server.mails
    assert taken.endswith(b"\r\n\r\n..\r\n...two\r\n..three\r\n")
    assert int(server.said[1].rpartition(b"=")[2]) == len(taken) - 3


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        *itertools.product(
            ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"],
            [HANG_UP, SILENCE, TRICKLE, b"what?", b"2", b"250-on and on\r\n" * 200],
        ),
        ("BODY", HANG_UP),
        ("BODY", SILENCE),
    ],
)
def test_what_breaks_before_the_last_dot_was_surely_not_sent(
    mail: Outgoing, step: str, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "SECONDS", 0.3)
    if step == "BODY":
        mail = replace(mail, text="x" * 10_000_000)
    server = ScriptedServer(script={"EHLO": b"250 mx.example", step: answer})
    result = send(mail, plain(server.port))
    server.close()
    assert isinstance(result, Unreached)
    assert not server.outlasted
    assert not server.mails


@pytest.mark.parametrize("answer", [HANG_UP, SILENCE, TRICKLE, b"what?", b"354 more?"])
def test_what_breaks_after_the_last_dot_may_have_been_sent(
    mail: Outgoing, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer in (SILENCE, TRICKLE):
        monkeypatch.setattr(smtp, "SECONDS", 3)  # in which the dot is to be reached
    server = ScriptedServer(script={".": answer})
    result = send(mail, plain(server.port))
    server.close()
    assert isinstance(result, Unknown)
    assert not server.outlasted
    assert len(server.mails) == 1


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."])
def test_4yz_is_to_be_tried_again(mail: Outgoing, step: str) -> None:
    server = ScriptedServer(script={step: b"451-4.3.2 come\r\n451 4.3.2 later"})
    result = send(mail, plain(server.port))
    server.close()
    assert result == Throttled(None, "451 4.3.2 come 4.3.2 later")


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b"550 5.1.1 no such user", Refused("5.1.1", "550 5.1.1 no such user")),
        (b"554 go away", Refused("554", "554 go away")),
        (b"550", Refused("550", "550")),
    ],
)
def test_5yz_is_a_refusal(mail: Outgoing, step: str, answer: bytes, result: Refused) -> None:
    server = ScriptedServer(script={step: answer})
    assert send(mail, plain(server.port)) == result
    server.close()


@pytest.mark.parametrize("step", ["CONNECT", "EHLO"])
def test_5yz_before_the_mail_is_not_about_the_mail(mail: Outgoing, step: str) -> None:
    server = ScriptedServer(script={step: b"554 5.7.1 your network is not welcome"})
    result = send(mail, plain(server.port))
    server.close()
    assert isinstance(result, Unreached)
    assert "not welcome" in result.reason


def test_a_server_may_refuse_in_the_midst_of_a_mail(mail: Outgoing) -> None:
    server = ScriptedServer(script={"BODY": b"552 5.3.4 too large"})
    large = replace(mail, text="x" * 500_000)
    result = send(large, plain(server.port))
    server.close()
    assert result == Refused("5.3.4", "552 5.3.4 too large")


def several() -> OutgoingMail:
    return replace(MAIL, cc=(Address("", "al@example.net"), Address("", "bo@example.net")))


def test_another_recipient_that_is_refused_is_noted(mail: Outgoing) -> None:
    answers = [b"250 ok", b"550 5.1.1 unknown", b"450 4.2.1 greylisted"]
    server = ScriptedServer(script={"RCPT": answers})
    result = send(replace(mail, mail=several()), plain(server.port))
    server.close()
    assert result == Accepted(
        "c.1@acme.example",
        "al@example.net was refused: 550 5.1.1 unknown"
        " bo@example.net was refused: 450 4.2.1 greylisted",
    )
    assert len(server.mails) == 1


def test_nobody_gets_a_mail_whose_own_recipient_is_refused(mail: Outgoing) -> None:
    server = ScriptedServer(script={"RCPT": [b"550 5.1.1 unknown", b"250 ok"]})
    result = send(replace(mail, mail=several()), plain(server.port))
    server.close()
    assert result == Refused("5.1.1", "550 5.1.1 unknown")
    assert not server.mails
    assert b"DATA" not in server.said


def test_a_mail_larger_than_the_server_takes_is_not_begun(mail: Outgoing) -> None:
    server = ScriptedServer(script={"EHLO": b"250-mx.example\r\n250 SIZE 100"})
    result = send(mail, plain(server.port))
    server.close()
    assert isinstance(result, Refused)
    assert result.code == "5.3.4"
    assert server.said[1:] in ([], [b"QUIT"])


def test_an_address_that_the_server_cannot_take_is_refused(mail: Outgoing) -> None:
    server = ScriptedServer(script={"EHLO": b"250 mx.example"})
    given = replace(mail, mail=replace(MAIL, cc=(Address("", "jörg@example.com"),)))
    result = send(given, plain(server.port))
    server.close()
    assert isinstance(result, Refused)
    assert result.code == "5.6.7"


def test_nothing_goes_in_clear_where_encryption_is_asked_for(mail: Outgoing) -> None:
    server = ScriptedServer(script={"EHLO": b"250 mx.example"})
    result = send(mail, secure(server.port))
    server.close()
    assert isinstance(result, Unreached)
    assert "STARTTLS" in result.reason
    assert server.said[1:] in ([], [b"QUIT"])


def test_what_was_said_before_the_encryption_is_not_believed(
    trusted: Certificate, mail: Outgoing
) -> None:
    injected = b"220 go on\r\n250-mx.example\r\n250 AUTH PLAIN"
    server = ScriptedServer(
        tls=trusted.server,
        script={"EHLO": b"250-mx.example\r\n250 STARTTLS", "STARTTLS": injected},
    )
    result = send(mail, secure(server.port))
    server.close()
    assert isinstance(result, Unreached)
    assert b"AUTH" not in b"".join(server.said)


def test_a_password_is_asked_for(mail: Outgoing) -> None:
    server = ScriptedServer(script={"MAIL": b"530 5.7.0 authentication required"})
    with pytest.raises(Unauthenticated, match="asks for a username"):
        send(mail, plain(server.port))
    server.close()


@pytest.mark.parametrize(
    ("answer", "is_later"),
    [(b"535 5.7.8 bad", False), (b"454 4.7.0 later", True), (b"504 no", False)],
)
def test_what_a_server_says_to_a_password(
    trusted: Certificate, mail: Outgoing, answer: bytes, is_later: bool
) -> None:
    server = ScriptedServer(tls=trusted.server, implicit_tls=True, script={"AUTH": answer})
    if is_later:
        assert isinstance(send(mail, secure(server.port, "tls")), Throttled)
    else:
        with pytest.raises(Unauthenticated) as raised:
            send(mail, secure(server.port, "tls"))
        assert "canary" not in raised.value.detail
    server.close()


def test_a_kept_connection_is_tried_before_it_is_used(
    server: ScriptedServer, mail: Outgoing
) -> None:
    assert isinstance(send(mail, plain(server.port)), Accepted)
    server.script["RSET"] = [HANG_UP]
    assert isinstance(send(mail, plain(server.port)), Accepted)
    assert server.connections == 2
    assert len(server.mails) == 2


def test_a_connection_is_kept_for_a_while_and_for_so_many_mails(
    server: ScriptedServer, mail: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "MOST_MAILS", 2)
    for _ in range(4):
        send(mail, plain(server.port))
    assert server.connections == 2
    monkeypatch.setattr(smtp, "IDLE_SECONDS", -1)
    send(mail, plain(server.port))
    assert server.connections == 3


def test_the_last_dot_does_not_wait(server: ScriptedServer, mail: Outgoing) -> None:
    """Else it waits for 40 ms, for the acknowledgement of the packet before (RFC 896, RFC 1122)."""
    send(mail, plain(server.port))
    (kept,) = smtp._idle.values()
    assert kept.connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_connection_is_not_kept_after_a_refusal(server: ScriptedServer, mail: Outgoing) -> None:
    server.script["RCPT"] = [b"550 no", b"250 ok"]
    send(mail, plain(server.port))
    assert isinstance(send(mail, plain(server.port)), Accepted)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"host": ""}, "holds no host"),
        ({"port": "smtp"}, "no port's number"),
        ({"port": 70000}, "no port's number"),
        ({"security": "ssl", "username": "a", "password": "b"}, "none of starttls, tls, none"),
        ({"security": "starttls"}, "holds no username, password"),
        ({"host": "x" * 70 + ".example"}, "No connection"),
    ],
)
def test_credentials_that_are_not_right_say_so(
    mail: Outgoing, change: dict[str, Any], said: str
) -> None:
    result = send(mail, {**plain(1), **change})
    assert isinstance(result, Unreached)
    assert said in result.reason


def test_no_connection_is_surely_not_sent(mail: Outgoing) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = send(mail, plain(unused.getsockname()[1]))
    assert result == Unreached("No connection: ConnectionRefusedError.")


@pytest.mark.parametrize(
    "change", [{"mail": None}, {"sender": "support"}, {"mail": replace(MAIL, subject="a\nb")}]
)
def test_what_cannot_be_written_is_refused(
    server: ScriptedServer, mail: Outgoing, change: dict[str, Any]
) -> None:
    result = send(replace(mail, **change), plain(server.port))
    assert isinstance(result, Refused)
    assert result.code == "invalid_mail"
    assert not server.connections


def test_nothing_comes_in(mail: Outgoing) -> None:
    request = WebhookRequest(
        method="POST", url="", headers={}, body=b"", received_at=datetime.now(UTC)
    )
    with pytest.raises(NotFound):
        smtp.verify(request, [plain(1)], datetime.now(UTC))
    with pytest.raises(Invalid):
        smtp.parse(request)
    assert smtp.look_up(mail, plain(1), ProviderSettings(), datetime.now(UTC)) == []


def test_secrets_do_not_show() -> None:
    assert "canary" not in repr(smtp._account(secure(25)))
