"""Every change to a sound timeline is found, whoever makes it: bit by bit, field by field, and by
one who hashes again what was changed."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.platform.verify import NotAnExport, verify
from tests.unit.platform.timelines import checkpoint_file, example

Export = dict[str, Any]
CHECKPOINT = checkpoint_file(example())


def is_verified(export: Export, checkpoint: str | None = None) -> bool:
    try:
        return verify(export, checkpoint).verified
    except NotAnExport:
        return False


def test_the_example_is_sound() -> None:
    assert is_verified(example(), CHECKPOINT)


def test_every_flipped_bit_of_every_event_is_found() -> None:
    for position, entry in enumerate(example(3)["events"]):
        for name, value in entry.items():
            for changed in flipped(value):
                export = example(3)
                export["events"][position][name] = changed
                assert not is_verified(export), (position, name, changed)


def flipped(text: str) -> Iterator[str]:
    data = text.encode()
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield changed.decode(errors="surrogateescape")


def test_every_flipped_bit_of_every_text_is_found() -> None:
    for position, entry in enumerate(example()["bodies"]):
        for name, value in entry.items():
            for changed in flipped(value):
                export = example()
                export["bodies"][position][name] = changed
                assert not is_verified(export), (position, name, changed)


def test_every_flipped_bit_of_what_the_export_is_about_is_found() -> None:
    for name in ("format", "organization_id", "stream_id"):
        for changed in flipped(example()[name]):
            assert not is_verified({**example(), name: changed}), (name, changed)


def test_every_flipped_bit_of_the_checkpoint_file_is_found_or_changes_only_its_time() -> None:
    line = CHECKPOINT.splitlines()[1]
    for changed in flipped(line):
        if is_verified(example(), changed):
            assert same_but_taken_at(changed, line), changed


def same_but_taken_at(changed: str, line: str) -> bool:
    return {**json.loads(changed), "taken_at": ""} == {**json.loads(line), "taken_at": ""}


def rehashed(export: Export, position: int, text: str) -> None:
    export["events"][position] = {
        "canonical_text": text,
        "hash": hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(),
    }


def dumped(event: object) -> str:
    return json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


WRONG_FIELDS: list[tuple[str, list[object]]] = [
    ("v", [2, 0, True, "1", None]),
    ("organization_id", ["01980000-0000-7000-8000-000000000009", "", None, {}]),
    ("stream_id", ["01980000-0000-7000-8000-000000000009", "", None, []]),
    ("seq", [0, -1, 1, 99, 2**53 - 1, True, "5", None]),
    (
        "occurred_at",
        [
            *(
                "2026-03-04T05:06:07Z",
                "2026-03-04T05:06:07.000089+00:00",
                "2026-02-30T05:06:07.000089Z",
            ),
            *(
                "2026-03-04T24:00:00.000000Z",
                "2026-03-04T05:06:60.000000Z",
                "0000-03-04T05:06:07.000089Z",
            ),
            *("٢026-03-04T05:06:07.000089Z", "2026-03-04T05:06:07.000089Z\n", 0, None),
        ],
    ),
    ("type", ["", "Message.received", "message.", "message received", "a\n", 1, None]),
    ("actor", [None, {}, {"type": "user"}, {"type": "robot", "id": "1"}, {"type": [], "id": "1"}]),
    (
        "actor",
        [{"type": "user", "id": ""}, {"type": "user", "id": 1}, {"type": "user", "id": None}],
    ),
    ("actor", [{"type": "user", "id": "1", "name": "x"}, [], "user"]),
    ("data", [None, [], "x", 1]),
    ("previous", ["0" * 64, "", None, 1]),
]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG_FIELDS for value in values]
)
def test_a_wrong_field_of_the_last_event_is_found_though_it_is_hashed_again(
    name: str, value: object
) -> None:
    export = example()
    event = {**json.loads(export["events"][4]["canonical_text"]), name: value}
    rehashed(export, 4, dumped(event))
    assert not is_verified(export)


def test_true_is_not_taken_for_one() -> None:
    for name in ("seq", "v"):
        export = example(1)
        event = {**json.loads(export["events"][0]["canonical_text"]), name: True}
        rehashed(export, 0, dumped(event))
        assert not is_verified(export), name


def test_a_missing_or_added_field_is_found_though_it_is_hashed_again() -> None:
    event = json.loads(example()["events"][4]["canonical_text"])
    for changed in [
        {**event, "w": 1},
        *({k: event[k] for k in event if k != gone} for gone in event),
    ]:
        export = example()
        rehashed(export, 4, dumped(changed))
        assert not is_verified(export), changed


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: " " + text,
        lambda text: text + "\n",
        lambda text: text.replace(":", ": "),
        lambda text: text.replace("message", "\\u006dessage", 1),
        lambda text: text.replace('"n":4', '"n":-0'),
        lambda text: text.replace('"n":4', '"n":4.0'),
        lambda text: text.replace('"n":4', '"n":4e0'),
        lambda text: text.replace('"n":4', '"n":NaN'),
        lambda text: text.replace('"n":4', '"n":9007199254740992'),
        lambda text: text.replace('"n":4', '"n":' + "9" * 10_000),
        lambda text: text.replace('"n":4', '"n":3,"n":4'),
        lambda text: text.replace('"n":4', '"n":"\\ud800"'),
        lambda text: text.replace('"n":4', '"n":"\ud800"'),
        lambda text: text.replace('"n":4', '"n":' + "[" * 15 + "]" * 15),
        lambda text: text.replace('"n":4', '"n":' + "[" * 100_000 + "]" * 100_000),
        lambda text: json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":")),
        lambda text: "[" + text + "]",
        lambda text: "",
    ],
)
def test_another_way_to_write_an_event_is_found_though_it_is_hashed_again(
    rewrite: Callable[[str], str],
) -> None:
    export = example()
    text = export["events"][4]["canonical_text"]
    assert rewrite(text) != text
    rehashed(export, 4, rewrite(text))
    assert not is_verified(export)


def test_what_is_just_within_the_limits_is_no_other_way() -> None:
    for value in ("[" * 14 + "]" * 14, "9007199254740991", "-9007199254740991"):
        export = example()
        text = export["events"][4]["canonical_text"].replace('"n":4', '"n":' + value)
        rehashed(export, 4, text)
        assert is_verified(export), value


@given(st.data())
def test_events_out_of_place_are_found(data: st.DataObject) -> None:
    """Dropped, repeated, swapped, shuffled, cut off: any list that is not the one that was made."""
    export = example(6)
    kept = checkpoint_file(export)
    places = data.draw(st.lists(st.integers(0, 5), max_size=9))
    export["events"] = [copy.deepcopy(export["events"][place]) for place in places]
    export["bodies"] = []
    assert is_verified(export, kept) == (places == list(range(6)))
    is_beginning = places == list(range(len(places))) and places != []
    assert is_verified(export) == is_beginning


@given(st.data())
def test_a_rewritten_past_is_found_by_the_checkpoint(data: st.DataObject) -> None:
    """One who can hash again writes a sound chain, but not the one whose head was put elsewhere."""
    export = example()
    position = data.draw(st.integers(0, 4))
    previous = export["events"][position - 1]["hash"] if position else "0" * 64
    for later in range(position, 5):
        event = json.loads(export["events"][later]["canonical_text"])
        event["actor"]["id"] = "someone-else"
        event["previous"] = previous
        rehashed(export, later, dumped(event))
        previous = export["events"][later]["hash"]
    assert is_verified(export)
    assert not is_verified(export, CHECKPOINT)


SHAPES: list[tuple[Callable[[Export], Any], str]] = [
    (lambda export: export.pop("events"), 'page 1 has no "events"'),
    (lambda export: export.pop("next_after_seq"), 'page 1 has no "next_after_seq"'),
    (lambda export: export.update(note="all is well"), 'page 1 has the field "note"'),
    (lambda export: export.update(events={}), '"events" is {}'),
    (lambda export: export.update(bodies=None), '"bodies" is null'),
    (lambda export: export.update(stream_id=1), '"stream_id" is 1'),
    (lambda export: export["events"].insert(1, None), "event 2 is not a JSON object"),
    (lambda export: export["events"][0].update(seq=1), 'event 1 has the field "seq"'),
    (lambda export: export["events"][0].pop("hash"), 'event 1 has no "hash"'),
    (lambda export: export["events"][0].update(hash=1), "hash of event 1 is 1"),
    (lambda export: export["events"][0].update(canonical_text=None), "canonical_text of event 1"),
    (lambda export: export["bodies"][0].update(salt=1), "salt of text 1 is 1"),
    (lambda export: export["bodies"][0].update(commitment=None), "commitment of text 1 is null"),
    (lambda export: export.update(organization_id=None), '"organization_id" is null'),
    (lambda export: export["bodies"][0].pop("salt"), 'text 1 has no "salt"'),
    (lambda export: export["bodies"][0].update(text=[]), "text 1 is []"),
    (lambda export: export.update(checkpoint=None), 'page 1 has the field "checkpoint"'),
]


@pytest.mark.parametrize(("change", "complaint"), SHAPES)
def test_another_shape_is_named(change: Callable[[Export], Any], complaint: str) -> None:
    export = example()
    change(export)
    with pytest.raises(NotAnExport) as raised:
        verify(export)
    assert complaint in str(raised.value)
