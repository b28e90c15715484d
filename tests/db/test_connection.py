"""Entering the database: with the secret's current password, whatever it was before."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from countersign.platform import db
from countersign.platform.ids import new_id
from countersign.platform.settings import DatabaseSettings
from tests.conftest import PASSWORDS, TestDatabase


def test_a_rotated_password_needs_no_new_process(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"username": "app_rw", "password": PASSWORDS["app_rw"]}
    monkeypatch.setattr(db, "secret_json", lambda _: values)
    settings = DatabaseSettings(
        database_host=str(database.cluster.host),
        database_port=database.cluster.port,
        database_name=database.name,
        database_secret_id="role",
        database_sslmode="disable",
    )
    entered = db.database(settings)
    with entered.tenant(new_id()) as session:
        assert session.scalar(text("SELECT current_user")) == "app_rw"
    values["password"] = "rotated"
    entered.engine.dispose()
    with pytest.raises(Exception, match="password authentication failed"):
        entered.tenant(new_id()).__enter__()
    values["password"] = PASSWORDS["app_rw"]
    with entered.tenant(new_id()) as session:
        assert session.scalar(text("SELECT 1")) == 1
    entered.engine.dispose()
