from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from countersign.platform import audit
from countersign.platform.audit import Actor, Body, Event, Head, UnrecordableError
from countersign.platform.db import Database, TenantSession
from countersign.platform.ids import new_id
from countersign.platform.verify import Report, verify, verify_pages
from tests.beside import another_connection, wait_until_locked_out
from tests.conftest import TestDatabase

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
ACTOR = Actor("user", "u")


@pytest.fixture
def organization(database: TestDatabase) -> UUID:
    return make_organization(database, "first")


def make_organization(database: TestDatabase, slug: str) -> UUID:
    organization_id = new_id()
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO organizations (id, slug, name) VALUES (%s, %s, %s)",
            [organization_id, slug, slug],
        )
    return organization_id


def event(number: int = 0, **data: Any) -> Event:
    return Event("message.received", ACTOR, {"n": number, **data})


def exported(
    database: TestDatabase,
    organization: UUID,
    stream: UUID,
    bodies: list[Body] | None = None,
) -> dict[str, Any]:
    """What a stranger reads: the export, having been JSON."""
    with database.app_rw.tenant(organization) as session:
        export = audit.export(session, stream, lambda _: bodies or [])
    document: dict[str, Any] = json.loads(json.dumps(export))
    return document


def head_of(database: TestDatabase, organization: UUID, stream: UUID) -> Head:
    events = exported(database, organization, stream)["events"]
    return Head(organization, stream, len(events), events[-1]["hash"])


def verified(database: TestDatabase, organization: UUID, stream: UUID) -> Report:
    report = verify(exported(database, organization, stream))
    assert report.problems == []
    return report


def test_appended_events_verify(database: TestDatabase, organization: UUID) -> None:
    stream = new_id()
    hostile = "\x00 \u2028 \\u0000 '; -- 👍 e\u0301 {}, %s :seqs"
    with database.app_rw.tenant(organization) as session:
        audit.append(session, stream, [event(1, text=hostile), event(2)], NOW)
        audit.append(session, stream, [event(3)], NOW - timedelta(days=1))
    with database.app_rw.tenant(organization) as session:
        audit.append(session, stream, [Event("draft.made", ACTOR, {})], NOW)
    report = verified(database, organization, stream)
    assert (report.events, report.head_seq) == (4, 4)
    first = json.loads(exported(database, organization, stream)["events"][0]["canonical_text"])
    assert first["data"]["text"] == hostile
    with database.connect() as connection:
        rows = connection.execute("SELECT seq, type, occurred_at FROM audit_events ORDER BY seq")
        assert rows.fetchall() == [
            (1, "message.received", NOW),
            (2, "message.received", NOW),
            (3, "message.received", NOW - timedelta(days=1)),
            (4, "draft.made", NOW),
        ]


def test_appends_at_once_make_one_chain(database: TestDatabase, organization: UUID) -> None:
    stream = new_id()

    def append_many(connected: Database) -> None:
        for number in range(12):
            with connected.tenant(organization) as session:
                audit.append(session, stream, [event(number), event(number)], NOW)

    with another_connection(database) as second, another_connection(database) as third:
        writers = [database.app_rw, second, third]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(append_many, writers))
    report = verified(database, organization, stream)
    assert (report.events, report.head_seq) == (72, 72)


def test_an_append_waits_for_the_one_before_it(database: TestDatabase, organization: UUID) -> None:
    """The second transaction has begun before the first commits, and still reads its event."""
    stream = new_id()

    def append_second() -> None:
        with second.tenant(organization) as session:
            audit.append(session, stream, [event(2)], NOW)

    with another_connection(database) as second, ThreadPoolExecutor(1) as pool:
        with database.app_rw.tenant(organization) as session:
            audit.append(session, stream, [event(1)], NOW)
            waiting = pool.submit(append_second)
            wait_until_locked_out(database)
            assert not waiting.done()
        waiting.result(timeout=30)
    assert verified(database, organization, stream).events == 2


def test_streams_do_not_wait_for_each_other(database: TestDatabase, organization: UUID) -> None:
    one, other = new_id(), new_id()
    with another_connection(database) as second, database.app_rw.tenant(organization) as session:
        audit.append(session, one, [event()], NOW)
        with second.tenant(organization) as beside:
            beside.execute(text("SET LOCAL lock_timeout = '5s'"))
            audit.append(beside, other, [event()], NOW)
    assert verified(database, organization, one).events == 1
    assert verified(database, organization, other).events == 1


