"""A text to passages: exact, whole, under their headings, the same each time."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.knowledge.chunking import CHARACTERS, MARKDOWN, PLAIN, pieces

MANUAL = """\
What stands before all headings.

# Returns

You may return any part.

## Refunds ##

Paid within two weeks.

### 日本 🏷

Also to Japan.

Exchanges
---------
Send the part back first.

# Code

```
# no heading
```
"""


def cut(content: str, content_type: str = MARKDOWN) -> list[tuple[str, str]]:
    return [(piece.heading, piece.text) for piece in pieces(content, content_type)]


def test_passages_stand_below_their_headings() -> None:
    assert cut(MANUAL) == [
        ("", "What stands before all headings."),
        ("Returns", "You may return any part."),
        ("Returns › Refunds", "Paid within two weeks."),
        ("Returns › Refunds › 日本 🏷", "Also to Japan."),
        ("Returns › Exchanges", "Send the part back first."),
        ("Code", "```\n# no heading\n```"),
    ]


def test_a_heading_that_has_nothing_below_it_is_a_passage() -> None:
    assert cut("# Only a title") == [("", "# Only a title")]
    assert cut("# A\n## B\n## C\nText.") == [("A", "## B"), ("A › C", "Text.")]


def test_plain_text_has_no_headings() -> None:
    assert cut("# of parts: 3\n\nOne.", PLAIN) == [("", "# of parts: 3\n\nOne.")]


@pytest.mark.parametrize("text", ["", " \n\t\n", "\ufeff \n"])
def test_blank_texts_have_no_passages(text: str) -> None:
    assert cut(text.replace("\ufeff", "")) == []


@pytest.mark.parametrize("content_type", [MARKDOWN, PLAIN])
def test_long_texts_are_cut_to_size(content_type: str) -> None:
    text = "# Long\n\n" + "Some words 🏷 of it. " * 4000 + "x" * 40_000
    lengths = [len(piece.text) for piece in pieces(text, content_type)]
    assert max(lengths) <= CHARACTERS
    assert sum(lengths) >= len(text.replace(" ", "")) - 10


_TEXTS = st.text(st.sampled_from("ab é🏷#-=`>|*\n\n\r\t1."), max_size=300)


@given(_TEXTS, st.sampled_from([MARKDOWN, PLAIN]))
def test_offsets_are_exact_and_nothing_is_left_out(text: str, content_type: str) -> None:
    left = list(text)
    end = 0
    for piece in pieces(text, content_type):
        assert text[piece.start : piece.end] == piece.text
        assert piece.start >= end
        assert piece.text.strip()
        end = piece.end
        left[piece.start : piece.end] = " " * len(piece.text)
    if content_type == PLAIN:
        assert not "".join(left).strip()


@given(_TEXTS, st.integers(0, 20))
def test_what_is_cut_later_is_what_was_cut_before(text: str, number: int) -> None:
    whole = list(pieces(text * 3, MARKDOWN))
    begun = list(islice(whole, number))
    after = begun[-1].end if begun else 0
    assert [*begun, *pieces(text * 3, MARKDOWN, after)] == whole


def test_a_hash_is_of_all_that_an_encoder_is_shown() -> None:
    (one,), (other,) = pieces("# A\n\nText.", MARKDOWN), pieces("# B\n\nText.", MARKDOWN)
    (again,) = pieces("\n\n# A\n\nText.\n", MARKDOWN)
    assert one.embedded == "A\n\nText."
    assert one.hash == again.hash != other.hash
