"""The explorer can fail: without one safeguard at a time, it finds the fault that follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from countersign.channels import attempts, sending
from countersign.channels.attempts import Claim
from countersign.channels.messages import InboundMessage, Unreached
from countersign.channels.providers import api, ses_events, smtp, twilio
from countersign.channels.sending import SendingSettings
from countersign.channels.tables import Delivery
from countersign.conversations import attachments, locking, outbound
from countersign.conversations.delivering import Stopped
from countersign.conversations.tables import Attachment
from countersign.drafting import requests
from countersign.knowledge import moving, progress, vectors
from countersign.knowledge.progress import Job
from countersign.knowledge.tables import Document
from countersign.knowledge.vectors import Bare
from countersign.models import spaces
from countersign.models.spaces import Encoders
from countersign.platform import clock, idempotency, outbox, queues
from countersign.platform.db import TenantSession
from countersign.platform.outbox import Outbox
from tests.conftest import TestDatabase
from tests.crash import edges
from tests.crash.acts import (
    ACTS,
    RACES,
    Act,
    document_after_move,
    message,
    reply,
    throttled_mail,
)
from tests.crash.edges import Kind
from tests.crash.explorer import Explorer
from tests.crash.record import Fault

Patch = pytest.MonkeyPatch
Explore = Callable[[Act], Explorer]
MOVE_FIRST = Act(document_after_move, functions=("index",), model="older", is_race=True)
BY_SMTP = Act(reply, "smtp", before=(message,), functions=("outbound",))


def no_outbox_row(patch: Patch) -> None:
    """What is promised is only remembered by the process."""

    def remember(
        session: TenantSession,
        queue: str,
        body: queues.Body,
        not_before: datetime | None = None,
        correlation_id: str | None = None,
    ) -> None:
        row = outbox.OutboxRow(queue=queue, body=body, not_before=not_before or clock.now())
        row.organization_id, row.id = session.organization_id, UUID(int=0)
        session.info.setdefault("outbox", []).append(row)

    patch.setattr(outbox, "enqueue", remember)


def no_sweep(patch: Patch) -> None:
    """The relay looks at nothing."""
    patch.setattr(Outbox, "sweep", lambda self: False)


def no_check(patch: Patch) -> None:
    """Nobody tells the relay to look before a transaction begins."""
    send = queues.send
    patch.setattr(queues, "send", lambda url, *rest: None if url == "relay" else send(url, *rest))


def publish_before_commit(patch: Patch) -> None:
    """What is promised is sent while the transaction can still fail."""

    @contextmanager
    def transaction(self: Outbox, organization_id: UUID) -> Iterator[TenantSession]:
        with self.database.tenant(organization_id) as session:
            yield session
            session.flush()
            self._publish(session.info.get("outbox", []))
        self._publish_promised(organization_id, session.info.get("outbox", []))

    patch.setattr(Outbox, "transaction", transaction)


def no_attempt_before_the_call(patch: Patch) -> None:
    """Claim, call and settle in one transaction."""

    def deliver(
        outbox: Outbox,
        settings: SendingSettings,
        stopped: Stopped,
        organization_id: UUID,
        delivery_id: UUID,
        *_: Any,
    ) -> None:
        with outbox.transaction(organization_id) as session:
            conversation = locking.lock_of_delivery(session, delivery_id)
            claimed = attempts.claim(session, delivery_id, clock.now())
            if isinstance(claimed, Claim):
                result = sending.send(claimed, settings)
                moved = attempts.settle(session, claimed, result, clock.now())
                if moved:
                    outbound.record_outcome(session, conversation, moved, clock.now())

    patch.setattr("functions.outbound.app.deliver", deliver)


def no_unknown(patch: Patch) -> None:
    """What a worker that died may have sent is sent again, by a provider that takes it twice."""
    patch.setattr(twilio, "RESEND_IS_SAFE", True)
    patch.setattr(smtp, "RESEND_IS_SAFE", True)


def no_doubt_after_the_last_dot(patch: Patch) -> None:
    """A mail whose last answer is lost counts as not sent, like one that broke off before."""
    patch.setattr(smtp, "Unknown", Unreached)


def no_attempt_in_tags(patch: Patch) -> None:
    """SES is not told which attempt it is to name in its events."""
    tags = ses_events.tags
    patch.setattr(ses_events, "tags", lambda delivery: {"channel": tags(delivery)["channel"]})


def no_second_message_id(patch: Patch) -> None:
    """Of two mails that have one Message-ID, the second counts as the first told again."""
    patch.setattr(InboundMessage, "external_ids", property(lambda self: (self.external_id,)))


def no_lease_of_deliveries(patch: Patch) -> None:
    patch.setattr(attempts, "LEASE", timedelta(0))


def no_lease_of_requests(patch: Patch) -> None:
    patch.setattr(requests, "LEASE", timedelta(0))


def no_lease_of_files(patch: Patch) -> None:
    patch.setattr(attachments, "LEASE", timedelta(0))


def no_fence_of_files(patch: Patch) -> None:
    """Whoever fetched a file stores it, though another has done so long ago."""

    def whatever(session: TenantSession, leased: Iterable[Attachment]) -> list[Attachment]:
        keys = ((session.organization_id, file.id) for file in leased)
        return [session.get_one(Attachment, key) for key in keys]

    patch.setattr(attachments, "_held", whatever)


def no_fence(patch: Patch) -> None:
    """Whatever a worker says counts, though another has taken over long ago."""
    settle = attempts.settle

    def settle_anyway(session: TenantSession, claimed: Claim, *rest: Any) -> Delivery | None:
        delivery = session.get_one(Delivery, (session.organization_id, claimed.delivery.id))
        delivery.status, claimed.delivery.fence = "sending", delivery.fence
        session.flush()
        return settle(session, claimed, *rest)

    patch.setattr(attempts, "settle", settle_anyway)


def no_row_locks(patch: Patch) -> None:
    locks = r" FOR (UPDATE|SHARE)( OF \w+)?"
    patch.setattr(edges, "as_sent", lambda sql: re.sub(locks, "", sql))


def no_lease_of_documents(patch: Patch) -> None:
    patch.setattr(progress, "LEASE", timedelta(0))


def no_lease_of_moves(patch: Patch) -> None:
    patch.setattr(moving, "LEASE", timedelta(0))


def no_fence_of_documents(patch: Patch) -> None:
    """Whoever worked on a document keeps what came of it, though another has done so long ago."""

    def whatever(session: TenantSession, job: Job) -> Document:
        return session.get_one(Document, (session.organization_id, job.document.id))

    patch.setattr(progress, "held", whatever)


def no_fence_of_moves(patch: Patch) -> None:
    """Whoever embedded a batch goes on with the move, though another has ended it long ago."""
    patch.setattr(moving, "_held", lambda session, job: moving._locked(session, job.run_id))


def no_look_at_the_space(patch: Patch) -> None:
    """Vectors are kept in the space that they were made for, whatever is searched by now."""
    patch.setattr(Encoders, "hold", lambda self, *rest: True)


def no_last_look(patch: Patch) -> None:
    """An organization is searched in its new space once all is embedded that was there before."""
    lacking = vectors.lacking

    def some(session: TenantSession, *which: Any, **options: Any) -> list[Bare]:
        return [] if which[-1] == 1 else lacking(session, *which, **options)

    patch.setattr(vectors, "lacking", some)


def no_lock_at_the_switch(patch: Patch) -> None:
    """While an organization is about to be searched in its new space, others keep vectors."""
    patch.setattr(spaces, "lock", lambda session: None)


def a_new_webhook_id_for_each_try(patch: Patch) -> None:
    headers = api._headers
    patch.setattr(
        api, "_headers", lambda one, *rest: headers(replace(one, delivery_id=one.attempt_id), *rest)
    )


def no_idempotency_key(patch: Patch) -> None:
    """The API forgets which requests it has answered."""
    patch.setattr(idempotency, "begin", lambda *request: None)


@pytest.mark.parametrize(
    ("switch_off", "act", "kinds", "where", "faults"),
    [
        (
            no_outbox_row,
            ACTS["message by sms"],
            ["crash after"],
            "crash after ingest: COMMIT",
            {"left under way", "not embedded", "another end"},
        ),
        (
            no_outbox_row,
            ACTS["message by ses"],
            ["crash after"],
            "crash after ingest: COMMIT",
            {"left under way", "not embedded", "another end"},
        ),
        (
            no_sweep,
            ACTS["message by sms"],
            ["crash after"],
            "crash after ingest: COMMIT",
            {"promise kept back", "left under way", "not embedded", "another end"},
        ),
        (
            no_check,
            ACTS["reply by sms"],
            ["crash after"],
            "crash after approvals: COMMIT",
            {"promise kept back", "left under way", "not embedded", "another end"},
        ),
        (
            publish_before_commit,
            ACTS["message by sms"],
            ["crash before"],
            "crash before ingest: COMMIT",
            {"dead letter"},
        ),
        (
            no_attempt_before_the_call,
            ACTS["silent reply"],
            ["crash after"],
            "crash after outbound: POST twilio.example",
            {"sent twice"},
        ),
        (
            no_unknown,
            ACTS["silent reply"],
            ["crash after"],
            "crash after outbound: POST twilio.example",
            {"sent twice"},
        ),
        (
            no_unknown,
            BY_SMTP,
            ["crash after"],
            "crash after outbound: SMTP .",
            {"sent twice", "another end"},
        ),
        (
            no_doubt_after_the_last_dot,
            BY_SMTP,
            ["no answer"],
            "no answer outbound: SMTP .",
            {"sent twice", "another end"},
        ),
        (
            no_attempt_in_tags,
            ACTS["reply by ses"],
            ["crash after"],
            "crash after outbound: POST ses.example",
            {"another end"},
        ),
        (
            no_second_message_id,
            RACES["mail against mail of its id"],
            ["stall"],
            "stall ingest: ",
            {"lost"},
        ),
        (
            a_new_webhook_id_for_each_try,
            ACTS["silent reply by api"],
            ["crash after"],
            "crash after outbound: POST receiver.example",
            {"sent twice"},
        ),
        (
            no_lease_of_deliveries,
            ACTS["silent reply"],
            ["twin"],
            "twin outbound: POST twilio.example",
            {"more effort"},
        ),
        (
            no_lease_of_deliveries,
            BY_SMTP,
            ["twin"],
            "twin outbound: SMTP .",
            {"more effort"},
        ),
        (
            no_lease_of_requests,
            ACTS["message by sms"],
            ["twin"],
            "twin drafts: POST model.example",
            {"more effort"},
        ),
        (
            no_lease_of_files,
            ACTS["message by whatsapp"],
            ["twin"],
            "twin attachments: put into messages",
            {"more effort"},
        ),
        (
            no_fence_of_files,
            ACTS["message by whatsapp"],
            ["stall"],
            "stall attachments: put into messages",
            {"another end"},
        ),
        (
            no_fence,
            ACTS["throttled reply"],
            ["stall"],
            "stall outbound: POST twilio.example",
            {"sent twice"},
        ),
        (
            no_fence,
            Act(throttled_mail, "smtp", before=(message,)),
            ["stall"],
            "stall outbound: SMTP .",
            {"sent twice", "another end"},
        ),
        (
            no_idempotency_key,
            ACTS["own words"],
            ["crash after"],
            "crash after approvals: COMMIT",
            {"another end"},
        ),
        (
            no_idempotency_key,
            ACTS["document"],
            ["crash after"],
            "crash after knowledge: COMMIT",
            {"another end"},
        ),
        (
            no_lease_of_documents,
            ACTS["document"],
            ["twin"],
            "twin index: POST model.example",
            {"more effort"},
        ),
        (
            no_fence_of_documents,
            ACTS["document"],
            ["stall"],
            "stall index: POST model.example",
            {"half indexed", "left under way", "another end"},
        ),
        (
            no_lease_of_moves,
            ACTS["move"],
            ["twin"],
            "twin index: POST model.example",
            {"more effort"},
        ),
        (
            no_fence_of_moves,
            ACTS["move"],
            ["stall"],
            "stall index: POST model.example",
            {"another end"},
        ),
        (
            no_look_at_the_space,
            ACTS["move"],
            ["stall"],
            "stall index: POST model.example",
            {"not embedded", "another end"},
        ),
        (
            no_look_at_the_space,
            RACES["move against documents"],
            ["stall"],
            "stall index: ",
            {"half indexed", "not embedded"},
        ),
        (
            no_last_look,
            MOVE_FIRST,
            ["stall"],
            "stall index: ",
            {"half indexed", "not embedded"},
        ),
        (
            no_lock_at_the_switch,
            MOVE_FIRST,
            ["stall"],
            "stall index: ",
            {"half indexed", "not embedded"},
        ),
        (
            no_row_locks,
            RACES["approval against message"],
            ["stall"],
            "stall approvals: ",
            {"answers an older message"},
        ),
        (
            no_row_locks,
            RACES["hand-over against mail"],
            ["stall"],
            "stall outbound: ",
            {"not approved"},
        ),
    ],
)
def test_without_a_safeguard_a_fault_is_found(
    switch_off: Callable[[Patch], None],
    act: Act,
    kinds: list[Kind],
    where: str,
    faults: set[str],
    explore: Explore,
    monkeypatch: Patch,
) -> None:
    explorer = explore(act)
    switch_off(monkeypatch)
    found = next(explorer.explore(kinds))
    assert f"{found.kind} {found.point}".startswith(where)
    assert {fault.kind for fault in found.faults} == faults


@pytest.mark.parametrize(
    ("table", "key", "columns", "act", "trouble"),
    [
        (
            "webhook_deliveries",
            "uq_webhook_deliveries_event",
            "channel_id, provider_event_id",
            ACTS["message by sms"],
            lambda explorer: explorer.play(order="each twice"),
        ),
        (
            "messages",
            "uq_messages_channel_id_external_id",
            "channel_id, external_id",
            RACES["message against itself"],
            lambda explorer: next(explorer.explore(["stall"])).faults,
        ),
        (
            "webhook_deliveries",
            "uq_webhook_deliveries_event",
            "channel_id, provider_event_id",
            ACTS["message by ses"],
            lambda explorer: explorer.play(order="each twice"),
        ),
        (
            "messages",
            "uq_messages_channel_id_external_id",
            "channel_id, external_id",
            RACES["mail against itself"],
            lambda explorer: next(explorer.explore(["stall"])).faults,
        ),
    ],
)
def test_without_a_unique_key_an_event_is_taken_in_twice(
    table: str,
    key: str,
    columns: str,
    act: Act,
    trouble: Callable[[Explorer], Iterable[Fault]],
    explore: Explore,
    crash_database: TestDatabase,
) -> None:
    explorer = explore(act)
    change = f"ALTER TABLE {table} DROP CONSTRAINT {key}, ADD CONSTRAINT {key} UNIQUE"
    with crash_database.connect() as owner:
        # A key of this name stays, for the statements that name it; it never finds anything equal.
        owner.execute(f"{change} (organization_id, {columns}, id)")
        try:
            found = trouble(explorer)
        finally:
            explorer.rewind()
            owner.execute(f"{change} (organization_id, {columns})")
    assert "taken in twice" in {fault.kind for fault in found}