def test_several_streams_are_appended_to_together(
    database: TestDatabase, organization: UUID
) -> None:
    new, old, untouched = new_id(), new_id(), new_id()
    with database.app_rw.tenant(organization) as session:
        audit.append_all(session, {old: [event(1)]}, NOW)
    with database.app_rw.tenant(organization) as session:
        audit.append_all(session, {new: [event(1)], old: [event(2), event(3)], untouched: []}, NOW)
        audit.append_all(session, {untouched: []}, NOW)
    assert verified(database, organization, new).events == 1
    assert verified(database, organization, old).events == 3
    assert exported(database, organization, untouched)["events"] == []


def test_streams_are_locked_in_one_order_however_they_are_named(
    database: TestDatabase, organization: UUID
) -> None:
    """Else two who name them in opposite orders would wait for each other."""
    first, last = sorted([new_id(), new_id()])

    def append_to_both() -> None:
        with second.tenant(organization) as session:
            audit.append_all(session, {last: [event(2)], first: [event(1)]}, NOW)

    with another_connection(database) as second, ThreadPoolExecutor(1) as pool:
        with database.app_rw.tenant(organization) as session:
            audit.append(session, last, [event(1)], NOW)
            waiting = pool.submit(append_to_both)
            waiter = wait_until_locked_out(database)
            assert advisory_locks(database, waiter) == 1
        waiting.result(timeout=30)
    assert verified(database, organization, first).events == 1
    assert verified(database, organization, last).events == 2


def advisory_locks(database: TestDatabase, pid: int) -> int:
    with database.connect() as connection:
        held = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = %s",
            [pid],
        ).fetchone()
    assert held
    return int(held[0])


def test_what_was_rolled_back_leaves_no_gap(database: TestDatabase, organization: UUID) -> None:
    stream = new_id()
    with database.app_rw.tenant(organization) as session:
        audit.append(session, stream, [event(1)], NOW)
    with pytest.raises(UnrecordableError), database.app_rw.tenant(organization) as session:
        record_two_then_fail(session, stream)
    with database.app_rw.tenant(organization) as session:
        audit.append(session, stream, [event(3)], NOW)
    assert verified(database, organization, stream).events == 2


def record_two_then_fail(session: TenantSession, stream: UUID) -> None:
    audit.append(session, stream, [event(2)], NOW)
    audit.append(session, stream, [event(3), event(4, score=0.5)], NOW)


def test_an_export_lists_each_text_once_and_rather_with_its_words(
    database: TestDatabase, organization: UUID
) -> None:
    stream = new_id()
    salt = audit.new_salt()
    kept = Body(audit.commitment(salt, "Yes, in stock."), salt, "Yes, in stock.")
    erased = Body(audit.commitment(audit.new_salt(), "My address is …"), None, None)
    with database.app_rw.tenant(organization) as session:
        for body in (kept, erased):
            audit.append(session, stream, [event(body_commitment=body.commitment)], NOW)
    without_words = kept._replace(text=None)
    export = exported(database, organization, stream, [without_words, kept, erased, without_words])
    assert export["bodies"] == [
        {"commitment": kept.commitment, "salt": salt.hex(), "text": "Yes, in stock."},
        {"commitment": erased.commitment, "salt": None, "text": None},
    ]
    report = verify(export)
    assert report.problems == []
    assert (report.bodies_checked, report.bodies_erased) == (1, 1)


