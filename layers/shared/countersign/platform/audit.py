"""The record: append-only events, hash-chained per stream, over canonical text stored as text.

docs/audit.md specifies the format; `verify.py` beside this file checks an export of it and shares
no code with this one on purpose, so that neither's mistake can hide in the other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import text as sql
from sqlalchemy.orm import Session

from countersign.platform.db import TenantSession

TIMELINE_FORMAT = "countersign.timeline/1"
CHECKPOINT_FORMAT = "countersign.checkpoint/1"
FIRST_PREVIOUS = "0" * 64
SALT_BYTES = 16
MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 16
MAX_BYTES = 64 * 1024
COMMIT_MARGIN = timedelta(hours=1)
PAGE_BYTES = 5_000_000
"""Of an export, as a function sends it: a Lambda answer ends at 6,291,556 bytes.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
_EVENTS_AT_ONCE = 20
"""How many events have their texts in memory: each may be as large as a webhook."""

ActorType = Literal["customer", "user", "system", "api_key"]

_ACTOR_TYPES = ("customer", "user", "system", "api_key")
_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_HASH = re.compile(r"[0-9a-f]{64}")

# One order for all, so that no two wait for each other's streams.
_LOCK = sql(
    """
    SELECT pg_advisory_xact_lock(hashtextextended('audit ' || stream_id, 0))
    FROM unnest(CAST(:stream_ids AS uuid[])) AS stream_id
    """
)
_NEWEST = sql(
    """
    SELECT stream.id AS stream_id, newest.seq, newest.hash
    FROM unnest(CAST(:stream_ids AS uuid[])) AS stream (id)
    CROSS JOIN LATERAL (
        SELECT seq, hash FROM audit_events
        WHERE organization_id = :organization_id AND stream_id = stream.id
        ORDER BY seq DESC LIMIT 1) AS newest
    """
)
_INSERT = sql(
    """
    INSERT INTO audit_events
        (organization_id, stream_id, seq, type, occurred_at, canonical_text, hash)
    SELECT :organization_id, event.stream_id, event.seq, event.type, :occurred_at,
           event.canonical_text, event.hash
    FROM unnest(CAST(:stream_ids AS uuid[]), CAST(:seqs AS bigint[]), CAST(:types AS text[]),
                CAST(:canonical_texts AS text[]), CAST(:hashes AS text[]))
         AS event (stream_id, seq, type, canonical_text, hash)
    """
)
_HEADS = sql(
    """
    SELECT changed.organization_id, changed.stream_id, head.seq, head.hash
    FROM (SELECT DISTINCT organization_id, stream_id FROM audit_events
          WHERE organization_id = :organization_id AND occurred_at >= :since) AS changed
    CROSS JOIN LATERAL (
        SELECT seq, hash FROM audit_events
        WHERE organization_id = changed.organization_id AND stream_id = changed.stream_id
        ORDER BY seq DESC LIMIT 1) AS head
    ORDER BY changed.stream_id
    """
)
_STREAM = sql(
    """
    SELECT seq, canonical_text, hash FROM audit_events
    WHERE organization_id = :organization_id AND stream_id = :stream_id AND seq > :after_seq
    ORDER BY seq LIMIT :rows
    """
)


class UnrecordableError(ValueError):
    """Something has no canonical text; the message names the place and what to write instead."""


@dataclass(frozen=True)
class Actor:
    """Who did it: the id of a customer, user or API key, or the name of a part of the system."""

    type: ActorType
    id: str


SYSTEM = Actor("system", "countersign")
"""What no person and no one key did."""


@dataclass(frozen=True)
class Event:
    """What happened. `type` is dotted lower-case words, `data` JSON of ids and facts, never bodies.

    A body stands in `data` as its `commitment`, under the key `commitment` or `…_commitment`.
    """

    type: str
    actor: Actor
    data: Mapping[str, Any]


class Head(NamedTuple):
    """The newest event of a stream."""

    organization_id: UUID
    stream_id: UUID
    seq: int
    hash: str


class Body(NamedTuple):
    """A text that events commit to. Once erased it has no text, and no salt to guess it with."""

    commitment: str
    salt: bytes | None
    text: str | None


Bodies: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Iterable[Body]]
"""Finds what texts there are to the `data` of events; it may find others too."""


def append(
    session: TenantSession, stream_id: UUID, events: Sequence[Event], occurred_at: datetime
) -> None:
    """Append `events` to one stream; see `append_all`."""
    append_all(session, {stream_id: events}, occurred_at)


