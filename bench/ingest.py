"""Messages a second through the ingest handler, beside hand-written SQL that makes the same rows.

Both write to the same Postgres, which waits for the disk, as the role app_rw under the same
policies. The handler takes batches of ten; the hand-written peer commits each message by itself
and leaves out what makes no row: parsing, checks, emptying the outbox. Queues are in memory; what
publishing costs in Python is printed apart.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import event

from countersign.channels.envelope import Envelope, to_message
from countersign.drafting.batches import IngestSettings, ingest
from countersign.platform import audit, queues
from countersign.platform.ids import new_id
from countersign.platform.outbox import Outbox
from local import postgres
from tests import conftest, world
from tests.world import MemoryQueues, Tenant

BATCH = 10
_SETTINGS = IngestSettings(raw_bucket="", messages_bucket="", channel_key_secret_id="")
MESSAGES_PER_CONVERSATION = 4


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=1000, help="of each side, in each round")
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    with _database() as database:
        measured = [_round(database, number, chosen.messages) for number in range(chosen.rounds)]
    print("round  handler/s  by hand/s  ratio  publishing ms/message")
    for number, row in enumerate(measured):
        ratio = row["handler"] / row["by_hand"]
        print(
            f"{number:>5} {row['handler']:>10.0f} {row['by_hand']:>10.0f} {ratio:>6.2f}"
            f" {row['publishing_ms']:>22.3f}"
        )
    result = {
        "ratio": round(statistics.median(r["handler"] / r["by_hand"] for r in measured), 3),
        "per_second": round(statistics.median(r["handler"] for r in measured)),
        "statements_per_message": round(measured[0]["statements"], 2),
    }
    print(json.dumps(result))


@contextmanager
def _database() -> Iterator[conftest.TestDatabase]:
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.running(Path(folder) / "postgres", fsync=True) as cluster,
    ):
        template = conftest.make_template(cluster)
        with conftest.copied(cluster, template, "bench") as database:
            yield database


def _round(database: conftest.TestDatabase, number: int, count: int) -> dict[str, float]:
    """One round of each side, on a fresh tenant each, so that neither meets the other's rows."""
    first, second = (world.add_tenant(database, f"{name}{number}") for name in ("a", "b"))
    sides: list[Callable[[], dict[str, float]]] = [
        lambda: _handler(database, first, count),
        lambda: _by_hand(database, second, count),
    ]
    random.shuffle(sides)
    gc.collect()
    row: dict[str, float] = {}
    for side in sides:
        row |= side()
    return row


def _envelopes(tenant: Tenant, count: int) -> list[Envelope]:
    conversations = count // MESSAGES_PER_CONVERSATION
    return [
        tenant.webhook(
            f"Message {number}: do you have the fitting AN-6 in black, and when would it ship?",
            conversation=f"c{number % conversations}",
            message_id=f"m{number}",
        )
        for number in range(count)
    ]


def _handler(database: conftest.TestDatabase, tenant: Tenant, count: int) -> dict[str, float]:
    memory = MemoryQueues()
    queues.send_delayed = memory.send_delayed
    outbox = Outbox(database.app_rw, world.QUEUE_URLS)
    records = [
        (str(number), json.dumps(to_message(envelope, "")))
        for number, envelope in enumerate(_envelopes(tenant, count))
    ]
    batches = [records[start : start + BATCH] for start in range(0, count, BATCH)]
    statements = _Counter(database)
    started = time.perf_counter()
    for batch in batches:
        assert ingest(outbox, batch, _SETTINGS) == []
    seconds = time.perf_counter() - started
    statements.stop()
    return {
        "handler": count / seconds,
        "statements": statements.count / count,
        "publishing_ms": _publishing(memory) * 1000 / count,
    }


def _publishing(memory: MemoryQueues) -> float:
    """Seconds that making the texts of the queue messages takes."""
    bodies = [body for messages in memory.sent.values() for body, _ in messages]
    started = time.perf_counter()
    for body in bodies:
        json.dumps(body, separators=(",", ":"))
    return time.perf_counter() - started


class _Counter:
    """Counts statements and commits."""

    def __init__(self, database: conftest.TestDatabase) -> None:
        self.count = 0
        self._engine = database.app_rw.engine
        event.listen(self._engine, "before_cursor_execute", self._add)
        event.listen(self._engine, "commit", self._add)

    def _add(self, *_: Any) -> None:
        self.count += 1

    def stop(self) -> None:
        event.remove(self._engine, "before_cursor_execute", self._add)
        event.remove(self._engine, "commit", self._add)


def _by_hand(database: conftest.TestDatabase, tenant: Tenant, count: int) -> dict[str, float]:
    envelopes = _envelopes(tenant, count)
    with database.connect("app_rw", autocommit=False) as connection:
        started = time.perf_counter()
        for envelope in envelopes:
            _one_by_hand(connection, tenant, envelope)
        return {"by_hand": count / (time.perf_counter() - started)}


