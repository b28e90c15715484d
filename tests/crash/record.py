"""What a run has come to, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from countersign.drafting import exporting
from countersign.platform import verify
from tests.crash.stage import Stage

FaultKind = Literal[
    "sent twice",
    "not approved",
    "not sent",
    "not recorded",
    "taken in twice",
    "lost",
    "answers an older message",
    "left under way",
    "dead letter",
    "promise kept back",
    "not verified",
    "half indexed",
    "not embedded",
    "never rests",
    "another end",
    "more effort",
]
Record = Mapping[str, list[str]]
"""The end of a run, told so that two can be compared: without ids, times and salts."""

# What only says that something was uncertain for a while, or became known in another way.
DETOURS = "type IN ('delivery.unknown', 'delivery.resolved', 'delivery.sent')"
# And what was told before it turned out to be wrong.
TAKEN_BACK = (
    "type = 'delivery.delivered'"
    " AND stream_id IN (SELECT stream_id FROM audit_events WHERE type = 'delivery.failed')"
)
_VECTORS = (
    "JOIN {0}_embeddings ON {0}_id = {0}s.id"
    " JOIN embedding_spaces ON embedding_spaces.id = embedding_space_id"
)
_VECTOR = "model, left(md5(embedding::text), 8)"
END = {
    "messages": (
        "messages",
        "concat_ws(' ', direction, left(body_text, 40), cancelled_at IS NOT NULL)",
    ),
    "media": ("attachments", "concat_ws(' ', mime_type, status)"),
    "drafts": ("drafts", "concat_ws(' ', revision, status)"),
    # How many are overtaken depends on which messages came in together.
    "requests": (
        "draft_requests",
        "concat_ws(' ', revision, status)",
        "status <> 'superseded'",
    ),
    "actions": ("draft_actions", "concat_ws(' ', type, revoked_at IS NOT NULL)"),
    "deliveries": ("deliveries", "status"),
    "samples": ("learning_samples", "diff_json::text"),
    "conversations": (
        "conversations",
        "concat_ws(' ', status, waiting_since IS NULL,"
        " latest_message_id = latest_inbound_message_id)",
    ),
    "events": ("webhook_deliveries", "status"),
    "recorded": ("audit_events", "type", f"NOT ({DETOURS} OR {TAKEN_BACK})"),
    "suppressed": ("suppressions", "concat_ws(' ', address, reason)"),
    "documents": (
        "documents JOIN document_versions ON document_id = id",
        "concat_ws(' ', documents.title, documents.version, processing_status,"
        " document_versions.version, content)",
    ),
    "passages": (
        f"chunks JOIN documents ON documents.id = document_id {_VECTORS.format('chunk')}",
        f"concat_ws(' ', documents.title, chunk_index, left(text, 40), {_VECTOR})",
    ),
    "letters": (
        f"messages {_VECTORS.format('message')}",
        f"concat_ws(' ', left(body_text, 40), {_VECTOR})",
    ),
    "runs": (
        "job_runs",
        "concat_ws(' ', type, status, error, metrics ->> 'chunks', metrics ->> 'embedded')",
    ),
    "told": ("notifications", "type", "type <> 'delivery_unknown'"),
    "checkpoints": ("audit_checkpoints", "streams::text"),
}
EFFORT = {
    "attempts": ("delivery_attempts", "outcome"),
    # Nobody claims messages that have no vector: two may call for one, for which alone they call.
    "model calls": ("model_usage", "kind", "subject_id IS NOT NULL"),
    "fetches": ("attachments", "attempts::text"),
    "detours": ("audit_events", "type", DETOURS),
}
"""To get over a crash takes more of it; a message that comes twice must not."""
# What a mail has in common with another telling of it: of one id alone there may be several.
_NAMED = (
    "'message ' || CASE WHEN raw_key IS NULL THEN external_id"
    " ELSE split_part(external_id, '#', 1) || ' ' || body_text END"
)
_WENT_OUT = "status IN ('sent', 'delivered') OR stop_reason = 'bounced'"
_REVOKED = f"({_WENT_OUT}) AND revoked_at IS NOT NULL"
UNDER_WAY = "status IN ('waiting', 'drafting', 'queued', 'running', 'sending', 'unknown')"
_KEPT = "chunks.version <> documents.version"
# Other than by one vector, in the space that the organization is searched in.
_MISEMBEDDED = (
    "ARRAY(SELECT embedding_space_id FROM {0}_embeddings WHERE {0}_id = {0}s.id)"
    " <> ARRAY(SELECT embedding_space_id FROM organization_settings)"
)


class Fault(NamedTuple):
    """Something that must not be, and where it shows."""

    kind: FaultKind
    what: str


def read(stage: Stage) -> Record:
    """The end that a run has come to."""
    parts = (_select(name, *query) for name, query in (END | EFFORT).items())
    record: dict[str, list[str]] = {name: [] for name in END | EFFORT}
    for row in stage.ground.rows(" UNION ALL ".join(parts) + " ORDER BY name, text"):
        record[row["name"]].append(row["text"])
    return record | {"mails": sorted(mail.told for mail in stage.outside.mails())}


def _select(name: str, table: str, text: str, condition: str = "true") -> str:
    return f"SELECT '{name}' AS name, {text} AS text FROM {table} WHERE {condition}"


def _texts(stage: Stage, table: str, text: str, condition: str = "true") -> list[str]:
    sql = _select("", table, text, condition)
    return [row["text"] for row in stage.ground.rows(sql)]


def faults(stage: Stage, expected: Record | None, *, effort: bool = False) -> list[Fault]:
    """What is wrong with a run at rest.

    `expected` is the end of one without trouble, where there is but one end. With `effort`, it must
    not have taken more either.
    """
    found = [*_sends(stage), *_leftovers(stage), *_doubles(stage), *_lost(stage)]
    found += [*_stale(stage), *_chains(stage), *_vectors(stage)]
    if expected is not None:
        record = read(stage)
        found += _differences(record, expected, "another end", [*END, "mails"])
        found += _differences(record, expected, "more effort", list(EFFORT) if effort else [])
    return found


def _sends(stage: Stage) -> Iterator[Fault]:
    """The deliveries against the providers' own record."""
    accepted = Counter(stage.outside.accepted())
    text = "payload ->> 'text'"
    wanted = Counter(_texts(stage, "deliveries", text, "status <> 'cancelled'"))
    sent = Counter(_texts(stage, "deliveries", text, _WENT_OUT))
    for one in accepted | wanted:
        if accepted[one] > wanted[one]:
            yield Fault("sent twice", f"{one[:40]!r}: {accepted[one]} for {wanted[one]}")
        elif accepted[one] != sent[one]:
            kind: FaultKind = "not sent" if accepted[one] < sent[one] else "not recorded"
            yield Fault(kind, f"{one[:40]!r}: {accepted[one]} accepted, {sent[one]} recorded")
    for one in _texts(stage, "deliveries JOIN draft_actions USING (message_id)", text, _REVOKED):
        yield Fault("not approved", f"{one[:40]!r} went out")


