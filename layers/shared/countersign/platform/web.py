"""Fetching what is at an address of the public web, whoever gave the address.

A host's name is resolved once, every address that it has is checked, and the connection is made to
the very address that was checked: a name that changes its mind in between (DNS rebinding) reaches
nothing else. Nothing is sent that says who we are but the user agent: no cookies, no credentials.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
)

from countersign.platform import addresses, calls, urls
from countersign.platform.addresses import Address, Network
from countersign.platform.calls import Answer
from countersign.platform.errors import Unavailable
from countersign.platform.urls import Refused, Url

USER_AGENT = "Countersign/1 (+https://countersign.dev/crawler)"
MOST_REDIRECTS = 5
RESOLVING_SECONDS = 5.0
_REDIRECTS = (301, 302, 303, 307, 308)


class Unreachable(Unavailable):
    """What is at this address cannot be had now."""

    code = "unreachable"


@dataclass(frozen=True)
class Found:
    """What was at an address; `url` is where the redirects ended."""

    url: Url
    answer: Answer


def get(
    url: Url,
    headers: Mapping[str, str] | None = None,
    *,
    opened: Sequence[Network] = (),
    seconds: float,
    most_bytes: int,
    follow: Callable[[Url], object] = lambda url: None,
) -> Found:
    """GET what is at `url`, in `seconds` at most, and no more of it than `most_bytes`, unpacked.

    Redirects are followed, each checked like the first; `follow` may raise for one that leads where
    the caller does not want to go. `opened` are networks to call although they are not public.
    Raises `Refused` for what is no address of the public web, `Unreachable` where nothing answers.
    """
    deadline = time.monotonic() + seconds
    for _ in range(MOST_REDIRECTS + 1):
        answer = _get(url, headers or {}, opened, deadline, most_bytes)
        location = answer.headers.get("location")
        if answer.status not in _REDIRECTS or not location:
            return Found(url, answer)
        url = urls.join(url, location)
        follow(url)
    raise Unreachable(f"It redirects more than {MOST_REDIRECTS} times.")


def _get(
    url: Url,
    headers: Mapping[str, str],
    opened: Sequence[Network],
    deadline: float,
    most_bytes: int,
) -> Answer:
    sent = {
        "accept-encoding": "gzip, deflate",
        **headers,
        "host": url.authority,
        "user-agent": USER_AGENT,
    }
    checked = _checked(url, _resolved(url, deadline), opened)
    for place, address in enumerate(checked, 1):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        with _pool(url, address) as pool:
            try:
                return calls.call(
                    "GET", url.target, sent, seconds=left, most_bytes=most_bytes, by=pool
                )
            except (ConnectTimeoutError, NewConnectionError) as error:
                if place == len(checked):
                    raise Unreachable(f"{url.host} does not answer.") from error
            except (HTTPError, LocationValueError) as error:
                why = type(error).__name__
                raise Unreachable(f"{url.host} gave no answer: {why}.") from error
    raise Unreachable(f"{url.host} does not answer in time.")


def _resolved(url: Url, deadline: float) -> list[str]:
    """The addresses of the host, in the order to try them in; a resolver may take its time."""
    found: list[list[str]] = []

    def ask() -> None:
        try:
            found.append(resolve(url.host, url.port))
        except (OSError, UnicodeError):
            found.append([])

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(max(0.0, min(RESOLVING_SECONDS, deadline - time.monotonic())))
    if not found or not found[0]:
        raise Unreachable(f"{url.host} has no address.")
    return found[0]


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a host, as this machine's resolver has them. Raises `OSError`."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


def _checked(url: Url, resolved: Sequence[str], opened: Sequence[Network]) -> list[Address]:
    """The addresses, if all may be called. Raises `Refused`: who mixes in one that may not means
    no good."""
    found = [ip_address(text) for text in resolved]
    for address in found:
        if why := addresses.refusal(address, url.port, opened):
            what = url.host if url.host == str(address) else f"{url.host} ({address})"
            raise Refused(f"{what} is not of the public web: {why}.")
    return found


def _pool(url: Url, address: Address) -> urllib3.HTTPConnectionPool:
    """Connections to the address that was checked, where TLS asks for the host of the URL."""
    if url.scheme == "https":
        return calls.HttpsPool(str(address), url.port, server_hostname=url.host)
    return calls.HttpPool(str(address), url.port)
