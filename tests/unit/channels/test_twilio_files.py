"""Media of Twilio's messages, against a server that answers like it."""

from __future__ import annotations

import base64

import pytest

from countersign.channels.providers import MODULES, ProviderSettings, provider_module, twilio
from countersign.platform.errors import (
    CountersignError,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from tests.unit.channels.peer import Peer

CREDENTIALS = {"account_sid": "AC1", "auth_token": "canary-token"}
PATH = "/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1"


def fetch(
    peer: Peer, path: str = PATH, most_bytes: int = 100, credentials: object = CREDENTIALS
) -> bytes:
    settings = ProviderSettings(twilio_api_url=peer.url)
    assert isinstance(credentials, dict)
    return twilio.fetch(peer.url + path, credentials, settings, most_bytes=most_bytes, seconds=20.0)


def test_credentials_go_to_twilio_and_not_where_it_redirects_to(peer: Peer) -> None:
    peer.answers = [(307, {"location": f"{peer.url}/cdn/1?signed"}, b""), (200, {}, b"picture")]
    assert fetch(peer) == b"picture"
    asked, redirected = peer.calls
    user = base64.b64encode(b"AC1:canary-token").decode()
    assert (asked.method, asked.path) == ("GET", PATH)
    assert asked.headers["authorization"] == f"Basic {user}"
    assert redirected.path == "/cdn/1?signed"
    assert "authorization" not in redirected.headers


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://api.twilio.com.evil.example" + PATH,
        "PEER/2010-04-01/Accounts/AC10/Messages/MM1/Media/ME1",
        "PEER/2010-04-01/Accounts/AC2/Messages/MM1/Media/ME1",
        "",
    ],
)
def test_what_is_not_of_the_account_is_not_asked_for(peer: Peer, url: str) -> None:
    settings = ProviderSettings(twilio_api_url=peer.url)
    url = url.replace("PEER", peer.url)
    with pytest.raises(NotFound):
        twilio.fetch(url, CREDENTIALS, settings, most_bytes=100, seconds=20.0)
    assert peer.calls == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, {}, b""), Unauthenticated),
        ((403, {}, b""), NotFound),
        ((404, {}, b""), NotFound),
        ((429, {"retry-after": "7"}, b""), Unavailable),
        ((503, {}, b""), Unavailable),
        ((0, {}, b""), Unavailable),
        ((200, {}, b"x" * 101), TooLarge),
        ((307, {"location": "http://metadata.example/"}, b""), NotFound),
        ((307, {"location": "file:///etc/passwd"}, b""), NotFound),
    ],
)
def test_what_an_answer_means(
    peer: Peer, answer: tuple[int, dict[str, str], bytes], error: type[CountersignError]
) -> None:
    peer.answers = [answer]
    with pytest.raises(error) as raised:
        fetch(peer)
    assert "canary" not in str(raised.value)
    assert PATH not in str(raised.value)
    if answer[0] == 429:
        assert raised.value.extra["retry_after"] == 7


def test_a_file_of_just_the_size_is_taken(peer: Peer) -> None:
    peer.answers = [(200, {}, b"x" * 100)]
    assert len(fetch(peer)) == 100


def test_redirects_end(peer: Peer) -> None:
    peer.answers = [(307, {"location": f"{peer.url}/again"}, b"")]
    with pytest.raises(Unavailable, match="without end"):
        fetch(peer)
    assert len(peer.calls) == 4


def test_a_secret_without_credentials_may_be_mended(peer: Peer) -> None:
    with pytest.raises(Unavailable):
        fetch(peer, credentials={"account_sid": "AC1"})


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"twilio"}))
def test_the_others_point_to_no_files(name: str) -> None:
    module = provider_module(name)
    with pytest.raises(NotFound):
        module.fetch("https://x.example", {}, ProviderSettings(), most_bytes=1, seconds=1.0)
