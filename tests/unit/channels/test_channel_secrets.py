"""Secrets as the channels use them: cached with a lifetime, rotated without a gap."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from countersign.platform import secrets
from countersign.platform.errors import NotFound, Unavailable
from countersign.platform.secrets import (
    LIFETIME_SECONDS,
    RECHECK_SECONDS,
    Secret,
    secret,
    secret_json,
    secret_json_versions,
)


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(secrets, "time", clock)
    return clock


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    secrets._client.cache_clear()
    secrets._cache.clear()
    with mock_aws():
        yield boto3.client("secretsmanager")
    secrets._client.cache_clear()
    secrets._cache.clear()


def test_a_new_secret_has_no_previous_value(manager: Any) -> None:
    manager.create_secret(Name="s", SecretString="one")
    assert secret("s") == Secret("one")
    assert secret("s").versions == ["one"]


def test_a_rotated_secret_has_both_values(manager: Any) -> None:
    manager.create_secret(Name="s", SecretString="one")
    manager.put_secret_value(SecretId="s", SecretString="two")
    manager.put_secret_value(SecretId="s", SecretString="three")
    assert secret("s").versions == ["three", "two"]


def test_a_value_is_kept_for_its_lifetime(manager: Any, clock: Clock) -> None:
    manager.create_secret(Name="s", SecretString="one")
    assert secret("s").current == "one"
    manager.put_secret_value(SecretId="s", SecretString="two")
    clock.now += LIFETIME_SECONDS
    assert secret("s").current == "one"
    clock.now += 1
    assert secret("s").current == "two"


def test_a_doubted_value_is_read_again_once_a_minute(manager: Any, clock: Clock) -> None:
    manager.create_secret(Name="s", SecretString="one")
    secret("s")
    manager.put_secret_value(SecretId="s", SecretString="two")
    clock.now += RECHECK_SECONDS
    assert secret("s", RECHECK_SECONDS).current == "one"
    clock.now += 1
    assert secret("s", RECHECK_SECONDS).current == "two"
    manager.put_secret_value(SecretId="s", SecretString="three")
    assert secret("s", RECHECK_SECONDS).current == "two"


def test_that_there_is_none_is_kept_for_a_minute(manager: Any, clock: Clock) -> None:
    with pytest.raises(NotFound):
        secret("s")
    manager.create_secret(Name="s", SecretString="one")
    with pytest.raises(NotFound):
        secret("s")
    clock.now += RECHECK_SECONDS + 1
    assert secret("s").current == "one"


def test_a_secret_in_deletion_is_none(manager: Any) -> None:
    manager.create_secret(Name="s", SecretString="one")
    manager.delete_secret(SecretId="s")
    with pytest.raises(NotFound):
        secret("s")


def test_an_outage_is_not_kept(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manager.create_secret(Name="s", SecretString="one")

    denied: Any = {"Error": {"Code": "AccessDeniedException", "Message": "not you"}}
    for error, what in (
        (EndpointConnectionError(endpoint_url="http://127.0.0.1"), "does not answer"),
        (ClientError(denied, "GetSecretValue"), "refused to answer: AccessDeniedException"),
    ):
        with monkeypatch.context() as during:
            during.setattr(secrets._client(), "get_secret_value", Mock(side_effect=error))
            with pytest.raises(Unavailable, match=what):
                secret("s")
    assert secret("s").current == "one"


def test_json(manager: Any) -> None:
    manager.create_secret(Name="s", SecretString=json.dumps({"a": 1}))
    assert secret_json("s") == {"a": 1}
    assert secret_json_versions("s") == [{"a": 1}]


@pytest.mark.parametrize("broken", ["{", "7", "[]"])
def test_a_broken_value_is_named_and_left_out(manager: Any, broken: str) -> None:
    manager.create_secret(Name="s", SecretString=broken)
    with pytest.raises(Unavailable, match="The secret s is not a JSON object"):
        secret_json("s")
    manager.put_secret_value(SecretId="s", SecretString='{"a": 1}')
    assert secret_json_versions("s", max_age=-1) == [{"a": 1}]


def test_a_value_does_not_show_in_a_repr() -> None:
    assert "canary" not in repr(Secret("canary-1", "canary-2"))


def test_a_previous_value_is_read_only_for_who_asks_for_it(
    manager: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []
    read = secrets._read

    def reading(name: str, stage: str) -> str | None:
        stages.append(stage)
        return read(name, stage)

    monkeypatch.setattr(secrets, "_read", reading)
    manager.create_secret(Name="s", SecretString='{"a":1}')
    assert secret_json("s") == {"a": 1}
    assert stages == ["AWSCURRENT"]
    assert secret("s") == secret("s") == Secret('{"a":1}')
    assert stages == ["AWSCURRENT", "AWSPREVIOUS"]
    clock.now += LIFETIME_SECONDS + 1
    assert secret_json_versions("s") == [{"a": 1}]
    assert stages[2:] == ["AWSCURRENT", "AWSPREVIOUS"]