def _one_by_hand(connection: psycopg.Connection[Any], tenant: Tenant, envelope: Envelope) -> None:
    data = json.loads(envelope.request.body)["data"]
    own: dict[str, Any] = {
        "o": tenant.organization_id,
        "channel": tenant.channel_id,
        "now": datetime.now(UTC),
    }
    own |= {"text": data["text"], "external": data["message_id"], "thread": data["conversation_id"]}
    address = data["sender"]["address"]
    own |= {"address": address, "email": address, "name": data["sender"]["name"]}
    own |= {"salt": audit.new_salt(), "message": new_id(), "request": new_id()}
    run = connection.execute
    run("SELECT set_config('app.organization_id', %s, true)", [str(tenant.organization_id)])
    conversation, person = run(
        """INSERT INTO conversations (organization_id, id, channel_id, external_id,
               customer_address, customer_email, customer_name)
           VALUES (%(o)s, %(id)s, %(channel)s, %(thread)s, %(address)s, %(email)s, %(name)s)
           ON CONFLICT (organization_id, channel_id, external_id)
           DO UPDATE SET external_id = excluded.external_id RETURNING id, person_id""",
        {**own, "id": new_id()},
    ).fetchone() or (None, None)
    own["conversation"] = conversation
    run(
        """INSERT INTO webhook_deliveries (organization_id, id, channel_id, provider_event_id,
               status, received_at)
           VALUES (%(o)s, %(id)s, %(channel)s, %(external)s, 'accepted', %(now)s)
           ON CONFLICT DO NOTHING""",
        {**own, "id": new_id()},
    )
    run(
        """INSERT INTO messages (organization_id, id, conversation_id, channel_id, external_id,
               direction, role, body_text, body_salt, sent_at)
           VALUES (%(o)s, %(message)s, %(conversation)s, %(channel)s, %(external)s, 'inbound',
               'user', %(text)s, %(salt)s, %(now)s) ON CONFLICT DO NOTHING""",
        own,
    )
    if person is None:
        person = _person_by_hand(connection, own)
    run(
        """UPDATE conversations SET status = 'open', snoozed_until = NULL,
               waiting_since = coalesce(waiting_since, %(now)s), last_message_at = %(now)s,
               latest_inbound_at = %(now)s, latest_message_id = %(message)s,
               latest_inbound_message_id = %(message)s, person_id = %(person)s
           WHERE organization_id = %(o)s AND id = %(conversation)s""",
        {**own, "person": person},
    )
    for table, values, state in (
        ("draft_requests", "'superseded', reason = 'newer_message'", "IN ('waiting', 'drafting')"),
        ("drafts", "'superseded'", "= 'pending'"),
        ("deliveries", "'cancelled', reason_code = 'newer_message'", "= 'queued'"),
    ):
        run(
            f"UPDATE {table} SET status = {values} WHERE organization_id = %(o)s"
            f" AND conversation_id = %(conversation)s AND status {state}",
            own,
        )
    seconds = run(
        "SELECT debounce_seconds FROM organization_settings WHERE organization_id = %(o)s", own
    ).fetchone()
    due = own["now"] + timedelta(seconds=seconds[0] if seconds else 0)
    run(
        """INSERT INTO draft_requests (organization_id, id, conversation_id, trigger_message_id,
               not_before)
           VALUES (%(o)s, %(request)s, %(conversation)s, %(message)s, %(due)s)""",
        {**own, "due": due},
    )
    body = {
        "organization_id": str(own["o"]),
        "draft_request_id": str(own["request"]),
        "correlation_id": envelope.correlation_id,
    }
    run(
        """INSERT INTO outbox (organization_id, id, queue, body, not_before)
           VALUES (%(o)s, %(id)s, 'drafts', %(body)s, %(due)s)""",
        {**own, "id": new_id(), "body": Jsonb(body), "due": due},
    )
    _record_by_hand(connection, own, person)
    connection.commit()


def _person_by_hand(connection: psycopg.Connection[Any], own: dict[str, Any]) -> Any:
    found = connection.execute(
        """INSERT INTO people (organization_id, id, name, email)
           VALUES (%(o)s, %(id)s, %(name)s, %(address)s)
           ON CONFLICT (organization_id, email)
           DO UPDATE SET name = coalesce(people.name, excluded.name) RETURNING id""",
        {**own, "id": new_id()},
    ).fetchone()
    assert found
    connection.execute(
        """INSERT INTO participants (organization_id, id, conversation_id, address, name, person_id)
           VALUES (%(o)s, %(id)s, %(conversation)s, %(address)s, %(name)s, %(person)s)""",
        {**own, "id": new_id(), "person": found[0]},
    )
    return found[0]


def _record_by_hand(
    connection: psycopg.Connection[Any], own: dict[str, Any], person: object
) -> None:
    stream = own["conversation"]
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"audit {stream}"])
    newest = connection.execute(
        """SELECT seq, hash FROM audit_events
           WHERE organization_id = %(o)s AND stream_id = %(conversation)s
           ORDER BY seq DESC LIMIT 1""",
        own,
    ).fetchone()
    head = audit.Head(own["o"], stream, *(newest or (0, audit.FIRST_PREVIOUS)))
    data = {
        "message_id": str(own["message"]),
        "channel_id": str(own["channel"]),
        "external_id": own["external"],
        "body_commitment": audit.commitment(own["salt"], own["text"]),
        "attachments": 0,
    }
    received = audit.Event("message.received", audit.Actor("customer", str(person)), data)
    canonical = audit.canonical(head, received, own["now"])
    connection.execute(
        """INSERT INTO audit_events (organization_id, stream_id, seq, type, occurred_at,
               canonical_text, hash)
           VALUES (%(o)s, %(conversation)s, %(seq)s, 'message.received', %(now)s, %(canonical)s,
               %(hash)s)""",
        {
            **own,
            "seq": head.seq + 1,
            "canonical": canonical,
            "hash": audit._sha256(canonical.encode()),
        },
    )


if __name__ == "__main__":
    main()
