"""Sending with a channel's secret, which may be rotated at any time."""

from __future__ import annotations

from typing import Any

import pytest

from countersign.channels import sending
from countersign.channels.attempts import Claim
from countersign.channels.messages import Accepted, Outgoing, SendResult, Unreached
from countersign.channels.providers import twilio
from countersign.channels.sending import SendingSettings
from countersign.channels.tables import Channel, Delivery
from countersign.platform import clock, secrets
from countersign.platform.errors import Unauthenticated
from countersign.platform.ids import new_id

SETTINGS = SendingSettings(
    public_url="https://hooks.example",
    channel_key_secret_id="key",
    channel_secrets_prefix="channels/",
    messages_bucket="messages",
)


def claim() -> Claim:
    organization_id, channel_id = new_id(), new_id()
    channel = Channel(organization_id=organization_id, id=channel_id, provider="twilio")
    delivery = Delivery(
        organization_id=organization_id,
        id=new_id(),
        sender="+15550100",
        recipient="+15550199",
        payload={"text": "Hello"},
    )
    return Claim(delivery, channel, new_id(), clock.now())


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The channel's secret as a warm worker has it cached, and as it is by now."""
    values = {"cached": "old", "now": "old"}

    def secret_json(secret_id: str, max_age: float) -> dict[str, str]:
        return {"auth_token": values["now" if max_age == 0 else "cached"]}

    def send(delivery: Outgoing, credentials: dict[str, str], settings: Any) -> SendResult:
        if credentials["auth_token"] != "new":
            raise Unauthenticated("Authenticate")
        return Accepted("SM1")

    monkeypatch.setattr(secrets, "secret_json", secret_json)
    monkeypatch.setattr(secrets, "secret", lambda _: secrets.Secret("mac"))
    monkeypatch.setattr(twilio, "send", send)
    return values


def test_a_rotated_secret_is_read_anew(known: dict[str, str]) -> None:
    known["now"] = "new"
    assert sending.send(claim(), SETTINGS) == Accepted("SM1")


def test_a_wrong_secret_is_for_its_keeper_to_correct(known: dict[str, str]) -> None:
    """The message is as good as it was: it is tried again."""
    assert sending.send(claim(), SETTINGS) == Unreached("Authenticate")
