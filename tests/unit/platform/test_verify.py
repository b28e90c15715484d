from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.platform import audit, verify
from countersign.platform.audit import Actor, Event
from countersign.platform.verify import NotAnExport, Report, main
from tests.unit.platform.timelines import (
    NOW,
    STREAM,
    body,
    checkpoint_file,
    events,
    example,
    head_of,
    timeline,
    words,
)

VERIFIER = Path(verify.__file__)


@given(
    st.lists(events, min_size=1, max_size=5),
    st.dictionaries(words, st.binary(min_size=16, max_size=16)),
)
def test_what_audit_writes_is_verified(chain: list[Event], texts: dict[str, bytes]) -> None:
    bodies = [body(text, salt) for text, salt in texts.items()]
    committing = [
        Event(
            "message.received", Actor("customer", "c"), {"list": [{"a_commitment": one.commitment}]}
        )
        for one in bodies
    ]
    export = timeline([*chain, *committing], bodies)
    report = check(export, checkpoint_file(export))
    assert report.problems == []
    assert report.verified
    assert (report.events, report.head_hash) == (len(chain) + len(texts), head_of(export)["hash"])
    assert (report.bodies_checked, report.checkpoint_seq) == (len(texts), report.events)


def check(export: dict[str, Any], checkpoint: str | None = None) -> Report:
    """Verify as a stranger would: what has been through a file."""
    return verify.verify(json.loads(json.dumps(export)), checkpoint)


def test_an_erased_text_leaves_the_chain_whole() -> None:
    export = example()
    export["bodies"][0]["text"] = None
    export["bodies"][1] |= {"text": None, "salt": None}
    report = check(export)
    assert report.verified
    assert (report.bodies_checked, report.bodies_erased) == (0, 2)


def test_a_text_left_out_is_counted() -> None:
    export = example()
    del export["bodies"][0]
    assert check(export).bodies_not_included == 1


def test_a_changed_text_is_found() -> None:
    export = example()
    export["bodies"][1]["text"] += " "
    assert_problem(export, "text 2: it was changed")


def test_a_text_that_nothing_commits_to_is_found() -> None:
    export = example()
    added = body("I never said so")
    export["bodies"].append(
        {
            "commitment": added.commitment,
            "salt": added.salt and added.salt.hex(),
            "text": added.text,
        }
    )
    assert_problem(export, "text 3: no event commits to it")


def test_an_id_that_looks_like_a_commitment_commits_to_nothing() -> None:
    forged = body("chosen by the sender of a message")
    received = Event("message.received", Actor("customer", "c"), {"external_id": forged.commitment})
    assert_problem(timeline([received], [forged]), "text 1: no event commits to it")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"salt": None}, "text 1: it has no salt"),
        ({"salt": "0" * 30}, "text 1: its salt is"),
        ({"salt": "0G" * 16}, "text 1: its salt is"),
        ({"text": "\ud800"}, "text 1: it has a lone surrogate"),
    ],
)
def test_a_text_that_cannot_be_compared_is_found(change: dict[str, Any], complaint: str) -> None:
    export = example()
    export["bodies"][0] |= change
    assert_problem(export, complaint)


def test_a_text_listed_twice_is_found() -> None:
    export = example()
    export["bodies"].append({**export["bodies"][0], "text": None})
    assert_problem(export, "text 3: its commitment is listed twice")


def assert_problem(export: dict[str, Any], problem: str, checkpoint: str | None = None) -> None:
    report = check(export, checkpoint)
    assert not report.verified
    assert any(problem in found for found in report.problems), report.problems


def test_all_problems_are_listed() -> None:
    export = example()
    for n in (1, 3):
        export["events"][n]["canonical_text"] = export["events"][n]["canonical_text"].replace(
            "user-", "usur-"
        )
    export["bodies"][0]["text"] = "something else"
    problems = check(export, checkpoint_file(example(9))).problems
    assert [problem.split(":")[0] for problem in problems] == [
        "event 2",
        "event 4",
        "text 1",
        "checkpoint line 2 knows events up to seq 9, the export ends at 5",
    ]


