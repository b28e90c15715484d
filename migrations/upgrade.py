"""Run the revisions, as `app_owner`.

A revision of phase `pre` must suit the code that is still running (it adds), one of phase `post`
may take away what only that code needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError
from sqlalchemy import Connection, text

from countersign.platform.errors import Conflict

Phase = Literal["pre", "post"]

_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended('countersign migrations', 0))")
_UNLOCK = text("SELECT pg_advisory_unlock(hashtextextended('countersign migrations', 0))")


def upgrade(connection: Connection, phase: Phase, using: Config | None = None) -> str:
    """Upgrade to the newest `pre` revision, or for `post` to the newest; returns the revision.

    Raises `Conflict` while another upgrade runs, and where a `pre` revision rests on a `post` one
    that is not applied: the running code may not bear that one.
    """
    configured = using or config(connection)
    with alone(connection):
        target = _target(connection, configured, phase)
        command.upgrade(configured, target)
    return target


def downgrade(connection: Connection, revision: str) -> None:
    """Go back to `revision` ("base" for an empty schema)."""
    command.downgrade(config(connection), revision)


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, on the caller's connection."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.attributes["connection"] = connection
    return made


def check_current(connection: Connection) -> None:
    """Raises `Conflict` unless the schema has every `pre` revision of this code."""
    missing = [s.revision for s in _pending(connection, config()) if s.module.phase == "pre"]
    if missing:
        raise Conflict(
            f'The schema lacks the revision {missing[0]}; invoke with {{"action": "pre"}} first.'
        )


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Hold the lock of this database's migrations; it outlives the transactions in the block.

    Raises `Conflict` while somebody else holds it.
    """
    taken = connection.scalar(_LOCK)
    connection.commit()
    if not taken:
        raise Conflict(
            "Another upgrade of this database, or of its indexes, is running; wait for its end."
        )
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(_UNLOCK)
        connection.commit()


def _target(connection: Connection, configured: Config, phase: Phase) -> str:
    pending = _pending(connection, configured)
    wanted = [s.revision for s in pending if phase == "post" or s.module.phase == "pre"]
    current = _current(connection)
    if current is None or not wanted:
        return wanted[-1] if wanted else str(current)
    from_post = dropwhile(lambda script: script.module.phase == "pre", pending)
    blocked = [script.revision for script in from_post if script.module.phase == "pre"]
    if phase == "pre" and blocked:
        raise Conflict(
            f"The revision {blocked[0]} (pre) rests on a post revision that is not applied: deploy "
            'the releases one after another, or, while no code runs, invoke {"action": "post"}.'
        )
    return wanted[-1]


def _pending(connection: Connection, configured: Config) -> list[Script]:
    """The revisions that the database lacks, oldest first. Raises `Conflict` if it is newer."""
    current = _current(connection)
    scripts = ScriptDirectory.from_config(configured)
    try:
        return list(scripts.iterate_revisions("heads", current or "base"))[::-1]
    except RevisionError:
        raise Conflict(
            f"The schema is at the revision {current}, which this code does not know: it is older "
            "than the schema. Deploy the code that made it, or a newer one."
        ) from None


def _current(connection: Connection) -> str | None:
    found = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    return found