def append_all(
    session: TenantSession, events: Mapping[UUID, Sequence[Event]], occurred_at: datetime
) -> None:
    """Append to each stream its events, in order.

    `occurred_at` (aware) is when we record, by our clock; a provider's own time belongs in `data`.
    The streams stay locked to the end of the transaction: lock the conversations' rows before them.
    Raises `UnrecordableError`.
    """
    streams = sorted(stream_id for stream_id, appended in events.items() if appended)
    if not streams:
        return
    # A statement of its own: under READ COMMITTED a statement's snapshot is older than a lock
    # that it waited for, so it would miss the event that the lock's holder has just committed.
    session.execute(_LOCK, {"stream_ids": streams})
    heads = _stream_heads(session, streams)
    texts, types, added = [], [], []
    for stream_id in streams:
        head = heads[stream_id]
        for event in events[stream_id]:
            canonical_text = canonical(head, event, occurred_at)
            head = Head(*head[:2], head.seq + 1, _sha256(canonical_text.encode()))
            texts.append(canonical_text)
            types.append(event.type)
            added.append(head)
    session.execute(
        _INSERT,
        {
            "organization_id": session.organization_id,
            "occurred_at": occurred_at,
            "stream_ids": [head.stream_id for head in added],
            "seqs": [head.seq for head in added],
            "types": types,
            "canonical_texts": texts,
            "hashes": [head.hash for head in added],
        },
    )


def _stream_heads(session: TenantSession, streams: Sequence[UUID]) -> dict[UUID, Head]:
    """Each stream's newest event, or what stands before its first."""
    own = {"organization_id": session.organization_id, "stream_ids": streams}
    newest = {row.stream_id: (row.seq, row.hash) for row in session.execute(_NEWEST, own)}
    return {
        stream_id: Head(
            session.organization_id, stream_id, *newest.get(stream_id, (0, FIRST_PREVIOUS))
        )
        for stream_id in streams
    }


def canonical(head: Head, event: Event, occurred_at: datetime) -> str:
    """The canonical text of the event that follows `head` (docs/audit.md); UTF-8 of it is hashed.

    Strings are written as they are, without Unicode normalisation. Raises `UnrecordableError`.
    """
    _check_words(event, occurred_at)
    fields = {
        "v": 1,
        "organization_id": str(head.organization_id),
        "stream_id": str(head.stream_id),
        "seq": head.seq + 1,
        "occurred_at": _utc(occurred_at),
        "type": event.type,
        "actor": asdict(event.actor),
        "data": event.data,
        "previous": head.hash,
    }
    plain = {name: _plain(value, name, MAX_DEPTH - 1) for name, value in fields.items()}
    written = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        size = len(written.encode())
    except UnicodeEncodeError as error:
        raise UnrecordableError(
            f"{event.type} has the lone surrogate {written[error.start]!a}: "
            "UTF-8 cannot write it; replace it"
        ) from None
    if size > MAX_BYTES:
        raise UnrecordableError(
            f"{event.type} takes {size} bytes, more than {MAX_BYTES}: "
            "record an id or a commitment in place of the content"
        )
    return written


def _check_words(event: Event, occurred_at: datetime) -> None:
    if not _TYPE.fullmatch(event.type):
        raise UnrecordableError(
            f'{event.type!r} is not an event type: write dotted words as in "message.received"'
        )
    if event.actor.type not in _ACTOR_TYPES:
        raise UnrecordableError(
            f"{event.type}: {event.actor.type!r} is none of the actor types {_ACTOR_TYPES}"
        )
    if not isinstance(event.actor.id, str) or not event.actor.id:
        raise UnrecordableError(f"{event.type}: actor.id must be text that is not empty")
    if not isinstance(event.data, Mapping):
        raise UnrecordableError(f"{event.type}: data must be an object")
    if occurred_at.tzinfo is None:
        raise UnrecordableError(f"{event.type}: occurred_at has no time zone; pass an aware time")


def _utc(moment: datetime) -> str:
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "Z"


