"""Keys that sort by the time they were made."""

from __future__ import annotations

import time
import uuid

import pytest

from countersign.platform.ids import new_id


def test_ids_made_one_after_another_sort_so() -> None:
    made = [new_id() for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000


def test_an_id_is_a_uuid_of_version_7_and_tells_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for nanoseconds in (0, 1_999_999, 1_700_000_000_123_999_999):
        monkeypatch.setattr(time, "time_ns", lambda at=nanoseconds: at)
        made = new_id()
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert made.int >> 80 == nanoseconds // 1_000_000
        assert (made.int >> 64) & 0xFFF == nanoseconds % 1_000_000 * 4096 // 1_000_000
