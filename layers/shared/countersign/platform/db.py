"""The way into Postgres: one lazily made engine a role, one transaction a `with` block.

A tenant's transaction sets `app.organization_id` for that transaction alone; row-level security
does the rest (see docs/data-model.md). Domain functions take the session and never commit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import URL, MetaData, create_engine, event, text
from sqlalchemy.orm import DeclarativeBase, Session

from countersign.platform.log import logger
from countersign.platform.secrets import secret_json, secret_json_versions
from countersign.platform.settings import DatabaseSettings

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection

REREAD_SECONDS = 1.0
"""How soon a secret whose value the database refused is read again."""

_ONE_MOMENT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(DeclarativeBase):
    """Base of every mapped table."""

    metadata = MetaData(naming_convention=NAMES)


class TenantSession(Session):
    """A session inside one organization's transaction."""

    organization_id: UUID


class Database:
    """One Postgres role's connection. Lambda runs one event at a time, so one connection does."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def tenant(self, organization_id: UUID) -> Iterator[TenantSession]:
        """One transaction as `organization_id`: commits at the end, rolls back on any error."""
        with TenantSession(self.engine, expire_on_commit=False) as session, session.begin():
            enter(session, organization_id)
            yield session

    @contextmanager
    def reading(self, organization_id: UUID) -> Iterator[TenantSession]:
        """One transaction as `organization_id` that only reads, and all of it as of one moment.

        What is read in two statements fits together then, whatever others commit in between.
        """
        with TenantSession(self.engine, expire_on_commit=False) as session, session.begin():
            session.connection(execution_options=_ONE_MOMENT)
            enter(session, organization_id)
            yield session

    @contextmanager
    def system(self) -> Iterator[Session]:
        """One transaction of no tenant: for the sweeper's role, and for what precedes a tenant."""
        with TenantSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session


def enter(session: Session, organization_id: UUID) -> TenantSession:
    """Make `session`'s transaction that of `organization_id`; its end undoes this."""
    assert isinstance(session, TenantSession)
    session.execute(
        text("SELECT set_config('app.organization_id', :id, true)"), {"id": str(organization_id)}
    )
    session.organization_id = organization_id
    return session


@functools.cache
def database(settings: DatabaseSettings) -> Database:
    """The database of `settings`: connected at its first transaction, kept for later events."""
    url = URL.create(
        "postgresql+psycopg",
        database=settings.database_name,
        query={
            "host": settings.database_host,
            "port": str(settings.database_port),
            "sslmode": settings.database_sslmode,
        },
    )
    made = engine(url, prepare=not settings.database_proxy)
    event.listen(made, "do_connect", functools.partial(_enter, settings.database_secret_id))
    return Database(made)


def _enter(
    secret_id: str,
    dialect: Dialect,
    record: object,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
) -> DBAPIConnection:
    """Connect with the password that the secret held; if that is refused, with what it holds now.

    A rotation changes the secret and the role's password one after the other: neither order may
    cause an error, so the value before the current one is tried too.
    """
    held = secret_json(secret_id)
    try:
        return _connect(dialect, arguments, options, held)
    except dialect.loaded_dbapi.OperationalError as error:
        if not _asked_for_password(error):
            raise
        refused = error
    logger.warning("the database refused a password; reading its secret again")
    for value in secret_json_versions(secret_id, max_age=REREAD_SECONDS):
        if value != held:
            with suppress(dialect.loaded_dbapi.OperationalError):
                return _connect(dialect, arguments, options, value)
    raise refused


def _connect(
    dialect: Dialect,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    credentials: Mapping[str, str],
) -> DBAPIConnection:
    login = {"user": credentials["username"], "password": credentials["password"]}
    return dialect.connect(*arguments, **{**options, **login})


def _asked_for_password(error: Exception) -> bool:
    """Whether a server answered; psycopg's error has no code, and its words are in any language."""
    return bool(getattr(getattr(error, "pgconn", None), "used_password", False))


def engine(url: URL, *, prepare: bool = True) -> Engine:
    """An engine of a single connection, tested before each transaction."""
    options: dict[str, Any] = {} if prepare else {"prepare_threshold": None}
    return create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        # To look for a type that nobody uses would cost each new connection three statements.
        use_native_hstore=False,
        # Errors are logged, and parameters are people's words and addresses.
        hide_parameters=True,
        connect_args={"connect_timeout": 5, **options},
    )
