"""API keys: what becomes of them is on the organization's record."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from countersign.identity import api_keys
from countersign.platform import audit
from countersign.platform.db import Database, engine
from countersign.platform.errors import Invalid
from countersign.platform.verify import verify
from tests import world
from tests.conftest import TestDatabase
from tests.world import Tenant

NOW = datetime.now(UTC)


@pytest.fixture
def tenant(database: TestDatabase) -> Tenant:
    return world.add_tenant(database)


def recorded(database: TestDatabase, tenant: Tenant) -> list[dict[str, Any]]:
    """The events of the organization's own stream, which verifies."""
    organization_id = tenant.organization_id
    with database.app_rw.tenant(organization_id) as session:
        export = audit.export(session, organization_id, lambda _: [])
    assert verify(export).problems == []
    return [json.loads(event["canonical_text"]) for event in export["events"]]


def test_a_key_that_is_issued_or_revoked_is_recorded_without_its_secret(
    database: TestDatabase, tenant: Tenant
) -> None:
    owner = Database(engine(database.url("app_owner")))
    expires_at = NOW + timedelta(days=1)
    with owner.tenant(tenant.organization_id) as session:
        scopes: list[api_keys.Scope] = ["conversations:read"]
        made = [api_keys.issue(session, None, "shop", scopes, expires_at, NOW) for _ in range(2)]
    for _ in range(2):
        with owner.tenant(tenant.organization_id) as session:
            api_keys.revoke(session, "shop", NOW)
    owner.engine.dispose()
    events = recorded(database, tenant)
    assert [event["type"] for event in events] == [
        "api_key.issued",
        *["api_key.issued"] * 2,
        *["api_key.revoked"] * 2,
    ]
    assert events[0]["data"]["user_id"] == str(tenant.user_id)
    ids = [str(UUID(key.split("_")[1])) for key in made]
    assert sorted(event["data"]["api_key_id"] for event in events[3:]) == sorted(ids)
    assert events[1]["data"] == {
        "api_key_id": ids[0],
        "name": "shop",
        "user_id": None,
        "scopes": ["conversations:read"],
        "expires_at": expires_at.isoformat(),
    }
    for key in made:
        assert key.split("_", 2)[2] not in json.dumps(events)
        with database.app_rw.system() as session, pytest.raises(Exception, match="revoked"):
            api_keys.authenticate(session, f"Bearer {key}", NOW)


def test_what_was_not_issued_is_not_recorded(database: TestDatabase, tenant: Tenant) -> None:
    owner = Database(engine(database.url("app_owner")))
    with owner.tenant(tenant.organization_id) as session, pytest.raises(Invalid):
        api_keys.issue(session, None, "shop", ["drafts:approve"], NOW, NOW)
    owner.engine.dispose()
    assert len(recorded(database, tenant)) == 1
