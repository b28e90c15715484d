"""The migrations function, event by event, on an empty database with secrets in Secrets Manager."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import psycopg
import pytest
from moto import mock_aws
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from countersign.channels import keys
from countersign.identity import api_keys
from countersign.identity.api_keys import SCOPES
from countersign.platform import db, secrets
from countersign.platform.db import Database
from countersign.platform.errors import Conflict, Invalid, MissingSetting, Unauthenticated
from countersign.platform.secrets import Secret
from countersign.platform.settings import DatabaseSettings
from functions.migrations import app
from local import postgres
from migrations import actions
from migrations.bootstrap import ROLES
from tests.conftest import PASSWORDS, create_database

BOOTSTRAP: dict[str, Any] = {
    "action": "bootstrap",
    "organization": {"slug": "acme", "name": "Acme"},
    "admin": {"email": "ada@acme.example", "display_name": "Ada"},
    "channel": {
        "type": "sms",
        "provider": "twilio",
        "external_id": "+15550100",
        "name": "Text messages",
    },
}


@pytest.fixture
def empty(cluster: postgres.Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an empty database that the function's environment points to."""
    name = "migrations_function"
    create_database(cluster, name)
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "DATABASE_HOST": str(cluster.host),
        "DATABASE_PORT": str(cluster.port),
        "DATABASE_NAME": name,
        "DATABASE_SSLMODE": "disable",
        "DATABASE_SECRET_ID": "app_owner",
        "MASTER_SECRET_ID": "master",
        "APP_RW_SECRET_ID": "app_rw",
        "APP_RO_SECRET_ID": "app_ro",
        "APP_SYSTEM_SECRET_ID": "app_system",
        "CHANNEL_KEY_SECRET_ID": "channel-key",
        "CHANNEL_SECRETS_PREFIX": "channels/",
        "PUBLIC_URL": "https://api.example",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    opened: list[Database] = []

    def remembered(settings: DatabaseSettings) -> Database:
        opened.append(db.database(settings))
        return opened[-1]

    monkeypatch.setattr(actions, "database", remembered)
    with mock_aws():
        forget()
        store = boto3.client("secretsmanager")
        identities = {"master": ("postgres", cluster.password)}
        identities |= {role: (role, PASSWORDS[role]) for role in ROLES}
        for secret, (username, password) in identities.items():
            value = json.dumps({"username": username, "password": password})
            store.create_secret(Name=secret, SecretString=value)
        store.create_secret(Name="channel-key", SecretString="mac-key")
        yield name
        for each in opened:
            each.engine.dispose()
        forget()
    with psycopg.connect(cluster.conninfo(), autocommit=True) as master:
        master.execute(f"DROP DATABASE {name} WITH (FORCE)")


def forget() -> None:
    """What the function keeps from one event to the next."""
    for cached in (app._ready, secrets._client, db.database):
        cached.cache_clear()
    secrets._cache.clear()


def invoke(event: dict[str, Any]) -> Any:
    """The answer, as Lambda hands it on."""
    return json.loads(json.dumps(app.lambda_handler(event, None)))


def test_an_empty_database_becomes_a_shop(cluster: postgres.Cluster, empty: str) -> None:
    newest = invoke({"action": "pre"})["revision"]
    assert invoke({"action": "post"}) == {"revision": newest}
    assert invoke({"action": "roles"}) == {"roles": list(ROLES)}
    first, again = invoke(BOOTSTRAP), invoke(BOOTSTRAP)
    assert again == {**first, "api_key": None}
    channel = first["channel"]
    key = keys.read(channel["channel_key"], Secret("mac-key"))
    assert str(key.channel_id) == channel["channel_id"]
    assert str(key.organization_id) == first["organization_id"]
    assert channel["webhook_url"] == f"https://api.example/webhooks/{channel['channel_key']}"
    assert channel["webhook_path"] == f"/webhooks/{channel['channel_key']}"
    assert channel["secret_name"] == f"channels/{channel['channel_id']}"
    assert set(channel["secret_holds"]) == {"account_sid", "auth_token"}
    found = authenticated(cluster, empty, first["api_key"])
    assert (str(found.organization_id), str(found.user_id)) == (
        first["organization_id"],
        first["user_id"],
    )
    assert sorted(found.scopes) == sorted(SCOPES)
    assert invoke({"action": "vector_indexes"}) == {"made": [], "dropped": []}
    tenants = invoke({"action": "sample", "undo_seconds": 0, "debounce_seconds": 0})["tenants"]
    assert [tenant["slug"] for tenant in tenants] == ["hot-rod-an", "northwind-bicycles"]
    for tenant in tenants:
        found = authenticated(cluster, empty, tenant["api_key"])
        assert str(found.organization_id) == tenant["organization_id"]


def test_the_mail_of_an_address_is_one_channels(cluster: postgres.Cluster, empty: str) -> None:
    invoke({"action": "pre"})
    mail = {"type": "email", "provider": "smtp", "name": "Mail"}
    ours = {**mail, "external_id": "help@acme.example", "inbound_address": "help@in.acme.example"}
    first = invoke({**BOOTSTRAP, "channel": ours})
    assert invoke({**BOOTSTRAP, "channel": ours})["channel"] == first["channel"]
    other = {**BOOTSTRAP, "organization": {"slug": "other", "name": "Other"}}
    for taken in ({"external_id": "HELP@acme.example"}, {**ours, "external_id": "b@acme.example"}):
        with pytest.raises(Conflict, match="another channel's already"):
            invoke({**other, "channel": {**mail, **taken}})
    for wrong in ({"external_id": "help"}, {**ours, "inbound_address": "help"}):
        with pytest.raises(Invalid, match="mail"):
            invoke({**BOOTSTRAP, "channel": {**mail, **wrong}})


