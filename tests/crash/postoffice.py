"""Where mail goes out and comes in: SES, and a mail server that speaks SMTP.

Both keep what they took, as the record of what was really accepted. What SES has to tell, it tells
by SNS, which fills the inbound queue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from local.providers.sendgrid import Mail
from tests.crash.edges import Edges, Sort, closed
from tests.crash.ground import BUCKET_OF_SES, CUSTOMERS_ADDRESS

if TYPE_CHECKING:
    from tests.crash.outside import Outside

_OUR_ID = re.compile(r"<[^<>@]+@shop\.example>")


@dataclass(frozen=True)
class Taken:
    """A mail of ours that was accepted: who gets it, and what it says."""

    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def text(self) -> str:
        """As it was approved."""
        body = self.message.get_body(("plain",))
        assert body
        return str(body.get_content()).replace("\r\n", "\n").strip()

    @property
    def reply_address(self) -> str:
        """Where answers are asked for."""
        return str(self.message["Reply-To"].addresses[0].addr_spec)

    @property
    def told(self) -> str:
        """All that must be right about it, without what differs from run to run."""
        headers = [f"{name}: {self.message[name]}" for name in ("To", "Cc", "Subject")]
        thread = [_OUR_ID.sub("ours", self.message[name]) for name in ("In-Reply-To", "References")]
        return "; ".join([*self.recipients, *headers, *thread])


def by_sendgrid(mail: Mail) -> Taken:
    """A mail that SendGrid's simulator took."""
    (group,), message = mail.request["personalizations"], EmailMessage()
    message["Subject"], message["To"] = mail.request["subject"], _people(group["to"])
    message["Cc"] = _people(group["cc"])
    for name, value in mail.request["headers"].items():
        message[name] = value
    message.set_content(mail.request["content"][0]["value"])
    return Taken(tuple(one["email"] for one in (*group["to"], *group["cc"])), message)


def _people(people: list[dict[str, str]]) -> str:
    return ", ".join(f"{one['name']} <{one['email']}>" for one in people)


class PostOffice:
    """What both share: the mails they took. Whoever gets one may act at once: `then` is called."""

    def __init__(self, before: PostOffice | None) -> None:
        self.taken: list[Taken] = list(before.taken) if before else []
        self.then: Callable[[Taken], None] = lambda taken: None

    def take(self, recipients: list[str], raw: bytes) -> None:
        message = message_from_bytes(raw, EmailMessage, policy=policy.default)
        self.taken.append(Taken(tuple(recipients), message))
        self.then(self.taken[-1])


class Ses:
    """SES: mails out by its API, in by S3, and what became of those that went out.

    `tells` are the events of a mail that it takes.
    """

    def __init__(self, edges: Edges, outside: Outside) -> None:
        self.tells: tuple[str, ...] = ("Send", "Delivery")
        self._edges, self._outside = edges, outside

    def send_email(self, **request: Any) -> dict[str, str]:
        take = lambda: self._take(request)  # noqa: E731
        return self._edges.cross("POST ses.example", "call", take, closed)

    def _take(self, request: dict[str, Any]) -> dict[str, str]:
        office, destination = self._outside.post_office, request["Destination"]
        recipients = destination["ToAddresses"] + destination["CcAddresses"]
        mail = {
            "messageId": f"ses-{len(office.taken)}",
            "source": request["FromEmailAddress"],
            "tags": {tag["Name"]: [tag["Value"]] for tag in request["EmailTags"]},
        }
        for kind in self.tells:
            detail = {"timestamp": self._outside.clock.now().isoformat(), "recipients": recipients}
            detail |= _BOUNCE if kind == "Bounce" else {}
            self._tell({"eventType": kind, "mail": mail, kind.lower(): detail})
        office.take(recipients, request["Content"]["Raw"]["Data"])
        return {"MessageId": mail["messageId"]}

    def bring(self, raw: bytes, sender: str, recipients: list[str], later: int = 0) -> None:
        """Take in a mail for the product: put it into S3, and tell of it some seconds `later`."""
        objects = self._outside.buckets.objects
        key = f"ses/{len(objects)}"
        objects[BUCKET_OF_SES, key] = raw
        found = {"bucketName": BUCKET_OF_SES, "objectKey": key}
        self._tell(
            {
                "notificationType": "Received",
                "mail": {"messageId": key, "source": sender},
                "receipt": {"recipients": recipients, "action": found},
            },
            later,
        )

    def _tell(self, event: dict[str, Any], later: int = 0) -> None:
        message = {
            "MessageId": "sns-1",
            "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mail",
            "Message": json.dumps(event),
            "Timestamp": self._outside.clock.now().isoformat(),
        }
        self._outside.queues.put("inbound", json.dumps(message), later)


_BOUNCE = {
    "feedbackId": "feedback-1",
    "bounceType": "Permanent",
    "bounceSubType": "General",
    "bouncedRecipients": [{"emailAddress": CUSTOMERS_ADDRESS, "status": "5.1.1"}],
}


class MailServer:
    """A mail server. `answers` are given first to mails that have come to their last dot."""

    def __init__(self, edges: Edges, office: PostOffice) -> None:
        self.edges, self.office = edges, office
        self.answers: list[str] = []

    def connect(self, address: tuple[str, int], timeout: float) -> Talk:
        """Stands in for `socket.create_connection`."""
        return self.edges.cross("SMTP", "read", lambda: Talk(self), ConnectionRefusedError)


class Talk:
    """A socket to the mail server (RFC 5321): each thing said is a point, before its answer.

    Until the last dot nothing takes effect.
    """

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._answers = b"220 mx.example\r\n"
        self._recipients: list[str] = []
        self._mail: bytes | None = None
        self._is_broken = False

    def sendall(self, said: bytes) -> None:
        if self._is_broken:
            raise ConnectionResetError
        if self._mail is None:
            word = said.split()[0].decode()
            self._cross(word, "read", lambda: self._answer(word, said))
        elif said == b".\r\n":
            self._cross(".", "call", self._end)
        else:
            self._cross("mail", "read", lambda: self._take(said))

    def _cross(self, word: str, sort: Sort, hear: Callable[[], None]) -> None:
        self._server.edges.cross(f"SMTP {word}", sort, hear, self._break)

    def _answer(self, word: str, said: bytes) -> None:
        if word == "RCPT":
            self._recipients.append(said.partition(b"<")[2].partition(b">")[0].decode())
        if word == "DATA":
            self._mail = b""
        self._answers += b"354 go on\r\n" if word == "DATA" else b"250 ok\r\n"

    def _take(self, said: bytes) -> None:
        assert self._mail is not None
        self._mail += said

    def _end(self) -> None:
        assert self._mail is not None
        answer = self._server.answers.pop(0) if self._server.answers else "250 taken"
        if answer.startswith("250"):
            self._server.office.take(self._recipients, self._mail.replace(b"\r\n..", b"\r\n."))
        self._recipients, self._mail = [], None
        self._answers += f"{answer}\r\n".encode()

    def _break(self) -> Exception:
        self._is_broken = True
        return ConnectionResetError()

    def recv(self, size: int) -> bytes:
        answers, self._answers = self._answers, b""
        return answers

    def settimeout(self, seconds: float) -> None:
        """Nothing takes time here."""

    def setsockopt(self, *option: int) -> None:
        """Nor are there packets."""

    def close(self) -> None:
        self._is_broken = True
