"""Verify an exported Countersign timeline. This one file and Python 3.11 or newer are all it takes.

    python verify.py timeline.json [page-2.json …] [--checkpoint checkpoint.jsonl] [--json]

Exit code 0: verified. 1: not verified; every problem is printed. 2: not a timeline export, or a
file that cannot be read. docs/audit.md specifies the format.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

TIMELINE_FORMAT = "countersign.timeline/1"
CHECKPOINT_FORMAT = "countersign.checkpoint/1"
FIRST_PREVIOUS = "0" * 64
MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 16

STREAM = ("organization_id", "stream_id")
EXPORT_FIELDS = ("format", *STREAM, "events", "bodies", "next_after_seq")
EVENT_FIELDS = ("v", *STREAM, "seq", "occurred_at", "type", "actor", "data", "previous")
LINE_FIELDS = ("format", "taken_at", *STREAM, "seq", "hash")
ACTOR_TYPES = ("customer", "user", "system", "api_key")

_HASH = re.compile(r"[0-9a-f]{64}")
_SALT = re.compile(r"[0-9a-f]{32}")
_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


class NotAnExport(Exception):
    """The document is of another shape; the message says where and how."""


@dataclass
class Report:
    """What was checked, and what was wrong; `events` counts all listed, `head` is the last one.

    `hashes` has that of each seq, `committed` what events commit to."""

    organization_id: str
    stream_id: str
    events: int = 0
    head_seq: int = 0
    head_hash: str = FIRST_PREVIOUS
    bodies_checked: int = 0
    bodies_erased: int = 0
    bodies_not_included: int = 0
    checkpoint_seq: int | None = None
    problems: list[str] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict, repr=False)
    committed: set[str] = field(default_factory=set, repr=False)

    @property
    def verified(self) -> bool:
        return not self.problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the files named on the command line; returns the exit code."""
    options = _options(arguments)
    try:
        lines = None if options.checkpoint is None else _read(options.checkpoint)
        report = verify_pages([_parse(path) for path in options.timeline], lines)
    except NotAnExport as error:
        unusable = json.dumps({"verified": False, "error": str(error)})
        print(unusable if options.json else f"NOT A TIMELINE EXPORT: {error}")
        return 2
    print(json.dumps(_machine(report)) if options.json else _person(report))
    return 0 if report.verified else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="verify.py", description="Verify an exported Countersign timeline."
    )
    parser.add_argument(
        "timeline", nargs="+", help="JSON of GET /v1/conversations/{id}/export; its pages in order"
    )
    parser.add_argument(
        "--checkpoint",
        help="checkpoint file (JSON lines) that was kept elsewhere; shows events cut off the end",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead")
    return parser.parse_args(arguments)


def _read(path: str) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotAnExport(f"{_shown(path)} is not UTF-8 at byte {error.start}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotAnExport(f"{_shown(path)} cannot be read: {reason}") from None


def _parse(path: str) -> object:
    try:
        return _strict_json(_read(path))
    except ValueError as error:
        raise NotAnExport(f"{_shown(path)} is not JSON that can be verified: {error}") from None


def verify(document: object, checkpoint_lines: str | None = None) -> Report:
    """Check an export, parsed from its JSON, against itself and a checkpoint file's text.

    Raises `NotAnExport` where the shape, rather than the content, is wrong.
    """
    return verify_pages([document], checkpoint_lines)


def verify_pages(documents: Sequence[object], checkpoint_lines: str | None = None) -> Report:
    """Like `verify`, for all pages of an export in their order."""
    pages = [_export(document, f"page {number}") for number, document in enumerate(documents, 1)]
    report = Report(pages[0]["organization_id"], pages[0]["stream_id"])
    _check_pages(pages, report)
    _check_bodies(pages, report)
    if checkpoint_lines is not None:
        _check_checkpoints(checkpoint_lines, report)
    return report


def _export(document: object, where: str) -> dict[str, Any]:
    if isinstance(document, dict) and document.get("format") != TIMELINE_FORMAT:
        found = _shown(document.get("format"))
        raise NotAnExport(
            f'"format" of {where} is {found}; this verifier knows "{TIMELINE_FORMAT}"'
        )
    export = _object(document, EXPORT_FIELDS, where)
    for name in STREAM:
        _typed(export[name], str, f'"{name}"')
    for n, event in enumerate(_typed(export["events"], list, '"events"'), 1):
        _object(event, ("canonical_text", "hash"), f"event {n}")
        _typed(event["canonical_text"], str, f"canonical_text of event {n}")
        _typed(event["hash"], str, f"hash of event {n}")
    for n, body in enumerate(_typed(export["bodies"], list, '"bodies"'), 1):
        _object(body, ("commitment", "salt", "text"), f"text {n}")
        _typed(body["commitment"], str, f"commitment of text {n}")
        _typed(body["salt"], str | None, f"salt of text {n}")
        _typed(body["text"], str | None, f"text {n}")
    if type(export["next_after_seq"]) not in (int, type(None)):
        raise NotAnExport(f'"next_after_seq" is {_shown(export["next_after_seq"])}, not an integer')
    return export


def _object(value: object, names: Sequence[str], where: str) -> dict[str, Any]:
    """`value`, an object with exactly these fields: one more would look verified and is not."""
    if not isinstance(value, dict):
        raise NotAnExport(f"{where} is not a JSON object")
    for name in names:
        if name not in value:
            raise NotAnExport(f'{where} has no "{name}"')
    for name in value:
        if name not in names:
            raise NotAnExport(f"{where} has the field {_shown(name)}, which this format has not")
    return value


def _typed(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, kind):
        raise NotAnExport(f"{where} is {_shown(value)}, not the kind of value that belongs there")
    return value


def _head(value: dict[str, Any], where: str) -> None:
    if type(value["seq"]) is not int:
        raise NotAnExport(f'"seq" of {where} is {_shown(value["seq"])}, not an integer')
    _typed(value["hash"], str, f'"hash" of {where}')


def _check_pages(pages: list[dict[str, Any]], report: Report) -> None:
    for number, page in enumerate(pages, 1):
        due = report.head_seq + 1
        seqs = [_check_event(entry, report) for entry in page["events"]]
        first = seqs[0] if seqs else due
        wrong = _check_page(page, first, due, report, is_last=number == len(pages))
        report.problems += [f"page {number}: {problem}" for problem in wrong]
    if not report.events:
        report.problems.append("there are no events, so there is nothing to verify")


def _check_page(
    page: dict[str, Any], first: int, due: int, report: Report, is_last: bool
) -> Iterator[str]:
    """What is wrong with where the page stands; `report` holds its last event."""
    following, last = page["next_after_seq"], report.head_seq
    if any(page[name] != getattr(report, name) for name in STREAM):
        yield "it is of another stream than the first"
    if first > due:
        yield f"it begins at seq {first}, where {due} should follow: a page before it is missing"
    if following is not None and following != last:
        yield f"it says that it ends at seq {_shown(following)}, and ends at {last}"
    if following is not None and is_last:
        yield f"it is not the last one: the page after_seq={_shown(following)} is missing"
    if following is None and not is_last:
        yield "it says that it is the last one, and another follows"


def _check_event(entry: dict[str, str], report: Report) -> int:
    """Check one event after the one that `report` holds; returns its seq."""
    wrong = list(_check_hash(entry))
    event = _event(entry["canonical_text"], wrong)
    wrong += _check_place(event, report)
    if event is not None:
        report.committed.update(_commitments(event["data"]))
    seq = report.head_seq + 1 if event is None or type(event["seq"]) is not int else event["seq"]
    report.hashes[seq] = entry["hash"]
    report.events += 1
    report.head_seq = max(seq, report.head_seq)
    report.head_hash = entry["hash"]
    report.problems += [f"event {report.events}: {problem}" for problem in wrong]
    return seq


def _check_hash(entry: dict[str, str]) -> Iterator[str]:
    try:
        digest = hashlib.sha256(entry["canonical_text"].encode()).hexdigest()
    except UnicodeEncodeError:
        yield "its text has a lone surrogate, which UTF-8 cannot write"
        return
    if digest != entry["hash"]:
        said = _shown(entry["hash"])
        yield f"it was changed: its text hashes to {digest}, and the export says {said}"


def _event(text: str, wrong: list[str]) -> dict[str, Any] | None:
    """The event that a canonical text holds, or none if it is not one; adds what is wrong."""
    try:
        event = _strict_json(text)
    except ValueError as error:
        wrong.append(f"its text is not canonical JSON: {error}")
        return None
    if json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":")) != text:
        wrong.append("its text is not canonical: it can be written in another way")
    try:
        fields = _object(event, EVENT_FIELDS, "its text")
        _object(fields["actor"], ("type", "id"), "its actor")
        _typed(fields["data"], dict, "its data")
    except NotAnExport as error:
        wrong.append(str(error))
        return None
    wrong += _check_fields(fields)
    return fields


