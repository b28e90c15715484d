from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from countersign.drafting import diff as module
from countersign.drafting.diff import Operations, UnfitDiff, apply, diff
from countersign.platform.errors import Invalid
from countersign.platform.schemas import MAX_TEXT_CHARACTERS
from tests.unit.timing import seconds

any_text = st.text(st.characters())
prose = st.lists(
    st.sampled_from(
        ["the", "a", "order", "ships", " ", " ", " ", "\n", "\r\n", ".", ",", "é", "e\u0301"]
    )
).map("".join)
texts = any_text | prose
edited = st.tuples(prose, prose, prose, prose).map(
    lambda p: (p[0] + p[1] + p[2], p[0] + p[3] + p[2])
)
pairs = st.tuples(texts, texts) | edited


@given(pairs)
@example(("", ""))
@example(("x", "x"))
def test_the_operations_make_the_final_text_of_the_original(pair: tuple[str, str]) -> None:
    original, final = pair
    assert apply(original, diff(original, final)) == final


@given(pairs)
def test_the_operations_are_in_their_one_form(pair: tuple[str, str]) -> None:
    operations = diff(*pair)
    kinds = "".join(kind for kind, _ in operations)
    assert all(
        value if kind == "+" else type(value) is int and value > 0 for kind, value in operations
    )
    assert not any(twice in kinds for twice in ("==", "--", "++", "+-"))
    assert sum(value for kind, value in operations if kind != "+") == len(pair[0])


@given(pairs)
def test_an_edit_neither_begins_nor_ends_with_words_that_stayed(pair: tuple[str, str]) -> None:
    at = 0
    operations = diff(*pair)
    for (kind, value), following in pairwise([*operations, ["", ""]]):
        if kind == "-" and following[0] == "+":
            removed, added = module._words(pair[0][at : at + value]), module._words(following[1])
            assert removed[0] != added[0]
            assert removed[-1] != added[-1]
        at += value if kind != "+" else 0


@given(texts)
def test_equal_texts_are_kept_whole(text: str) -> None:
    assert diff(text, text) == ([["=", len(text)]] if text else [])


def marked(original: str, final: str) -> str:
    """The difference as a reviewer sees it."""
    shown, at = "", 0
    for kind, value in diff(original, final):
        if kind == "+":
            shown += f"{{+{value}+}}"
            continue
        shown += original[at : at + value] if kind == "=" else f"[-{original[at : at + value]}-]"
        at += value
    return shown


@pytest.mark.parametrize(
    ("original", "final", "seen"),
    [
        # Whole words, not letters.
        ("I have two cats", "I had two dogs", "I [-have-]{+had+} two [-cats-]{+dogs+}"),
        ("It isn't here", "It wasn't here", "It [-isn't-]{+wasn't+} here"),
        ("AB-1234: $12.50", "AB-1235: $13.50", "AB-[-1234-]{+1235+}: $[-12-]{+13+}.50"),
        # Words that stayed by chance do not break up a rewriting; many words that stayed do.
        ("the quick fox", "a slow dog", "[-the quick fox-]{+a slow dog+}"),
        (
            "Sorry, we cannot find the part that you asked for",
            "Good news: you may pick up the part that you asked for",
            "[-Sorry, we cannot find-]{+Good news: you may pick up+} the part that you asked for",
        ),
        (
            "Hello Sam, the part is here. Regards",
            "Dear Ms Smith, the part is here. Yours truly",
            "[-Hello Sam-]{+Dear Ms Smith+}, the part is here. [-Regards-]{+Yours truly+}",
        ),
        (
            "Congratulations everyone, we are at Disneylandresort now",
            "Commiserations somebody, we are at Headquarterannex now",
            "[-Congratulations everyone-]{+Commiserations somebody+}, we are at "
            "[-Disneylandresort-]{+Headquarterannex+} now",
        ),
        (
            "green in the sea",
            "brown in our attic",
            "[-green in the sea-]{+brown in our attic+}",
        ),
        # Nor does a rewriting take in what did not change at its ends.
        ("cats or dogs or rats x", "bird or rats z", "[-cats or dogs-]{+bird+} or rats [-x-]{+z+}"),
        # An insertion stands where a person would have made it.
        ("Hello.\n\nBye.", "Hello.\n\nThanks.\n\nBye.", "Hello.\n\n{+Thanks.\n\n+}Bye."),
        ("see (b)", "see (a) (b)", "see {+(a) +}(b)"),
        ("old red car", "new red fast car", "[-old-]{+new+} red {+fast +}car"),
        (
            "one....it is so I",
            "two\n......it is so we",
            "[-one-]{+two\n+}....{+..+}it is so [-I-]{+we+}",
        ),
        ("see (a) (b)", "see (b)", "see [-(a) -](b)"),
        ("It is here. See", "It is here. It was there. See", "It is here. {+It was there. +}See"),
        # Each line end counts by itself.
        ("a\n\nb", "a\nb", "a\n[-\n-]b"),
        ("a\r\nb", "a\nb", "a[-\r\n-]{+\n+}b"),
        # What a reader sees as one sign stays one.
        ("e\u0301tat", "etat", "[-e\u0301tat-]{+etat+}"),
        ("हिन्दी में", "हिन्द में", "[-हिन्दी-]{+हिन्द+} में"),
        ("สวัสดีครับ", "สวัสดีค่ะ", "สวัสดี[-ครับ-]{+ค่ะ+}"),
        ("今日は天気がいい", "今日は天気が悪い", "今日は天気が[-い-]{+悪+}い"),
        ("👩\u200d💻 here", "👨\u200d💻 here", "[-👩\u200d💻-]{+👨\u200d💻+} here"),
        ("👍 here", "👍🏽 here", "[-👍-]{+👍🏽+} here"),
        ("👍🏽now", "👍🏽then", "👍🏽[-now-]{+then+}"),
        ("❤\ufe0fyou", "❤\ufe0fme", "❤\ufe0f[-you-]{+me+}"),
        ("🇩🇪 here", "🇩🇰 here", "[-🇩🇪-]{+🇩🇰+} here"),
        # Code points are counted, not UTF-16 units.
        ("👍👍👍 yes", "👍👍👍 no", "👍👍👍 [-yes-]{+no+}"),
        ("", "new", "{+new+}"),
        ("old", "", "[-old-]"),
    ],
)
def test_a_person_can_read_it(original: str, final: str, seen: str) -> None:
    assert marked(original, final) == seen


