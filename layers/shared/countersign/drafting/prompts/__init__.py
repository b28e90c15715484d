"""Prompts: one file a version, never edited once drafts have been written with it."""

from __future__ import annotations

import functools
from importlib import resources

REPLY = "reply-1"


@functools.cache
def prompt(version: str) -> str:
    """The text of a prompt, such as that of `REPLY`."""
    return resources.files(__package__).joinpath(f"{version}.md").read_text("utf-8")
