"""Settings: one frozen dataclass per function, read from the environment at the first event."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, get_type_hints

from countersign.platform.errors import Invalid, MissingSetting

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """Where Postgres is and as whom to enter: the secret is JSON `{"username", "password"}`."""

    database_host: str
    """A host name, or the folder of a Unix socket."""
    database_port: int = 5432
    database_name: str
    database_secret_id: str
    database_sslmode: str = "verify-full"
    database_proxy: bool = False
    """True behind RDS Proxy: server-side prepared statements would pin its connections."""


def load(settings: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Build `settings`, a frozen dataclass, from the variables named like its fields in upper case.

    Fields are `str`, `int`, `float` or `bool` ("true"/"false"); an empty variable counts as unset.
    Raises `MissingSetting` and `Invalid`, which name the variable.
    """
    environ = os.environ if environ is None else environ
    hints = get_type_hints(settings)
    values: dict[str, Any] = {}
    for field in fields(settings):  # type: ignore[arg-type]  # a dataclass by contract
        name = field.name.upper()
        text = environ.get(name, "")
        if text:
            values[field.name] = _parse(name, hints[field.name], text)
        elif field.default is MISSING:
            raise MissingSetting(f"The environment variable {name} is not set.")
    return settings(**values)


def _parse(name: str, kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise Invalid(f"The environment variable {name} must be true or false.")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise Invalid(f"The environment variable {name} must be of type {kind.__name__}.") from None
