"""Secrets Manager, behind a cache with a lifetime, with what a rotation replaced.

A rotation moves the label AWSCURRENT to the new value and AWSPREVIOUS to the one before; both are
accepted, so neither side of a channel has to switch at the same instant:
https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html
"""

from __future__ import annotations

import functools
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from countersign.platform.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

LIFETIME_SECONDS = 300.0
RECHECK_SECONDS = 60.0
"""How soon a value that was found wrong, or missing, may be asked for again."""

_cache: dict[str, _Entry] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Secret:
    """The value in force, and the one before it if there is one; neither shows in a `repr`."""

    current: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)

    @property
    def versions(self) -> list[str]:
        """Both values, the current one first."""
        return [self.current] if self.previous is None else [self.current, self.previous]


@dataclass
class _Entry:
    """What was read of a secret; its previous value only once somebody has asked for it."""

    at: float
    current: str | None
    previous: str | None = None
    has_previous: bool = False


def secret(secret_id: str, max_age: float = LIFETIME_SECONDS) -> Secret:
    """The secret of that name or ARN, read at most `max_age` seconds ago.

    Raises `NotFound` if there is none, `Unavailable` if Secrets Manager does not answer. That there
    is none is remembered as well, for a minute: a deleted channel's key must not cost a call each.
    """
    with _lock:
        current, read = _current(secret_id, max_age)
        if not read.has_previous:
            read.previous, read.has_previous = _read(secret_id, "AWSPREVIOUS"), True
        return Secret(current, read.previous)


def _current(secret_id: str, max_age: float) -> tuple[str, _Entry]:
    read = _cache.get(secret_id)
    if read and read.current is None:
        max_age = min(max_age, RECHECK_SECONDS)
    if read is None or time.monotonic() - read.at > max_age:
        read = _Entry(time.monotonic(), _read(secret_id, "AWSCURRENT"))
        _cache[secret_id] = read
    if read.current is None:
        raise NotFound("There is no such secret.")
    return read.current, read


def secret_json(secret_id: str, max_age: float = LIFETIME_SECONDS) -> dict[str, Any]:
    """The current value as a JSON object; raises like `secret`, and `Unavailable` if it is none."""
    with _lock:
        current, _ = _current(secret_id, max_age)
    found = _object(current)
    if found is None:
        raise Unavailable(f"The secret {secret_id} is not a JSON object.")
    return found


def secret_json_versions(secret_id: str, max_age: float = LIFETIME_SECONDS) -> list[dict[str, Any]]:
    """Of the current and the previous value those that are JSON objects; raises like `secret`.

    A broken value is left out: else a typing error, once corrected, would go on breaking as the
    previous value until the next rotation.
    """
    objects = [_object(text) for text in secret(secret_id, max_age).versions]
    return [found for found in objects if found is not None]


def _read(secret_id: str, stage: str) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = _client().get_secret_value(SecretId=secret_id, VersionStage=stage)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        # A secret that is scheduled for deletion answers InvalidRequestException.
        if code in ("ResourceNotFoundException", "InvalidRequestException"):
            return None
        raise Unavailable(f"Secrets Manager refused to answer: {code}.") from error
    except BotoCoreError as error:
        raise Unavailable("Secrets Manager does not answer; try again.") from error
    return answer["SecretString"]


@functools.cache
def _client() -> SecretsManagerClient:
    import boto3

    return boto3.client("secretsmanager")


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
