"""Run the revisions, as `app_owner`.

A revision of phase `pre` must suit the code that is still running (it adds), one of phase `post`
may take away what only that code needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

Phase = Literal["pre", "post"]


def upgrade(connection: Connection, phase: Phase) -> str:
    """Upgrade to the newest `pre` revision, or for `post` to the newest; returns the revision."""
    target = _newest(phase)
    command.upgrade(config(connection), target)
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


def _newest(phase: Phase) -> str:
    scripts = ScriptDirectory.from_config(config()).walk_revisions()
    return next(s.revision for s in scripts if phase == "post" or s.module.phase == "pre")