def test_events_that_changed_places_are_told_apart_from_missing_ones() -> None:
    export = example()
    export["events"][1:3] = reversed(export["events"][1:3])
    places = [problem for problem in check(export).problems if "its seq is" in problem]
    assert places == [
        "event 2: its seq is 3, where 2 should follow: 1 missing before it",
        "event 3: its seq is 2, where 4 should follow: it is repeated or out of order",
    ]


def test_an_empty_timeline_proves_nothing() -> None:
    assert_problem(example(0), "there are no events")


def test_a_cut_off_tail_shows_only_against_a_checkpoint() -> None:
    export = example(7)
    kept_elsewhere = checkpoint_file(export)
    del export["events"][5:]
    assert check(export).verified
    assert_problem(
        export, "line 2 knows events up to seq 7, the export ends at 5: 2 cut off", kept_elsewhere
    )


def test_a_rewritten_chain_shows_against_a_checkpoint() -> None:
    export = example()
    kept_elsewhere = checkpoint_file(export)
    rewritten = timeline([Event("message.received", Actor("user", "someone else"), {})] * 6)
    assert check(rewritten).verified
    assert_problem(rewritten, "the record was rewritten", kept_elsewhere)


def test_an_older_checkpoint_matches_a_longer_timeline() -> None:
    older = checkpoint_file(example(3))
    assert check(example(5), older).verified


def test_checkpoint_files_may_be_joined() -> None:
    joined = "\r\n".join(checkpoint_file(example(n)) for n in (5, 1, 3))
    report = check(example(5), joined)
    assert report.verified
    assert report.checkpoint_seq == 5
    assert_problem(example(4), "1 cut off the end", joined)


def test_a_checkpoint_file_without_the_stream_is_not_taken_for_a_match() -> None:
    other = "".join(audit.checkpoint_lines([audit.Head(STREAM, STREAM, 1, "0" * 64)], NOW))
    assert_problem(example(), "does not name this stream", other)
    assert_problem(example(), "does not name this stream", "")