def authenticated(cluster: postgres.Cluster, name: str, key: str) -> api_keys.Principal:
    entered = cluster.conninfo(name, user="app_rw", password=PASSWORDS["app_rw"])
    made = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(entered), poolclass=NullPool
    )
    with Database(made).system() as session:
        return api_keys.authenticate(session, f"Bearer {key}", datetime.now(UTC))


def test_a_lost_key_is_replaced_on_request(cluster: postgres.Cluster, empty: str) -> None:
    invoke({"action": "pre"})
    lost = invoke(BOOTSTRAP)["api_key"]
    new = invoke({**BOOTSTRAP, "new_key": True})["api_key"]
    authenticated(cluster, empty, new)
    assert recorded(cluster, empty) == ["api_key.issued", "api_key.revoked", "api_key.issued"]
    with pytest.raises(Unauthenticated, match="revoked"):
        authenticated(cluster, empty, lost)


def recorded(cluster: postgres.Cluster, name: str) -> list[str]:
    """The types of the events of the one organization's own stream."""
    with psycopg.connect(cluster.conninfo(name)) as master:
        told = master.execute(
            "SELECT type FROM audit_events WHERE stream_id = organization_id ORDER BY seq"
        )
        return [type_ for (type_,) in told]


def test_what_stands_in_the_way_of_a_bootstrap_is_said(
    cluster: postgres.Cluster, empty: str
) -> None:
    invoke({"action": "pre"})
    invoke(BOOTSTRAP)
    with psycopg.connect(cluster.conninfo(empty), autocommit=True) as master:
        master.execute("UPDATE organization_memberships SET ended_at = now()")
        with pytest.raises(Conflict, match=r"membership of ada@acme\.example has ended"):
            invoke(BOOTSTRAP)
        master.execute("UPDATE organization_memberships SET ended_at = NULL")
        master.execute("UPDATE channels SET provider = 'other'")
        with pytest.raises(Conflict, match="is a channel of other already"):
            invoke(BOOTSTRAP)


@pytest.mark.parametrize(
    "event",
    [BOOTSTRAP, {"action": "sample"}, {"action": "vector_indexes"}],
    ids=["bootstrap", "sample", "vector_indexes"],
)
def test_without_a_schema_it_says_what_to_do_first(empty: str, event: dict[str, Any]) -> None:
    invoke({"action": "roles"})
    with pytest.raises(Conflict, match=r'lacks the revision 0001; invoke with \{"action": "pre"\}'):
        invoke(event)


def test_a_roles_secret_is_read_anew_each_time(empty: str) -> None:
    """Else a password that was rotated a moment ago would be put back."""
    invoke({"action": "roles"})
    store = boto3.client("secretsmanager")
    store.put_secret_value(SecretId="app_ro", SecretString='{"username": "app_rw"}')
    with pytest.raises(Invalid, match=r'The secret app_ro must hold \{"username": "app_ro"'):
        invoke({"action": "roles"})


def test_a_missing_setting_and_a_missing_secret_are_named(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke({"action": "pre"})
    boto3.client("secretsmanager").delete_secret(
        SecretId="channel-key", ForceDeleteWithoutRecovery=True
    )
    with pytest.raises(Conflict, match="secret channel-key is missing; deploy the application"):
        invoke(BOOTSTRAP)
    monkeypatch.delenv("MASTER_SECRET_ID")
    app._ready.cache_clear()
    with pytest.raises(MissingSetting, match="MASTER_SECRET_ID"):
        invoke({"action": "pre"})


def changed(where: str, value: Any) -> dict[str, Any]:
    """The bootstrap event with another value at a dotted place; None takes it out."""
    event = json.loads(json.dumps(BOOTSTRAP))
    *path, last = where.split(".")
    inner = event
    for name in path:
        inner = inner[name]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return dict(event)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({}, "event: Unable to extract tag using discriminator 'action'"),
        ({"action": "drop"}, "event: Input tag 'drop'"),
        ({"action": "pre", "force": True}, "force: Extra inputs are not permitted"),
        ({"action": "sample", "undo_seconds": 901}, "undo_seconds: Input should be less than"),
        ({"action": "sample", "undo_seconds": "1"}, "undo_seconds: Input should be a valid int"),
        (changed("organization", None), "organization: Field required"),
        (changed("organization.slug", "Acme!"), "organization.slug: String should match"),
        (changed("admin.email", "ada"), "admin.email: String should match"),
        (changed("admin.display_name", " "), "admin.display_name: String should match"),
        (
            changed("channel.provider", "fax"),
            "provider must be one of api, sendgrid, ses, smtp, twilio",
        ),
        (changed("channel.type", "api"), "type must be sms or whatsapp for twilio"),
        (changed("channel.type", "whatsapp"), "external_id must begin with whatsapp:"),
        (changed("channel.type", "fax"), "channel.type: Input should be 'email'"),
    ],
)
def test_an_event_of_another_shape_is_refused_with_the_place(
    event: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        app.lambda_handler(event, None)
    assert said in refused.value.detail
