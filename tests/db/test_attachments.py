"""The files of messages are fetched once, kept once, and lost to nobody's silence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from countersign.channels import fetching as from_providers
from countersign.channels.messages import RawMail
from countersign.conversations import attachments, fetching
from countersign.conversations.fetching import FetchingSettings
from countersign.conversations.tables import Attachment, Message
from countersign.mail.verdicts import Verdicts
from countersign.platform import storage
from countersign.platform.errors import NotFound, TooLarge, Unavailable
from countersign.platform.ids import new_id
from countersign.platform.tables import AuditEvent, OutboxRow
from tests.mailbox import SUPPORT, Mailbox, mailbox
from tests.world import memory_queues

__all__ = ["mailbox", "memory_queues"]

SETTINGS = FetchingSettings(messages_bucket="messages", channel_secrets_prefix="")
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PDF = b"%PDF-1.7\n"
URL = "https://provider.example/Media/ME1"


class Files:
    """Messages with files, what is in storage, and the worker that fetches them."""

    def __init__(self, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mailbox, self.patch = mailbox, monkeypatch
        self.stored: dict[str, bytes] = {}
        monkeypatch.setattr(storage, "get", lambda bucket, key: self.stored[key])
        monkeypatch.setattr(storage, "put", self._put)

    def _put(self, bucket: str, key: str, content: bytes) -> None:
        assert bucket == "messages"
        self.stored[key] = content

    def mail(self, *files: tuple[str, str, bytes], verdicts: Verdicts | None = None) -> UUID:
        """Take in a mail with these files (name, type, bytes); its message's id."""
        parts = [
            f'--b\r\nContent-Type: {type_}; name="{name}"\r\nContent-ID: <{number}@x>\r\n'
            f"Content-Disposition: attachment\r\n\r\n".encode()
            + content
            + b"\r\n"
            for number, (name, type_, content) in enumerate(files)
        ]
        head = (
            f"From: ada@example.com\r\nTo: {SUPPORT}\r\nMessage-ID: <{new_id()}@x>\r\n"
            'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
            "--b\r\nContent-Type: text/plain\r\n\r\nSee these.\r\n"
        )
        raw = RawMail(
            raw=b"".join([head.encode(), *parts, b"--b--"]),
            verdicts=verdicts or Verdicts(envelope_from="ada@example.com", envelope_to=()),
        )
        self.mailbox.takes(raw)
        message = self._newest()
        assert message.raw_key
        self.stored[message.raw_key] = raw.raw
        return message.id

    def pointed_to(self, *urls: str) -> UUID:
        """Let a mail have files that are at its channel's provider; the message's id."""
        self.mailbox.gets()
        path = self.mailbox.path
        with path.outbox.transaction(path.tenant.organization_id) as session:
            message = session.scalars(select(Message).order_by(Message.id.desc()).limit(1)).one()
            pointed_to = [
                Attachment(file_name="ME1", mime_type="image/jpeg", file_url=url)
                for url in urls or (URL,)
            ]
            attachments.note(session, message, pointed_to, "correlation")
        return message.id

    def _newest(self) -> Message:
        with self.mailbox.path.tenant_session() as session:
            return session.scalars(select(Message).order_by(Message.id.desc()).limit(1)).one()

    @property
    def work(self) -> list[UUID]:
        """The messages whose files are to be fetched; asking takes them out of the queue."""
        bodies = self.mailbox.path.sent.take("attachments")
        return [UUID(body["message_id"]) for body in bodies]

    def wait(self) -> timedelta:
        """How long it is until the next try that was promised."""
        with self.mailbox.path.tenant_session() as session:
            promised = select(OutboxRow.not_before).where(OutboxRow.queue == "attachments")
            kept = session.scalars(promised).one_or_none()
        if kept:
            return kept - self.mailbox.now
        *_, (_, delay) = self.mailbox.path.sent.sent["attachments"]
        return timedelta(seconds=delay)

    def provider(self, *answers: bytes | Exception) -> None:
        """What the provider gives to each request to come."""
        remaining = list(answers)

        def fetch(*_: Any, **__: Any) -> bytes:
            answer = remaining.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.patch.setattr(from_providers, "fetch", fetch)

    def fetch(self, message_id: UUID) -> None:
        tenant = self.mailbox.path.tenant.organization_id
        fetching.fetch(self.mailbox.path.outbox, SETTINGS, tenant, message_id)

    def all(self) -> list[Attachment]:
        with self.mailbox.path.tenant_session() as session:
            return list(session.scalars(select(Attachment).order_by(Attachment.id)))

    def recorded(self) -> list[str]:
        with self.mailbox.path.tenant_session() as session:
            of_conversations = AuditEvent.stream_id != session.organization_id
            types = select(AuditEvent.type).where(of_conversations).order_by(AuditEvent.seq)
            return list(session.scalars(types))

    def one(self) -> Attachment:
        (file,) = self.all()
        return file


