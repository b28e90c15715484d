"""Roles and extensions: what revisions cannot make, since roles belong to the whole cluster.

Run as the cluster's master user; running it again changes nothing but passwords.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import Connection, sql

from countersign.platform.db import Database
from countersign.platform.errors import Invalid
from countersign.platform.secrets import secret_json_versions

ROLES = ("app_owner", "app_rw", "app_ro", "app_system")
EXTENSIONS = ("vector", "citext", "btree_gin")


def make_roles(master: Database, secret_ids: Mapping[str, str]) -> list[str]:
    """Bootstrap with the passwords in the roles' secrets, by role; returns the roles.

    `master` enters as the cluster's master user. Raises `Invalid` for a secret of another role.
    """
    passwords = {role: _password(role, secret_ids[role]) for role in ROLES}
    with master.engine.connect() as connection:
        autocommitting = connection.execution_options(isolation_level="AUTOCOMMIT")
        driver: Any = autocommitting.connection.driver_connection
        bootstrap(driver, passwords)
    # Nothing else is done as the master user, so its connection is not kept.
    master.engine.dispose()
    return list(ROLES)


def _password(role: str, secret_id: str) -> str:
    """Of the secret as it is this instant: what was rotated a moment ago must not come back."""
    values = next(iter(secret_json_versions(secret_id, max_age=0)), {})
    if values.get("username") != role or not values.get("password"):
        raise Invalid(
            f'The secret {secret_id} must hold {{"username": "{role}", "password": "…"}} as JSON.'
        )
    return str(values["password"])


def bootstrap(connection: Connection, passwords: Mapping[str, str]) -> None:
    """Make the roles with their passwords, the extensions, and `app_owner` the schema's owner.

    `passwords` has one for each of `ROLES`. `connection` must be in autocommit mode.
    """
    for role in ROLES:
        _make_role(connection, role, passwords[role])
    for extension in EXTENSIONS:
        connection.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public").format(
                sql.Identifier(extension)
            )
        )
    connection.execute("GRANT app_owner TO CURRENT_USER")
    connection.execute("ALTER SCHEMA public OWNER TO app_owner")
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    connection.execute("GRANT USAGE ON SCHEMA public TO app_rw, app_ro, app_system")


def _make_role(connection: Connection, role: str, password: str) -> None:
    name = sql.Identifier(role)
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    if not exists:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    # Hashed here: a statement may be logged, and then so would be the password.
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(verifier)))
