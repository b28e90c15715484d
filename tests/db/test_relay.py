"""The relay: what a killed handler promised goes out; heads of streams are put away."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from countersign.platform import checkpoints, clock, idempotency, outbox, queues, storage
from countersign.platform.errors import Unavailable
from countersign.platform.ids import new_id
from countersign.platform.outbox import Outbox
from countersign.platform.tables import AuditCheckpoint, AuditEvent, IdempotencyKey, OutboxRow
from tests import world
from tests.conftest import TestDatabase
from tests.world import QUEUE_URLS, MemoryQueues, Path, memory_queues

__all__ = ["memory_queues"]


@pytest.fixture
def path(database: TestDatabase, memory_queues: MemoryQueues) -> Path:
    return Path(database, world.add_tenant(database), memory_queues)


@pytest.fixture
def relay(database: TestDatabase) -> Outbox:
    return Outbox(database.app_system, QUEUE_URLS)


def later(monkeypatch: pytest.MonkeyPatch, wait: timedelta) -> None:
    moment = clock.now() + wait
    monkeypatch.setattr(clock, "now", lambda: moment)


def fail_to_publish(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one message be taken in by a handler that dies right after its commit: it has promised
    the draft, and the message's vector."""

    def send_delayed(queue_url: str, messages: Any) -> None:
        if queue_url != "relay":
            raise ConnectionError("The queue is away.")
        path.sent.send_delayed(queue_url, messages)

    with monkeypatch.context() as away:
        away.setattr(queues, "send_delayed", send_delayed)
        assert path.receive(path.tenant.webhook("Hello?")) == []
    assert path.count(OutboxRow) == 2
    assert path.sent.take("relay") == [{"check": "outbox"}]
    assert path.sent.take("drafts") == []


def test_what_was_promised_and_not_published_goes_out_once(
    path: Path, relay: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_publish(path, monkeypatch)
    # It may still be under way: the relay leaves a handler its time, and need not come again
    # either, since every handler's own check is on its way.
    assert relay.sweep() is False
    assert path.sent.take("drafts") == []
    later(monkeypatch, timedelta(seconds=61))
    assert relay.sweep() is False
    (body,) = path.sent.take("drafts")
    assert body["organization_id"] == str(path.tenant.organization_id)
    assert relay.sweep() is False
    assert path.sent.take("drafts") == []


def test_work_that_is_committed_does_not_fail_for_its_publishing(
    path: Path, relay: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is told of an error would believe that nothing was changed."""

    def lose_connection(*_: Any) -> None:
        raise OperationalError("DELETE", {}, Exception("The connection is lost."))

    body = {"organization_id": str(path.tenant.organization_id)}
    with monkeypatch.context() as away:
        away.setattr(outbox, "_forget", lose_connection)
        with path.outbox.transaction(path.tenant.organization_id) as session:
            outbox.enqueue(session, "outbound", body)
    assert len(path.sent.take("outbound")) == 1
    later(monkeypatch, timedelta(minutes=1))
    assert relay.sweep() is False
    assert len(path.sent.take("outbound")) == 1


def test_a_promise_far_ahead_waits_until_a_queue_can_hold_it(
    path: Path, relay: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, timedelta(0))
    body = {"organization_id": str(path.tenant.organization_id)}
    with path.outbox.transaction(path.tenant.organization_id) as session:
        outbox.enqueue(session, "outbound", body, clock.now() + timedelta(hours=1))
    later(monkeypatch, timedelta(minutes=2))
    assert relay.sweep() is True
    assert path.sent.take("outbound") == []
    later(monkeypatch, timedelta(minutes=50))
    assert relay.sweep() is False
    ((sent, delay),) = path.sent.sent["outbound"]
    assert sent["organization_id"] == body["organization_id"]
    assert delay == 480


def test_many_promises_go_out_in_one_sweep(
    path: Path, relay: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with path.tenant_session() as session:
        session.add_all(
            OutboxRow(
                organization_id=path.tenant.organization_id,
                queue="drafts",
                body={"number": number},
                not_before=clock.now(),
            )
            for number in range(250)
        )
    later(monkeypatch, timedelta(minutes=1))
    assert relay.sweep() is False
    assert sorted(body["number"] for body in path.sent.take("drafts")) == list(range(250))


def test_the_heads_of_a_day_are_put_away_once(
    path: Path, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects: dict[str, bytes] = {}
    monkeypatch.setattr(storage, "put", lambda bucket, key, content: objects.update({key: content}))
    other = world.add_tenant(database, "other")
    path.receive(path.tenant.webhook("Hello?"), other.webhook("Hello!"))
    later(monkeypatch, timedelta(days=1))
    assert checkpoints.take(database.app_system, "audit", clock.now()) == 2
    assert checkpoints.take(database.app_system, "audit", clock.now()) == 0
    assert len(objects) == 2
    with path.tenant_session() as session:
        row = session.scalars(select(AuditCheckpoint)).one()
        streams = session.scalars(select(AuditEvent.stream_id).distinct()).all()
    lines = list(map(json.loads, objects[row.object_key].decode().splitlines()))
    # The conversation's, and the organization's own, which tells of its API key.
    assert len(streams) == 2
    assert {(line["stream_id"], line["seq"]) for line in lines} == {(str(s), 1) for s in streams}
    assert str(path.tenant.organization_id) in row.object_key
    later(monkeypatch, timedelta(days=1))
    assert checkpoints.take(database.app_system, "audit", clock.now()) == 2


def test_one_organization_without_a_checkpoint_does_not_cost_the_others_theirs(
    path: Path, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, timedelta(0))
    organizations = {path.tenant.organization_id}
    organizations |= {world.add_tenant(database, slug).organization_id for slug in ("b", "c")}
    failing: list[str] = []
    put: list[str] = []

    def take_in(bucket: str, key: str, content: bytes) -> None:
        if not put and not failing:
            failing.append(key)
        if key in failing:
            raise Unavailable("The bucket audit does not take objects; try again.")
        put.append(key)

    monkeypatch.setattr(storage, "put", take_in)
    with pytest.raises(Unavailable, match="1 of 3 checkpoints"):
        checkpoints.take(database.app_system, "audit", clock.now())
    assert len(put) == 2
    failing[:] = ["none"]
    assert checkpoints.take(database.app_system, "audit", clock.now()) == 1
    assert len(set(put)) == len(organizations) == 3


def test_old_answers_are_forgotten(
    path: Path, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = path.tenant.principal.api_key_id
    with path.tenant_session() as session:
        assert idempotency.begin(session, key_id, str(new_id()), b"request") is None
    for wait, left in ((timedelta(hours=47), 1), (timedelta(hours=2), 0)):
        later(monkeypatch, wait)
        with database.app_system.system() as session:
            idempotency.forget(session, clock.now())
        assert path.count(IdempotencyKey) == left