def test_the_form_is_the_one_that_is_stored() -> None:
    assert diff("Hello cruel 👍 world", "Hello kind 👍 world!") == [
        ["=", 6],
        ["-", 5],
        ["+", "kind"],
        ["=", 8],
        ["+", "!"],
    ]


@pytest.mark.parametrize(
    ("operations", "complaint"),
    [
        ([["=", 4]], "cover 4 of the text's 5"),
        ([["=", 6]], "operation 1 reaches to 6, but the text ends at 5"),
        ([["=", 3], ["-", 3]], "operation 2 reaches to 6"),
        ([], "cover 0 of the text's 5"),
        ([["=", 5], ["=", 0]], "operation 2 is"),
        ([["-", -5]], "operation 1 is"),
        ([["=", True]], "operation 1 is"),
        ([["=", "5"]], "operation 1 is"),
        ([["=", 5.0]], "operation 1 is"),
        ([["=", 5], ["+", ""]], "operation 2 is"),
        ([["=", 5], ["+", 1]], "operation 2 is"),
        ([["*", 5]], "operation 1 is"),
        ([["=", 5, 1]], "operation 1 is"),
        ([["="]], "operation 1 is"),
        (["=5"], "operation 1 is"),
        ([None], "operation 1 is"),
        ([["=", 10**30]], "operation 1 reaches to"),
    ],
)
def test_operations_that_do_not_fit_are_refused(operations: list[Any], complaint: str) -> None:
    with pytest.raises(UnfitDiff, match=complaint) as raised:
        apply("Hello", operations)
    assert isinstance(raised.value, Invalid)


@given(pairs, texts)
def test_a_difference_of_another_length_is_refused(pair: tuple[str, str], other: str) -> None:
    if len(other) != len(pair[0]):
        with pytest.raises(UnfitDiff):
            apply(other, diff(*pair))


@given(st.lists(st.sampled_from("abcd .")), st.lists(st.sampled_from("abcd .")))
def test_the_subsequence_is_a_longest_one(a: list[str], b: list[str]) -> None:
    found = module._subsequence(a, b)
    assert all(a[i] == b[j] for i, j in found)
    assert found == sorted(found)
    assert len({i for i, _ in found}) == len({j for _, j in found}) == len(found)
    assert len(found) == longest(a, b)


def longest(a: list[str], b: list[str]) -> int:
    """The textbook's table."""
    row = [0] * (len(b) + 1)
    for one in a:
        above = row
        row = [0]
        for j, other in enumerate(b):
            row.append(above[j] + 1 if one == other else max(above[j + 1], row[j]))
    return row[-1]


LARGE = MAX_TEXT_CHARACTERS


def of(alphabet: str, seed: int, length: int = LARGE) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=length))


HAN = "".join(map(chr, range(0x4E00, 0x4E00 + LARGE)))


@pytest.mark.parametrize(
    ("original", "final"),
    [
        (of("ab .", 1), of("ab .", 2)),
        (of(".,;:!", 1), of(".,;:!", 2)),
        (of(HAN[:3000], 1), of(HAN[:3000], 2)),
        (HAN, HAN[::-1]),
        (". " * (LARGE // 2), " ." * (LARGE // 2)),
        ("a " * (LARGE // 2), "a b " * (LARGE // 4)),
        ("." * LARGE + "a", "a" + "." * LARGE),
        ("." * (LARGE // 2) + "a " + "." * (LARGE // 2), "." * LARGE + "b "),
        ("\u0301" * LARGE, "a\u0301" * (LARGE // 2)),
        (of(".,;:!\n", 1, 20 * LARGE), of(".,;:!\n", 2, 20 * LARGE)),
    ],
    ids=range(10),
)
def test_hostile_texts_take_bounded_time(original: str, final: str) -> None:
    """Ten times what is seen, so that only another order of growth fails."""
    operations: Operations = []
    assert seconds(lambda texts: operations.extend(diff(*texts)), (original, final), 1) < 5
    assert apply(original, operations) == final


def test_one_word_in_a_long_text_is_found_as_a_word() -> None:
    words = of("abc", 1).replace("", " ")
    assert diff(words + "old" + words, words + "new" + words) == [
        ["=", len(words)],
        ["-", 3],
        ["+", "new"],
        ["=", len(words)],
    ]


def test_the_longest_messages_are_compared_by_words() -> None:
    original = of(".,;:!", 1)
    kept = [value for kind, value in diff(original, of(".,;:!", 2)) if kind == "="]
    assert sum(kept) > LARGE / 20


def test_texts_longer_than_any_message_are_rewritten_between_their_ends() -> None:
    original, final = of(".,;:!", 1, 2 * LARGE), of(".,;:!", 2, 2 * LARGE)
    assert diff(f"Hello Sam{original}Bye", f"Hello Pat{final}Bye") == [
        ["=", 6],
        ["-", 3 + 2 * LARGE],
        ["+", "Pat" + final],
        ["=", 3],
    ]