@pytest.fixture
def timeline_file(tmp_path: Path) -> Path:
    file = tmp_path / "timeline.json"
    file.write_text(json.dumps(example()))
    return file


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The verifier as its user runs it: a bare interpreter with nothing installed."""
    command = [sys.executable, "-I", "-S", "-X", "utf8=0", str(VERIFIER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={"LC_ALL": "C"}, check=False)


def test_the_file_alone_verifies_a_timeline(timeline_file: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.jsonl"
    checkpoint.write_text(checkpoint_file(example()))
    done = run(timeline_file, "--checkpoint", checkpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "VERIFIED",
        f'  stream "{STREAM}" of organization "{example()["organization_id"]}"',
        f'  events: 5, head: seq 5, "{head_of(example())["hash"]}"',
        "  texts: 2 checked, 0 erased, 0 not included",
        "  checkpoint at seq 5",
    ]


def test_the_file_runs_where_it_lies_among_modules_named_like_the_library(
    timeline_file: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, VERIFIER.name, timeline_file],
        cwd=VERIFIER.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_module_runs_too(timeline_file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "countersign.platform.verify", timeline_file],
        env={"PYTHONPATH": str(VERIFIER.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_person_is_told_what_is_wrong(
    timeline_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = example()
    del export["events"][2]
    export["bodies"][0]["text"] = "No."
    timeline_file.write_text(json.dumps(export))
    assert main([str(timeline_file)]) == 1
    verdict, *lines = capsys.readouterr().out.splitlines()
    assert verdict == "NOT VERIFIED: 3 problems"
    assert lines[0] == ("  - event 3: its seq is 4, where 3 should follow: 1 missing before it")
    assert lines[1].startswith("  - event 3: it does not follow the event before it")
    assert lines[2].startswith("  - text 1: it was changed")
    assert lines[-1] == "  no checkpoint: events cut off the end would not show"


def test_a_machine_gets_one_line(timeline_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(timeline_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "verified": True,
        "organization_id": example()["organization_id"],
        "stream_id": str(STREAM),
        "events": 5,
        "head": head_of(example()),
        "bodies": {"checked": 2, "erased": 0, "not_included": 0},
        "checkpoint_seq": None,
        "problems": [],
    }


def test_a_byte_order_mark_is_passed_over(timeline_file: Path) -> None:
    timeline_file.write_bytes(b"\xef\xbb\xbf" + timeline_file.read_bytes())
    assert main([str(timeline_file)]) == 0


UNUSABLE = {
    "empty": b"",
    "not JSON": b"not json",
    "cut short": json.dumps(example()).encode()[:-1],
    "UTF-16": json.dumps(example()).encode("utf-16"),
    "not UTF-8": b'{"format": "\xff"}',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "as deep as parsers go": b'{"format":' + b"[" * 900 + b"]" * 900 + b"}",
    "a huge integer": b'{"format": ' + b"9" * 1_000_000 + b"}",
    "a huge exponent": b'{"format": 1e999999999}',
    "NaN": b'{"format": NaN}',
    "infinity": b'{"format": -Infinity}',
    "a key twice": b'{"events": [], ' + json.dumps(example()).encode()[1:],
    "another version": json.dumps({**example(), "format": "countersign.timeline/2"}).encode(),
}


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_is_no_export_ends_with_two(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "timeline.json"
    file.write_bytes(content)
    assert main([str(file)]) == 2
    assert capsys.readouterr().out.startswith("NOT A TIMELINE EXPORT: ")
    assert main([str(file), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["verified"] is False


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (UNUSABLE["not UTF-8"], "is not UTF-8 at byte 12"),
        (UNUSABLE["a huge integer"], "is beyond 2^53 - 1"),
        (UNUSABLE["NaN"], 'the number "NaN" is not an integer'),
        (UNUSABLE["deep"], "nests deeper than 16 levels"),
        (UNUSABLE["a key twice"], 'the key "events" comes twice'),
        (
            UNUSABLE["another version"],
            '"format" of page 1 is "countersign.timeline/2"; this verifier',
        ),
    ],
)
def test_why_it_is_no_export_is_said(
    content: bytes, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "timeline.json"
    file.write_bytes(content)
    main([str(file)])
    assert complaint in capsys.readouterr().out


@pytest.mark.parametrize("path", ["/nowhere/timeline.json", "/", "nul\0byte"])
def test_a_file_that_cannot_be_read_ends_with_two(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([path]) == 2
    assert "cannot be read: " in capsys.readouterr().out


CHECKPOINT_LINE = json.loads(checkpoint_file(example()).splitlines()[1])


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        json.dumps({**CHECKPOINT_LINE, "more": 1}),
        json.dumps({**CHECKPOINT_LINE, "format": "countersign.checkpoint/2"}),
        json.dumps({**CHECKPOINT_LINE, "seq": True}),
        json.dumps({**CHECKPOINT_LINE, "hash": None}),
        json.dumps({key: CHECKPOINT_LINE[key] for key in ("seq", "hash")}),
    ],
)
def test_a_malformed_checkpoint_file_is_no_match(line: str) -> None:
    with pytest.raises(NotAnExport, match="line 3 of the checkpoint file"):
        check(example(), checkpoint_file(example()) + line)


def test_what_an_export_says_cannot_move_the_cursor(
    timeline_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = {**example(), "stream_id": "\x1b[2J\u202e\ud800" * 100}
    timeline_file.write_text(json.dumps(export))
    assert main([str(timeline_file)]) == 1
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) < 300


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from([example(), example()["events"], example()["bodies"]]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["seq", "hash", "text", *example()]), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(list(example())), json_values))
def test_no_shape_raises_anything_else(changes: dict[str, Any]) -> None:
    document = {**example(), **changes}
    try:
        report = check(document)
    except NotAnExport:
        return
    assert report.verified == (document == example() or without_bodies(document))


def without_bodies(document: dict[str, Any]) -> bool:
    """Leaving texts out is an exporter's right, and is counted."""
    listed = document["bodies"]
    return (
        {**document, "bodies": []} == {**example(), "bodies": []}
        and all(one in example()["bodies"] for one in listed)
        and len(listed) == len({one["commitment"] for one in listed})
    )


@given(json_values, st.integers(0, 4))
def test_no_event_text_raises_anything(value: object, position: int) -> None:
    export = example()
    text = json.dumps(value, ensure_ascii=False)
    export["events"][position]["canonical_text"] = text
    assert not check(export).verified
