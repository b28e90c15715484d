"""Roles and extensions: what revisions cannot make, since roles belong to the whole cluster.

Run as the cluster's master user; running it again changes nothing but passwords.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import Connection, sql

ROLES = ("app_owner", "app_rw", "app_ro", "app_system")
EXTENSIONS = ("vector", "citext")


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
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(password)))