@pytest.fixture
def files(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Files:
    return Files(mailbox, monkeypatch)


def test_files_of_a_mail_are_kept_under_their_hash(files: Files) -> None:
    message_id = files.mail(("a.png", "image/png", PNG), ("bill", "application/x-bill", PDF))
    assert files.work == [message_id]
    files.fetch(message_id)
    picture, bill = files.all()
    digest = hashlib.sha256(PNG).hexdigest()
    assert (picture.status, picture.sha256, picture.size_bytes) == ("completed", digest, len(PNG))
    organization_id = files.mailbox.path.tenant.organization_id
    assert files.stored[f"files/{organization_id}/{digest}"] == PNG
    assert (bill.mime_type, bill.file_name) == ("application/pdf", "bill.pdf")
    assert files.work == []


def test_equal_files_lie_in_one_place(files: Files) -> None:
    for _ in range(2):
        files.fetch(files.mail(("a.png", "image/png", PNG), ("b.png", "image/png", PNG)))
    assert len({file.sha256 for file in files.all()}) == 1
    assert len([key for key in files.stored if key.startswith("files/")]) == 1


def test_a_file_of_another_is_fetched_from_its_provider(files: Files) -> None:
    message_id = files.pointed_to()
    files.provider(PNG)
    files.fetch(message_id)
    file = files.one()
    assert (file.status, file.mime_type, file.file_name) == ("completed", "image/png", "ME1.png")


def test_what_was_fetched_is_not_fetched_again(files: Files) -> None:
    message_id = files.pointed_to()
    files.provider(PNG)
    files.fetch(message_id)
    files.fetch(message_id)
    assert files.one().attempts == 1


def test_what_comes_of_a_file_is_on_the_record(files: Files) -> None:
    files.fetch(files.mail(("a.png", "image/png", PNG)))
    assert files.recorded()[-2:] == ["message.received", "attachment.completed"]


def test_a_provider_that_does_not_answer_is_asked_again_for_half_a_day(files: Files) -> None:
    message_id = files.pointed_to()
    files.provider(*[Unavailable("busy")] * attachments.MAX_ATTEMPTS)
    waited = timedelta(0)
    for attempt in range(1, attachments.MAX_ATTEMPTS):
        files.fetch(message_id)
        file = files.one()
        assert (file.status, file.reason, file.attempts) == ("pending", "unavailable", attempt)
        files.mailbox.now += (wait := files.wait())
        waited += wait
    files.fetch(message_id)
    assert (files.one().status, files.one().reason) == ("failed", "unavailable")
    assert timedelta(hours=8) < waited < timedelta(hours=24)


def test_a_provider_says_how_long_to_wait(files: Files) -> None:
    message_id = files.pointed_to()
    files.provider(Unavailable("busy", retry_after=3000))
    files.fetch(message_id)
    assert files.wait() == timedelta(seconds=3000)


def test_what_its_provider_has_not_may_only_be_late(files: Files) -> None:
    message_id = files.pointed_to()
    files.provider(*[NotFound()] * attachments.MOST_TIMES_GONE)
    for _ in range(attachments.MOST_TIMES_GONE):
        assert files.one().status == "pending"
        files.fetch(message_id)
    assert (files.one().status, files.one().reason) == ("failed", "gone")


def test_too_large_is_too_large(files: Files) -> None:
    message_id = files.pointed_to()
    files.provider(TooLarge())
    files.fetch(message_id)
    assert (files.one().status, files.one().reason) == ("failed", "too_large")
    assert "attachment.failed" in files.recorded()


def test_storage_that_does_not_answer_costs_no_file(files: Files) -> None:
    message_id = files.mail(("a.png", "image/png", PNG))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "put", raising(Unavailable()))
        files.fetch(message_id)
    assert files.one().status == "pending"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "get", raising(Unavailable()))
        files.fetch(message_id)
    assert (files.one().status, files.one().attempts) == ("pending", 2)
    files.fetch(message_id)
    assert files.one().status == "completed"


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_part_that_is_not_there_is_unreadable(files: Files) -> None:
    message_id = files.mail(("a.png", "image/png", PNG))
    (raw_key,) = files.stored
    files.stored[raw_key] = b"Subject: other\r\n\r\nNothing"
    files.fetch(message_id)
    assert (files.one().status, files.one().reason) == ("failed", "unreadable")


