"""Reply addresses: they survive what mail servers do to addresses, and cannot be made up."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from countersign.mail import replies

LOCAL = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-_", min_size=1, max_size=23)
ADDRESS = st.builds(lambda local: f"{local}@in.example.com", LOCAL)


@given(ADDRESS, st.uuids(), st.booleans())
def test_an_address_finds_its_conversation(address: str, id_: UUID, is_upper: bool) -> None:
    made = replies.make(address, id_, "key")
    assert len(made.rpartition("@")[0]) <= 64
    seen = made.upper() if is_upper else made
    assert replies.find(["ada@example.com", seen], ["newer", "key"]) == [id_]
    assert replies.without_token(made) == address


@given(ADDRESS, st.uuids(), st.data())
def test_a_changed_address_finds_nothing(address: str, id_: UUID, data: st.DataObject) -> None:
    made = replies.make(address, id_, "key")
    at = data.draw(st.integers(len(address.partition("@")[0]) + 1, made.index("@") - 1))
    other = data.draw(
        st.sampled_from([c for c in "abcdefghijklmnopqrstuvwxyz234567" if c != made[at]])
    )
    assert replies.find([made[:at] + other + made[at + 1 :]], ["key"]) == []


@given(ADDRESS, st.uuids())
def test_an_address_of_another_key_or_mailbox_finds_nothing(address: str, id_: UUID) -> None:
    made = replies.make(address, id_, "key")
    assert replies.find([made], ["another"]) == []
    assert replies.find([made.replace("@in.", "@out.")], ["key"]) == []
    assert replies.find(["x" + made], ["key"]) == []


@given(st.lists(st.text()))
def test_any_text_is_no_address_of_ours(texts: list[str]) -> None:
    assert replies.find(texts, ["key"]) == []


@given(ADDRESS, st.lists(st.uuids(), unique=True, max_size=4))
def test_of_several_each_is_found_once_and_in_order(address: str, ids: list[UUID]) -> None:
    made = [replies.make(address, id_, "key") for id_ in ids]
    assert replies.find([*made, *made], ["key"]) == ids
