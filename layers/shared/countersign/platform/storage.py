"""S3: bytes by key, for what is too large for a queue or a row."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from urllib.parse import quote

from countersign.platform.errors import NotFound, TooLarge, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def put(bucket: str, key: str, content: bytes) -> None:
    """Store `content` under `key`, replacing what is there; raises `Unavailable`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _client().put_object(Bucket=bucket, Key=key, Body=content)
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"The bucket {bucket} does not take objects; try again.") from error


def get(bucket: str, key: str, most_bytes: int | None = None) -> bytes:
    """What is stored under `key`; raises `NotFound`, `Unavailable`, and `TooLarge` for more than
    `most_bytes`, of which none is read."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = _client()
    try:
        found = client.get_object(Bucket=bucket, Key=key)
        with found["Body"] as body:
            if most_bytes is not None and found["ContentLength"] > most_bytes:
                raise TooLarge(f"The object {key} is larger than {most_bytes} bytes.")
            return body.read()
    except client.exceptions.NoSuchKey as error:
        raise NotFound(f"The bucket {bucket} has no object {key}.") from error
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"The bucket {bucket} does not answer; try again.") from error


def download_url(bucket: str, key: str, *, file_name: str, mime_type: str, seconds: int) -> str:
    """An address that gives the object to whoever has it, to be saved under a name and not shown.

    It is made without a call, and ends with the credentials of its maker at the latest.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ShareObjectPreSignedURL.html
    """
    asked = {
        "Bucket": bucket,
        "Key": key,
        "ResponseContentType": mime_type,
        # RFC 6266, 4.1 and RFC 8187: the form that takes any name.
        "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(file_name, safe='')}",
    }
    return _client().generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds)


def upload_url(bucket: str, key: str, *, size_bytes: int, seconds: int) -> str:
    """An address that takes a PUT of just so many bytes to be stored under `key`, from whoever has
    it. It is made without a call, and ends with the credentials of its maker at the latest.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/PresignedUrlUploadObject.html
    """
    asked = {"Bucket": bucket, "Key": key, "ContentLength": size_bytes}
    return _client().generate_presigned_url("put_object", Params=asked, ExpiresIn=seconds)


@functools.cache
def _client() -> S3Client:
    import boto3
    from botocore.config import Config

    # Where S3 still knows the older way to sign, addresses would be made in that.
    return boto3.client("s3", config=Config(signature_version="s3v4"))
