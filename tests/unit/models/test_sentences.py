from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.models.sentences import sentences


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("# Title\n\nOne line\nand another", ["One line", "and another"]),
        ("- AN-6 takes 3/8 inch.\n* AN-8\n1. First", ["AN-6 takes 3/8 inch.", "AN-8", "First"]),
        ("It is 0.25 inch (6.4 mm) wide.", ["It is 0.25 inch (6.4 mm) wide."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("Up to 5 lb. of hose", ["Up to 5 lb. of hose"]),
        ("  \n\t\n#\n", []),
        ("", []),
    ],
)
def test_sentences_of(source: str, expected: list[str]) -> None:
    assert [one.text for one in sentences(source)] == expected


@given(st.text(alphabet="aZ9 .!?\"')#-*\n\t€😀"))
def test_each_sentence_is_an_exact_part_of_its_source(source: str) -> None:
    end = 0
    for one in sentences(source):
        assert one.text == source[one.start : one.start + len(one.text)]
        assert one.text == one.text.strip() != ""
        assert one.start >= end
        end = one.start + len(one.text)