def _strict_json(text: str) -> object:
    """Parse JSON that has one reading everywhere. Raises ValueError for anything else."""
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
        is_shallow = _shallow(value, MAX_DEPTH)
    except RecursionError:
        is_shallow = False
    if not is_shallow:
        raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for key, value in pairs:
        if key in unique:
            raise ValueError(f"the key {_shown(key)} comes twice in one object")
        unique[key] = value
    return unique


def _integer(literal: str) -> int:
    if len(literal) > len(str(-MAX_INTEGER)) or abs(int(literal)) > MAX_INTEGER:
        raise ValueError(f"the number {_shown(literal)} is beyond 2^53 - 1")
    return int(literal)


def _no_float(literal: str) -> float:
    raise ValueError(f"the number {_shown(literal)} is not an integer")


def _shallow(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_shallow(item, levels - 1) for item in items)


def _check_fields(event: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the values that stand for themselves."""
    if type(event["v"]) is not int or event["v"] != 1:
        yield f"its version is {_shown(event['v'])}; this verifier knows 1"
    if not _matches(_MOMENT, event["occurred_at"]) or not _exists(event["occurred_at"]):
        yield (
            f"occurred_at is {_shown(event['occurred_at'])}, "
            "not a time in UTC with microseconds as 2026-01-31T23:59:59.000000Z"
        )
    if not _matches(_TYPE, event["type"]):
        yield f"its type is {_shown(event['type'])}, not dotted lower-case words"
    if event["actor"]["type"] not in ACTOR_TYPES:
        yield f"its actor's type is {_shown(event['actor']['type'])}, not one of {ACTOR_TYPES}"
    if not isinstance(event["actor"]["id"], str) or not event["actor"]["id"]:
        yield f"its actor's id is {_shown(event['actor']['id'])}, not text"


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _exists(moment: str) -> bool:
    try:
        datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError:
        return False
    return True


def _check_place(event: dict[str, Any] | None, report: Report) -> Iterator[str]:
    """What is wrong with where the event stands; `report` holds the event before it."""
    if event is None:
        return
    for name in STREAM:
        if event[name] != getattr(report, name):
            exported = _shown(getattr(report, name))
            yield f"its {name} is {_shown(event[name])}, the export's {exported}"
    expected, seq = report.head_seq + 1, event["seq"]
    if type(seq) is not int:
        yield f"its seq is {_shown(seq)}, not an integer"
    elif seq > expected:
        missing = seq - expected
        yield f"its seq is {seq}, where {expected} should follow: {missing} missing before it"
    elif seq < expected:
        yield f"its seq is {seq}, where {expected} should follow: it is repeated or out of order"
    if event["previous"] != report.head_hash:
        yield (
            f"it does not follow the event before it: that has hash {_shown(report.head_hash)}, "
            f"and this one was written after {_shown(event['previous'])}"
        )


def _commitments(data: object) -> Iterator[str]:
    if isinstance(data, list):
        for item in data:
            yield from _commitments(item)
    elif isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and (key == "commitment" or key.endswith("_commitment")):
                yield value
            yield from _commitments(value)


def _check_bodies(pages: list[dict[str, Any]], report: Report) -> None:
    """Check the texts; two pages may list the same one, for an event of each."""
    listed: dict[str, tuple[int, bool]] = {}
    bodies = ((page, body) for page, one in enumerate(pages) for body in one["bodies"])
    for number, (page, body) in enumerate(bodies, 1):
        name, wrong = body["commitment"], list(_check_body(body))
        if name not in report.committed:
            wrong.append("no event commits to it")
        on, has_text = listed.get(name, (-1, False))
        if on == page:
            wrong.append("its commitment is listed twice")
        listed[name] = page, has_text or body["text"] is not None
        report.problems += [f"text {number}: {problem}" for problem in wrong]
    report.bodies_checked = sum(has_text for _, has_text in listed.values())
    report.bodies_erased = len(listed) - report.bodies_checked
    report.bodies_not_included = len(report.committed - listed.keys())


def _check_body(body: dict[str, Any]) -> Iterator[str]:
    if body["salt"] is not None and not _SALT.fullmatch(body["salt"]):
        yield f"its salt is {_shown(body['salt'])}, not 32 lower-case hex digits"
    elif body["text"] is None:
        return
    elif body["salt"] is None:
        yield "it has no salt, so it cannot be compared with its commitment"
    else:
        try:
            salted = bytes.fromhex(body["salt"]) + body["text"].encode()
        except UnicodeEncodeError:
            yield "it has a lone surrogate, which UTF-8 cannot write"
            return
        digest = hashlib.sha256(salted).hexdigest()
        if digest != body["commitment"]:
            yield f"it was changed: it gives {digest}, the record says {_shown(body['commitment'])}"


def _check_checkpoints(lines: str, report: Report) -> None:
    """Compare with those of a checkpoint file that are about the stream."""
    kept = [
        (f"checkpoint line {number}", line)
        for number, line in _lines(lines)
        if all(line[name] == getattr(report, name) for name in STREAM)
    ]
    if not kept:
        report.problems.append(
            "the checkpoint file does not name this stream: "
            "use one that was taken after the stream's last event"
        )
    for source, checkpoint in kept:
        _check_checkpoint(source, checkpoint, report)


def _lines(lines: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in enumerate(lines.split("\n"), 1):
        if not text.strip():
            continue
        where = f"line {number} of the checkpoint file"
        try:
            line = _object(_strict_json(text), LINE_FIELDS, where)
        except ValueError as error:
            raise NotAnExport(f"{where} is not JSON that can be verified: {error}") from None
        if line["format"] != CHECKPOINT_FORMAT:
            raise NotAnExport(f'the format of {where} is not "{CHECKPOINT_FORMAT}"')
        _head(line, where)
        yield number, line


def _check_checkpoint(source: str, checkpoint: dict[str, Any], report: Report) -> None:
    seq, last = checkpoint["seq"], report.head_seq
    report.checkpoint_seq = max(seq, report.checkpoint_seq or 0)
    if seq > last:
        report.problems.append(
            f"{source} knows events up to seq {seq}, the export ends at {last}: "
            f"{seq - last} cut off the end"
        )
    elif report.hashes.get(seq) != checkpoint["hash"]:
        report.problems.append(
            f"{source} has hash {_shown(checkpoint['hash'])} at seq {seq}, "
            f"the export {_shown(report.hashes.get(seq))}: the record was rewritten"
        )


def _machine(report: Report) -> dict[str, Any]:
    return {
        "verified": report.verified,
        "organization_id": report.organization_id,
        "stream_id": report.stream_id,
        "events": report.events,
        "head": {"seq": report.head_seq, "hash": report.head_hash},
        "bodies": {
            "checked": report.bodies_checked,
            "erased": report.bodies_erased,
            "not_included": report.bodies_not_included,
        },
        "checkpoint_seq": report.checkpoint_seq,
        "problems": report.problems,
    }


def _person(report: Report) -> str:
    count = len(report.problems)
    verdict = f"NOT VERIFIED: {count} problem{'s' * (count > 1)}" if count else "VERIFIED"
    tail = (
        "no checkpoint: events cut off the end would not show"
        if report.checkpoint_seq is None
        else f"checkpoint at seq {report.checkpoint_seq}"
    )
    texts = (
        f"{report.bodies_checked} checked, {report.bodies_erased} erased, "
        f"{report.bodies_not_included} not included"
    )
    lines = [
        verdict,
        *(f"  - {problem}" for problem in report.problems),
        f"  stream {_shown(report.stream_id)} of organization {_shown(report.organization_id)}",
        f"  events: {report.events}, head: seq {report.head_seq}, {_shown(report.head_hash)}",
        f"  texts: {texts}",
        f"  {tail}",
    ]
    return "\n".join(lines)


def _shown(value: object) -> str:
    """In short and in ASCII: what an export says must not move a terminal's cursor."""
    shown = json.dumps(value, default=str)
    return shown if len(shown) <= 80 else shown[:77] + "..."


if __name__ == "__main__":
    sys.exit(main())
