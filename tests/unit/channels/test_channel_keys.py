from __future__ import annotations

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.channels.keys import ChannelKey, make, read
from countersign.platform.errors import NotFound
from countersign.platform.secrets import Secret

KEYS = st.builds(
    ChannelKey,
    provider=st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True),
    channel_id=st.uuids(),
    organization_id=st.uuids(),
)
KEY = ChannelKey("twilio", UUID(int=1), UUID(int=2))


@given(KEYS, st.text(min_size=1), st.text(min_size=1))
def test_a_key_reads_back_under_the_current_and_the_previous_secret(
    key: ChannelKey, secret: str, other: str
) -> None:
    text = make(key, secret)
    assert read(text, Secret(secret)) == key
    assert read(text, Secret(other, secret)) == key


@given(KEYS, st.data())
def test_any_changed_character_is_refused(key: ChannelKey, data: st.DataObject) -> None:
    text = make(key, "secret")
    at = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters().filter(lambda c: c != text[at]))
    with pytest.raises(NotFound):
        read(text[:at] + character + text[at + 1 :], Secret("secret"))


def test_a_key_made_with_another_secret_is_refused() -> None:
    with pytest.raises(NotFound):
        read(make(KEY, "secret"), Secret("other", "older"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "twilio",
        "twilio.",
        make(KEY, "s") + "=",
        make(KEY, "s") + "\n",
        make(KEY, "s")[:-1],
        make(KEY, "s").replace("twilio", "Twilio"),
        make(KEY, "s").replace("twilio.", "api."),
        "twilio." + base64.urlsafe_b64encode(bytes(48)).decode(),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(NotFound):
        read(text, Secret("s"))


def test_the_form_of_a_key_does_not_change() -> None:
    """Keys stand in providers' settings. The MAC is `openssl dgst -sha256 -hmac secret`'s."""
    mac = base64.urlsafe_b64decode("B-WjvgsV12xAwEXU1WmW-Q==")
    packed = KEY.channel_id.bytes + KEY.organization_id.bytes + mac
    assert make(KEY, "secret") == f"twilio.{base64.urlsafe_b64encode(packed).decode()}"
