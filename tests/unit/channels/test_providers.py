"""What every provider's module declares, and that a new one is a file and a line in `MODULES`."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, get_args

import pytest

from countersign.channels import providers
from countersign.channels.messages import ChannelType, Outgoing, Unreached
from countersign.channels.providers import MODULES, ProviderSettings, provider_module
from countersign.channels.tables import Channel
from countersign.platform.errors import Invalid
from countersign.platform.ids import new_id
from migrations import events, organizations
from migrations.organizations import Addressing


@pytest.mark.parametrize("name", MODULES)
def test_a_provider_asks_for_the_credentials_that_it_declares(
    name: str, delivery: Outgoing
) -> None:
    module = provider_module(name)
    assert module.TYPES.keys() <= set(get_args(ChannelType))
    assert module.CREDENTIALS
    for credential in module.CREDENTIALS:
        others = {one: "x" for one in module.CREDENTIALS if one != credential}
        result = module.send(delivery, others, ProviderSettings())
        assert isinstance(result, Unreached)
        assert credential in result.reason


@pytest.fixture
def fax(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that nothing else knows."""
    module: Any = ModuleType("fax")
    module.TYPES = {"sms": "fax:", "chat": ""}
    module.CREDENTIALS = {"number": "+1…"}
    monkeypatch.setitem(sys.modules, "fax", module)
    monkeypatch.setitem(providers.MODULES, "fax", "fax")


def bootstrap(**channel: str) -> dict[str, Any]:
    return {
        "action": "bootstrap",
        "organization": {"slug": "acme", "name": "Acme"},
        "admin": {"email": "ada@acme.example", "display_name": "Ada"},
        "channel": {"provider": "fax", "name": "Fax", **channel},
    }


@pytest.mark.usefixtures("fax")
def test_a_channel_of_a_new_provider_is_checked_by_what_that_declares() -> None:
    events.parse(bootstrap(type="sms", external_id="fax:1"))
    for channel, said in (
        ({"type": "email", "external_id": "fax:1"}, "type must be sms or chat for fax"),
        ({"type": "sms", "external_id": "+1"}, "external_id must begin with fax:"),
    ):
        with pytest.raises(Invalid, match=said):
            events.parse(bootstrap(**channel))


@pytest.mark.usefixtures("fax")
def test_a_new_providers_credentials_are_told_with_its_channel() -> None:
    channel = Channel(
        organization_id=new_id(), id=new_id(), provider="fax", type="sms", external_id="fax:1"
    )
    told = organizations.described(channel, Addressing("mac-key", "channels/", ""))
    assert told["secret_holds"] == {"number": "+1…"}