def test_files_of_a_mail_with_a_virus_are_left_where_they_are(files: Files) -> None:
    verdicts = Verdicts(envelope_from="ada@example.com", envelope_to=(), virus=True)
    message_id = files.mail(("a.exe", "application/x-msdownload", b"MZ"), verdicts=verdicts)
    assert files.work == []
    files.fetch(message_id)
    assert (files.one().status, files.one().reason) == ("failed", "virus")
    assert [key for key in files.stored if key.startswith("files/")] == []


def test_what_time_did_not_suffice_for_comes_next(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = files.mail(("a.png", "image/png", PNG), ("b.pdf", "application/pdf", PDF))
    assert files.work == [message_id]
    monkeypatch.setattr(fetching, "SECONDS", 0)
    files.fetch(message_id)
    assert [(file.status, file.attempts) for file in files.all()] == [
        ("completed", 1),
        ("pending", 0),
    ]
    assert files.work == [message_id]
    files.fetch(message_id)
    assert {file.status for file in files.all()} == {"completed"}


def test_a_file_that_hangs_keeps_no_other_waiting(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = files.pointed_to(f"{URL}1", f"{URL}2")
    monkeypatch.setattr(fetching, "SECONDS", 0)
    files.provider(Unavailable("late"), PNG)
    for _ in range(2):
        files.fetch(message_id)
    assert [(file.status, file.attempts) for file in files.all()] == [
        ("pending", 1),
        ("completed", 1),
    ]


def test_one_worker_fetches_and_a_lost_one_is_replaced(files: Files) -> None:
    message_id = files.pointed_to()

    def die(*_: Any, **__: Any) -> bytes:
        raise SystemExit

    files.patch.setattr(from_providers, "fetch", die)
    with pytest.raises(SystemExit):
        files.fetch(message_id)
    files.provider(PNG)
    with pytest.raises(Unavailable, match="Another worker"):
        files.fetch(message_id)
    files.mailbox.now += attachments.LEASE
    files.fetch(message_id)
    assert (files.one().status, files.one().attempts) == ("completed", 2)


def test_a_late_result_does_not_count(files: Files) -> None:
    message_id = files.pointed_to()

    def slow(*_: Any, **__: Any) -> bytes:
        files.mailbox.now += attachments.LEASE
        files.provider(PNG)
        files.fetch(message_id)
        return b"late"

    files.patch.setattr(from_providers, "fetch", slow)
    files.fetch(message_id)
    assert files.one().sha256 == hashlib.sha256(PNG).hexdigest()
    assert files.recorded().count("attachment.completed") == 1


def test_a_message_that_is_not_here_is_not_found(files: Files) -> None:
    with pytest.raises(NotFound):
        files.fetch(new_id())
