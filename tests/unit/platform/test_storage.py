"""Addresses of objects that are given out."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from countersign.platform import storage


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    storage._client.cache_clear()
    yield
    storage._client.cache_clear()


def test_an_address_is_signed_for_one_object_a_time_and_a_download() -> None:
    url = urlsplit(
        storage.download_url(
            "messages",
            "files/o/1",
            file_name='Rech"nung\r\n„März“.html',
            mime_type="text/html",
            seconds=300,
        )
    )
    asked = parse_qs(url.query)
    assert url.path.endswith("files/o/1")
    assert asked["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert asked["X-Amz-Expires"] == ["300"]
    assert asked["response-content-type"] == ["text/html"]
    (disposition,) = asked["response-content-disposition"]
    assert disposition == (
        "attachment; filename*=UTF-8''Rech%22nung%0D%0A%E2%80%9EM%C3%A4rz%E2%80%9C.html"
    )
    assert "canary" not in url.geturl()
