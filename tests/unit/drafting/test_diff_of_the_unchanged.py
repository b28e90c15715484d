"""A draft that is sent as it stands, the commonest of all decisions."""

from __future__ import annotations

import pytest

from countersign.drafting.diff import diff


@pytest.mark.parametrize("text", ["Hello! Returns are free.", "a", "", "one\ntwo\n", "日本語"])
def test_the_same_text_is_kept_whole(text: str) -> None:
    assert diff(text, text) == ([["=", len(text)]] if text else [])