def test_an_export_ends_a_page_before_it_is_too_large(
    database: TestDatabase, organization: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, asked = new_id(), list[str]()
    texts = [audit.body(audit.new_salt(), f'{n} "says" \\ Grüße 🙂\n' * 50) for n in range(30)]
    with database.app_rw.tenant(organization) as session:
        told = [event(body_commitment=text.commitment) for text in texts]
        audit.append(session, stream, [event(), *told], NOW)

    def find(data: Sequence[Mapping[str, Any]]) -> list[Body]:
        asked.extend(one["body_commitment"] for one in data)
        return [text for text in texts if text.commitment in asked]

    monkeypatch.setattr(audit, "PAGE_BYTES", 20_000)
    pages: list[dict[str, Any]] = []
    following: int | None = 0
    with database.app_rw.tenant(organization) as session:
        while following is not None:
            pages.append(audit.export(session, stream, find, following))
            following = pages[-1]["next_after_seq"]
    assert len(pages) > 3
    for page in pages:
        answered = {"statusCode": 200, "body": json.dumps(page, ensure_ascii=False)}
        assert len(json.dumps(answered)) < 21_000
    assert all(len(page["events"]) > 3 for page in pages[:-1]), "pages are filled"
    report = verify_pages(pages)
    assert report.problems == []
    assert (report.events, report.bodies_checked, report.bodies_not_included) == (31, 30, 0)


def test_an_export_leaves_out_a_text_that_no_answer_holds(
    database: TestDatabase, organization: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = new_id()
    small, large = (audit.body(audit.new_salt(), "x" * length) for length in (10, 10_000))
    with database.app_rw.tenant(organization) as session:
        told = [event(body_commitment=text.commitment) for text in (small, large, small)]
        audit.append(session, stream, told, NOW)
    monkeypatch.setattr(audit, "PAGE_BYTES", 5_000)
    pages, following = list[dict[str, Any]](), 0
    with database.app_rw.tenant(organization) as session:
        for _ in range(3):
            pages.append(audit.export(session, stream, lambda _: [small, large], following or 0))
            following = pages[-1]["next_after_seq"]
    assert [len(page["bodies"]) for page in pages] == [1, 0, 1]
    report = verify_pages(pages)
    assert report.problems == []
    assert (report.bodies_checked, report.bodies_not_included) == (1, 1)


def test_an_event_altered_in_the_database_is_found(
    database: TestDatabase, organization: UUID
) -> None:
    """One who owns the database can lift what keeps the table append-only, not the hashes."""
    stream = new_id()
    with database.app_rw.tenant(organization) as session:
        audit.append(session, stream, [event(1), event(2), event(3)], NOW)
    with database.connect() as connection:
        connection.execute("ALTER TABLE audit_events DISABLE TRIGGER append_only")
        connection.execute(
            "UPDATE audit_events SET canonical_text = replace(canonical_text, '\"n\":2', '\"n\":9')"
            " WHERE seq = 2"
        )
    [problem] = verify(exported(database, organization, stream)).problems
    assert problem.startswith("event 2: it was changed")


def test_heads_are_those_of_streams_that_changed(
    database: TestDatabase, organization: UUID
) -> None:
    other = make_organization(database, "other")
    old, recent, foreign, backdated = new_id(), new_id(), new_id(), new_id()
    with database.app_rw.tenant(organization) as session:
        audit.append(session, old, [event()], NOW - timedelta(days=2))
        audit.append(session, recent, [event()], NOW - timedelta(days=2))
        audit.append(session, recent, [event(), event()], NOW)
        audit.append(session, backdated, [event()], NOW)
        audit.append(session, backdated, [event()], NOW - timedelta(days=3))
    with database.app_rw.tenant(other) as session:
        audit.append(session, foreign, [event()], NOW)
    changed = {head_of(database, organization, stream) for stream in (recent, backdated)}
    changed_elsewhere = {head_of(database, other, foreign)}

    with database.app_system.system() as session:
        since = NOW - timedelta(days=1)
        assert set(audit.heads(session, organization, since)) == changed
        assert set(audit.heads(session, other, since)) == changed_elsewhere
        late_commit = NOW + audit.COMMIT_MARGIN
        assert set(audit.heads(session, other, late_commit)) == changed_elsewhere
        assert audit.heads(session, other, late_commit + timedelta(microseconds=1)) == []


def test_a_checkpoint_of_the_heads_verifies_each_stream(
    database: TestDatabase, organization: UUID
) -> None:
    streams = [new_id() for _ in range(3)]
    with database.app_rw.tenant(organization) as session:
        for length, stream in enumerate(streams, 1):
            audit.append(session, stream, [event(n) for n in range(length)], NOW)
    with database.app_system.system() as session:
        lines = "".join(audit.checkpoint_lines(audit.heads(session, organization, NOW), NOW))
    for length, stream in enumerate(streams, 1):
        export = exported(database, organization, stream)
        assert verify(export, lines).checkpoint_seq == length
        assert verify(export, lines).verified
        export["events"].pop()
        assert not verify(export, lines).verified


def test_another_tenant_exports_nothing(database: TestDatabase, organization: UUID) -> None:
    stream = new_id()
    with database.app_rw.tenant(organization) as session:
        audit.append(session, stream, [event()], NOW)
    other = make_organization(database, "other")
    assert exported(database, other, stream)["events"] == []