def _leftovers(stage: Stage) -> Iterator[Fault]:
    for table in ("draft_requests", "deliveries", "job_runs"):
        for status in _texts(stage, table, "status", UNDER_WAY):
            yield Fault("left under way", f"one of {table} is {status}")
    for number in _texts(stage, "delivery_attempts", "number", "finished_at IS NULL"):
        yield Fault("left under way", f"attempt {number} has no end")
    for text in _texts(stage, "chunks JOIN documents ON document_id = documents.id", "text", _KEPT):
        yield Fault("left under way", f"{text[:40]!r} is of a version that is not there")
    for queue in _texts(stage, "outbox", "queue"):
        yield Fault("promise kept back", f"the outbox still holds a message for {queue}")
    for message in stage.outside.queues.dead:
        yield Fault("dead letter", f"{message.queue}: {message.body[:80]}")


def _doubles(stage: Stage) -> Iterator[Fault]:
    events = _texts(stage, "webhook_deliveries", "'event ' || provider_event_id")
    messages = _texts(stage, "messages", _NAMED, "direction = 'inbound'")
    for what, times in Counter(events + messages).items():
        if times > 1:
            yield Fault("taken in twice", what)


def _lost(stage: Stage) -> Iterator[Fault]:
    """What customers wrote, and the whole mails that messages point to."""
    heard = _texts(stage, "messages", "body_text", "direction = 'inbound'")
    for text in stage.customer.wrote.difference(heard):
        yield Fault("lost", f"the customer's {text[:40]!r}")
    for key in _texts(stage, "messages", "raw_key", "raw_key IS NOT NULL"):
        raw = stage.outside.buckets.objects.get(("messages", key), b"")
        if hashlib.sha256(raw).hexdigest() not in key:
            yield Fault("lost", f"the mail {key}")


def _vectors(stage: Stage) -> Iterator[Fault]:
    """Texts that search did not find as they are, or will not."""
    for title in stage.half_indexed:
        yield Fault("half indexed", f"search found not just the whole of {title!r}")
    for owner, text in (("chunk", "text"), ("message", "body_text")):
        for one in _texts(stage, f"{owner}s", text, _MISEMBEDDED.format(owner)):
            yield Fault("not embedded", f"{one[:40]!r}")


def _stale(stage: Stage) -> Iterator[Fault]:
    """Approvals that stand in the record after a message which their draft does not answer."""
    sql = """
        WITH told AS (SELECT stream_id, seq, type, canonical_text::jsonb -> 'data' AS data
                      FROM audit_events)
        SELECT approved.type
        FROM told approved
        JOIN drafts ON drafts.id::text = approved.data ->> 'draft_id'
        JOIN told asked ON asked.data ->> 'message_id' = drafts.trigger_message_id::text
        JOIN told newer ON newer.stream_id = approved.stream_id
        WHERE approved.type IN ('draft.approved', 'draft.edited')
          AND asked.type = 'message.received' AND newer.type = 'message.received'
          AND newer.seq > asked.seq AND newer.seq < approved.seq
    """
    for row in stage.ground.rows(sql):
        yield Fault("answers an older message", row["type"])


def _chains(stage: Stage) -> Iterator[Fault]:
    """Each conversation's export, and the night's checkpoint, by the verifier that we give out."""
    objects = stage.outside.buckets.objects
    lines = "".join(objects[bucket, key].decode() for bucket, key in objects if bucket == "audit")
    for conversation in stage.ground.rows("SELECT id FROM conversations"):
        with stage.ground.tenant_session() as session:
            export = exporting.export(session, conversation["id"]).model_dump(mode="json")
        for problem in verify.verify(export, lines or None).problems:
            yield Fault("not verified", problem)


def _differences(
    record: Record, expected: Record, kind: FaultKind, names: list[str]
) -> Iterator[Fault]:
    for name in names:
        if record[name] != expected[name]:
            yield Fault(kind, f"{name}: {record[name]} instead of {expected[name]}")