def _plain(value: Any, where: str, levels: int) -> Any:
    """`value`, if JSON has one way to write it; what has none is refused by its place."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return _integer(value, where)
    if isinstance(value, Mapping | list | tuple) and not levels:
        raise UnrecordableError(f"{where} nests deeper than {MAX_DEPTH} levels: flatten it")
    if isinstance(value, Mapping):
        return {
            _key(key, item, where): _plain(item, f"{where}.{key}", levels - 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{n}]", levels - 1) for n, item in enumerate(value)]
    if isinstance(value, float):
        raise UnrecordableError(
            f"{where} is the float {value!r}: record an integer in a smaller unit, or text"
        )
    raise UnrecordableError(f"{where} is of type {type(value).__name__}: record str() of it")


def _integer(value: int, where: str) -> int:
    if abs(value) > MAX_INTEGER:
        raise UnrecordableError(
            f"{where} is beyond 2^53 - 1, which not every JSON reader keeps: record it as text"
        )
    return value


def _key(key: Any, value: Any, where: str) -> str:
    if not isinstance(key, str):
        raise UnrecordableError(f"{where} has the key {key!r}: keys are text")
    if _commits(key) and not (isinstance(value, str) and _HASH.fullmatch(value)):
        raise UnrecordableError(
            f"{where}.{key} is not a commitment: record what `commitment()` returns"
        )
    return key


def _commits(key: str) -> bool:
    return key == "commitment" or key.endswith("_commitment")


def new_salt() -> bytes:
    """16 random bytes; kept in the row of the text they are for, and erased with it."""
    return os.urandom(SALT_BYTES)


def commitment(salt: bytes, text: str) -> str:
    """What an event records of a text: SHA-256 of salt and UTF-8 text, 64 lower-case hex digits."""
    return _sha256(salt + text.encode())


def body(salt: bytes, text: str) -> Body:
    """A text that is still there, as an export lists it."""
    return Body(commitment(salt, text), salt, text)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def export(
    session: TenantSession,
    stream_id: UUID,
    bodies: Bodies,
    after_seq: int = 0,
) -> dict[str, Any]:
    """A page of the stream, a JSON document that `verify.py` checks (docs/audit.md, *Export*).

    `bodies` finds texts to show. A page lists one that comes twice (a draft sent unchanged) once,
    and leaves out those of an event that would not fit into a page of their own.
    """
    events, listed = list[dict[str, Any]](), dict[str, dict[str, Any]]()
    size, last, more = 0, after_seq, False
    for seq, event, texts in _told(session, stream_id, bodies, after_seq):
        new = {text["commitment"]: text for text in texts if text["commitment"] not in listed}
        added = _sent_bytes(event) + sum(map(_sent_bytes, new.values()))
        if more := bool(events) and size + added > PAGE_BYTES:
            break
        events.append(event)
        listed |= new if added <= PAGE_BYTES else {}
        size, last = size + added, seq
    return {
        "format": TIMELINE_FORMAT,
        "organization_id": str(session.organization_id),
        "stream_id": str(stream_id),
        "events": events,
        "bodies": list(listed.values()),
        "next_after_seq": last if more else None,
    }


def _told(
    session: TenantSession, stream_id: UUID, bodies: Bodies, after_seq: int
) -> Iterator[tuple[int, dict[str, Any], list[dict[str, Any]]]]:
    """Each event after `after_seq`: its seq, itself, and the texts that it commits to."""
    own = {"organization_id": session.organization_id, "stream_id": stream_id}
    while rows := session.execute(
        _STREAM, {**own, "after_seq": after_seq, "rows": _EVENTS_AT_ONCE}
    ).all():
        data = [json.loads(row.canonical_text)["data"] for row in rows]
        known: dict[str, Body] = {}
        for body in bodies([one for one in data if any(_commitments(one))]):
            if body.text is not None or body.commitment not in known:
                known[body.commitment] = body
        for row, one in zip(rows, data, strict=True):
            event = {"canonical_text": row.canonical_text, "hash": row.hash}
            texts = [_exported(known[name]) for name in _commitments(one) if name in known]
            yield row.seq, event, texts
        after_seq = rows[-1].seq


def _commitments(data: Any) -> Iterator[str]:
    if isinstance(data, list):
        for item in data:
            yield from _commitments(item)
    elif isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and _commits(key):
                yield value
            yield from _commitments(value)


def _sent_bytes(item: dict[str, Any]) -> int:
    """At most: the runtime writes the body, which is JSON, as a string of another JSON."""
    return len(json.dumps(json.dumps(item, ensure_ascii=False)))


def _exported(body: Body) -> dict[str, Any]:
    return {
        "commitment": body.commitment,
        "salt": body.salt.hex() if body.salt is not None else None,
        "text": body.text,
    }


def heads(session: Session, organization_id: UUID, since: datetime) -> list[Head]:
    """Heads of the organization's streams that have an event since then, by stream id.

    Looks back an hour further, for transactions that recorded before `since` and committed after.
    """
    bounds = {"organization_id": organization_id, "since": since - COMMIT_MARGIN}
    return [Head(*row) for row in session.execute(_HEADS, bounds)]


def checkpoint_lines(heads: Iterable[Head], taken_at: datetime) -> Iterator[str]:
    """The checkpoint file: one line of JSON a head, each ended by a newline (docs/audit.md)."""
    for head in heads:
        line = {
            "format": CHECKPOINT_FORMAT,
            "taken_at": _utc(taken_at),
            "organization_id": str(head.organization_id),
            "stream_id": str(head.stream_id),
            "seq": head.seq,
            "hash": head.hash,
        }
        yield json.dumps(line, separators=(",", ":")) + "\n"
