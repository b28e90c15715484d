"""An export of several pages verifies like one of a single page, and says which page is missing."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from countersign.platform.verify import NotAnExport, Report, main, verify_pages
from tests.unit.platform.timelines import checkpoint_file, example, head_of

Page = dict[str, Any]


def pages(*ends: int) -> list[Page]:
    """The example, cut after each of these seqs; its texts stand on the first page."""
    whole = example(7)
    bounds = [0, *ends, 7]
    cut = [
        {
            **whole,
            "events": whole["events"][start:end],
            "bodies": [],
            "next_after_seq": end if end < 7 else None,
        }
        for start, end in pairwise(bounds)
    ]
    cut[0]["bodies"] = whole["bodies"]
    return cut


def check(given: list[Page], checkpoint: str | None = None) -> Report:
    return verify_pages(json.loads(json.dumps(given)), checkpoint)


def test_pages_in_order_are_one_timeline() -> None:
    report = check(pages(2, 3, 6), checkpoint_file(example(7)))
    assert report.problems == []
    assert (report.events, report.head_hash) == (7, head_of(example(7))["hash"])
    assert (report.bodies_checked, report.checkpoint_seq) == (2, 7)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([1, 2, 3], "page 1: it begins at seq 3, where 1 should follow: a page before it is"),
        ([0, 2, 3], "page 2: it begins at seq 4, where 3 should follow: a page before it is"),
        ([0, 1, 2], "page 3: it is not the last one: the page after_seq=6 is missing"),
        ([0], "page 1: it is not the last one: the page after_seq=2 is missing"),
        ([0, 2, 1, 3], "page 2: it begins at seq 4, where 3 should follow"),
        ([0, 1, 1, 2, 3], "event 4: its seq is 3, where 4 should follow: it is repeated"),
        ([0, 1, 2, 3, 3], "page 4: it says that it is the last one, and another follows"),
    ],
)
def test_a_page_that_is_missing_or_out_of_place_is_named(given: list[int], problem: str) -> None:
    cut = pages(2, 3, 6)
    report = check([cut[number] for number in given])
    assert any(found.startswith(problem) for found in report.problems), report.problems


def test_events_cut_off_the_end_of_a_page_are_found() -> None:
    cut = pages(3)
    cut[0]["events"].pop()
    problems = check(cut).problems
    assert "page 1: it says that it ends at seq 3, and ends at 2" in problems


def test_a_page_of_another_stream_is_found() -> None:
    cut = pages(3)
    cut[1]["stream_id"] = cut[1]["organization_id"]
    assert check(cut).problems == ["page 2: it is of another stream than the first"]


def test_a_text_may_stand_on_two_pages_and_must_be_right_on_both() -> None:
    cut = pages(1)
    cut[1]["bodies"] = [{**cut[0]["bodies"][0], "text": None}, cut[0]["bodies"][1]]
    report = check(cut)
    assert report.problems == []
    assert (report.bodies_checked, report.bodies_erased) == (2, 0)
    cut[1]["bodies"][1] = {**cut[0]["bodies"][1], "text": "No."}
    assert any(problem.startswith("text 4: it was changed") for problem in check(cut).problems)


def test_a_checkpoint_of_any_page_is_compared() -> None:
    kept_elsewhere = "".join(map(checkpoint_file, (example(2), example(5))))
    assert check(pages(3), kept_elsewhere).verified
    forged = kept_elsewhere.replace(head_of(example(2))["hash"], "0" * 64)
    assert any(
        "the record was rewritten" in problem for problem in check(pages(3), forged).problems
    )


@pytest.mark.parametrize("following", [True, "3", 3.0, []])
def test_a_page_that_does_not_say_what_follows_is_none(following: object) -> None:
    cut = pages(3)
    cut[0]["next_after_seq"] = following
    with pytest.raises(NotAnExport, match=r"next_after_seq|not an integer"):
        verify_pages(cut)
    with pytest.raises(NotAnExport, match='page 2 has no "organization_id"'):
        verify_pages([cut[1], {"format": "countersign.timeline/1"}])


def test_pages_are_files_of_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for number, page in enumerate(pages(2, 5)):
        files.append(str(tmp_path / f"{number}.json"))
        Path(files[-1]).write_text(json.dumps(page))
    assert main(files) == 0
    assert "events: 7" in capsys.readouterr().out
    assert main(files[:2]) == 1
    assert "page 2: it is not the last one: the page after_seq=5" in capsys.readouterr().out
