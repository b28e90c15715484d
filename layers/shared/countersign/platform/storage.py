"""S3: bytes by key, for what is too large for a queue or a row."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from countersign.platform.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def put(bucket: str, key: str, content: bytes) -> None:
    """Store `content` under `key`, replacing what is there; raises `Unavailable`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _client().put_object(Bucket=bucket, Key=key, Body=content)
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"The bucket {bucket} does not take objects; try again.") from error


def get(bucket: str, key: str) -> bytes:
    """What is stored under `key`; raises `NotFound` or `Unavailable`."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = _client()
    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey as error:
        raise NotFound(f"The bucket {bucket} has no object {key}.") from error
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"The bucket {bucket} does not answer; try again.") from error


@functools.cache
def _client() -> S3Client:
    import boto3

    return boto3.client("s3")
