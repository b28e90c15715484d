"""Fetching from servers on 127.0.0.1, and from nowhere else that is not public."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from countersign.platform import calls, urls, web
from countersign.platform.addresses import networks
from countersign.platform.urls import Refused, Url
from countersign.platform.web import Found, Unreachable
from local.http_server import Request, Response, serving
from tests.unit.channels.certificates import self_signed
from tests.unit.platform import pieces
from tests.unit.platform.pieces import bytewise

HERE = networks("127.0.0.0/8")
Resolver = Callable[..., None]


def get(url: str, *, seconds: float = 60.0, most_bytes: int = 1000, **options: Any) -> Found:
    options.setdefault("opened", HERE)
    return web.get(urls.parse(url), seconds=seconds, most_bytes=most_bytes, **options)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Let names have addresses: each list answers one question, the last all that follow."""

    def answer(**names: Sequence[Sequence[str]]) -> None:
        left = {name.replace("_", "."): list(lists) for name, lists in names.items()}

        def resolve(host: str, port: int) -> list[str]:
            if host not in left:
                raise socket.gaierror
            return list(left[host].pop(0) if len(left[host]) > 1 else left[host][0])

        monkeypatch.setattr(web, "resolve", resolve)

    return answer


class Site:
    """What a server on 127.0.0.1 has, by path, and what it was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, Response] = {}
        self.asked: list[Request] = []

    def answer(self, request: Request) -> Response:
        self.asked.append(request)
        return self.pages.get(request.target, Response(404))


@pytest.fixture
def site() -> Iterator[tuple[Site, str]]:
    made = Site()
    with serving(made.answer) as url:
        yield made, url


def moved(to: str, status: int = 302) -> Response:
    return Response(status, headers=(("Location", to),))


def test_a_page_is_fetched_without_saying_who_asks(site: tuple[Site, str]) -> None:
    made, url = site
    made.pages["/a?b=c"] = Response(200, b"hello", (("Set-Cookie", "a=b"),))
    found = get(f"{url}/a?b=c#d", headers={"If-None-Match": '"1"'})
    assert (str(found.url), found.answer.status, found.answer.body) == (
        f"{url}/a?b=c",
        200,
        b"hello",
    )
    get(f"{url}/a?b=c")
    first, again = ({name.lower(): value for name, value in one.headers} for one in made.asked)
    assert first.pop("if-none-match") == '"1"'
    assert first == again
    assert again == {
        "host": url.removeprefix("http://"),
        "user-agent": web.USER_AGENT,
        "accept-encoding": "gzip, deflate",
    }


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://localhost/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
    ],
)
def test_what_is_not_public_is_refused_before_anything_is_sent(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("It was called.")

    monkeypatch.setattr(calls, "call", connect)
    with pytest.raises(Refused, match="is not of the public web"):
        get(url, opened=())


def test_who_is_refused_is_named_with_the_reason(resolver: Resolver) -> None:
    resolver(intranet_example=[["10.0.0.8"]], public_example=[["93.184.216.34"]])
    with pytest.raises(Refused, match=r"^intranet.example \(10.0.0.8\) .* web: private\.$"):
        get("http://intranet.example/")
    with pytest.raises(Refused, match=r"public.example \(93.184.216.34\) .* port 25"):
        get("http://public.example:25/")


def test_one_bad_address_among_good_ones_is_enough(resolver: Resolver) -> None:
    resolver(mixed_example=[["93.184.216.34", "10.0.0.8"]])
    with pytest.raises(Refused, match="private"):
        get("http://mixed.example/")


def test_a_name_that_changes_its_mind_reaches_what_was_checked(
    site: tuple[Site, str], resolver: Resolver
) -> None:
    made, url = site
    made.pages["/"] = Response(200, b"hello")
    port = url.rpartition(":")[2]
    # Whoever asked again would be sent to another machine.
    resolver(rebinding_example=[["127.0.0.1"], ["10.0.0.8"]])
    assert get(f"http://rebinding.example:{port}/").answer.body == b"hello"
    assert made.asked[0].header("Host") == f"rebinding.example:{port}"
    with pytest.raises(Refused, match="private"):
        get(f"http://rebinding.example:{port}/")


def test_the_address_is_never_looked_up_once_it_is_checked(
    site: tuple[Site, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, url = site
    made.pages["/"] = Response(200)
    asked = []
    real = socket.getaddrinfo

    def noting(host: str, *rest: Any, **options: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", noting)
    get(f"http://shop.example:{url.rpartition(':')[2]}/")
    assert asked == ["shop.example", "127.0.0.1"]


def test_each_address_is_tried(site: tuple[Site, str], resolver: Resolver) -> None:
    made, url = site
    made.pages["/"] = Response(200, b"hello")
    resolver(twice_example=[["127.0.0.2", "127.0.0.1"]])
    assert get(f"http://twice.example:{url.rpartition(':')[2]}/").answer.body == b"hello"


def test_redirects_are_followed_and_checked(site: tuple[Site, str], resolver: Resolver) -> None:
    made, url = site
    resolver(**{"127_0_0_1": [["127.0.0.1"]], "intranet_example": [["10.0.0.8"]]})
    made.pages |= {
        "/1": moved("2", 301),
        "/2": moved(f"{url}/3", 308),
        "/3": Response(200, b"there"),
        "/in": moved("http://intranet.example/"),
        "/file": moved("file:///etc/passwd"),
        "/user": moved("http://user:word@127.0.0.1/"),
        "/nowhere": Response(302),
        "/round": moved("/round"),
    }
    found = get(f"{url}/1")
    assert (str(found.url), found.answer.body) == (f"{url}/3", b"there")
    for path, why in (("in", "private"), ("file", "neither http"), ("user", "password")):
        with pytest.raises(Refused, match=why):
            get(f"{url}/{path}")
    assert get(f"{url}/nowhere").answer.status == 302
    made.asked.clear()
    with pytest.raises(Unreachable, match="redirects more than 5 times"):
        get(f"{url}/round")
    assert len(made.asked) == web.MOST_REDIRECTS + 1


def test_who_asks_may_refuse_to_be_led_elsewhere(site: tuple[Site, str]) -> None:
    made, url = site
    made.pages["/1"] = moved("/2")

    def stay(to: Url) -> None:
        raise Refused(f"Not to {to.target}.")

    with pytest.raises(Refused, match="Not to /2"):
        get(f"{url}/1", follow=stay)
    assert [one.target for one in made.asked] == ["/1"]


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_what_is_packed_is_unpacked_no_further_than_asked(
    encoding: str, pack: Callable[[bytes], bytes], site: tuple[Site, str]
) -> None:
    made, url = site
    packed = (("Content-Encoding", encoding),)
    made.pages["/small"] = Response(200, pack(b"hello"), packed)
    made.pages["/bomb"] = Response(200, pack(bytes(50_000_000)), packed)
    made.pages["/broken"] = Response(200, b"not packed", packed)
    assert get(f"{url}/small").answer.body == b"hello"
    answer = get(f"{url}/bomb", most_bytes=5000).answer
    assert (len(answer.body), answer.cut) == (5000, "long")
    assert get(f"{url}/broken").answer.cut == "broken"


@pytest.mark.parametrize(
    "sent",
    [
        bytewise(b"HTTP/1.1 200 " + b"x" * 600),
        [b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n", *bytewise(b"x" * 600)],
        # Each redirect begins in time, all together do not.
        [b"HTTP/1.1 302 Found\r\nLocation: /again\r\n", *bytewise(b"X: " + b"x" * 600)],
    ],
    ids=["head", "body", "redirects"],
)
def test_all_together_ends_in_time(sent: list[bytes]) -> None:
    with pieces.serving(*sent, apart=0.05) as server:
        with suppress(Unreachable):
            assert get(server.url, seconds=1).answer.cut == "late"
        assert not server.has_said_all


def test_a_resolver_that_is_silent_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(web, "resolve", lambda *_: over.wait(60) and [])
    with pytest.raises(Unreachable, match="has no address"):
        get("http://slow.example/", seconds=0.1)
    over.set()


@pytest.mark.parametrize("sent", [b"", b"nonsense\r\n\r\n"])
def test_no_answer_is_unreachable(sent: bytes) -> None:
    with pieces.serving(sent, apart=0.01) as server, pytest.raises(Unreachable, match="no answer"):
        get(server.url)
    with pytest.raises(Unreachable, match="does not answer"):
        get(server.url)


def test_a_name_without_an_address_is_unreachable(resolver: Resolver) -> None:
    resolver(other_example=[[]])
    for host in ("none.example", "other.example"):
        with pytest.raises(Unreachable, match=f"{host} has no address"):
            get(f"http://{host}/")


class Tls:
    """A server that shakes hands with one connection, and answers it."""

    def __init__(self, context: Any) -> None:
        self.asked_for: list[str | None] = []
        context.sni_callback = lambda tls, name, _: self.asked_for.append(name)
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        plain, _ = self._listener.accept()
        plain.settimeout(60)
        try:
            with self._context.wrap_socket(plain, server_side=True) as tls:
                tls.recv(65536)
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        except OSError:
            plain.close()

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


def test_tls_is_for_the_name_and_not_for_the_address(
    tmp_path: Path, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path, "shop.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    resolver(shop_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    server = Tls(certificate.server)
    assert get(f"https://shop.example:{server.port}/").answer.body == b"hello"
    server.close()
    assert server.asked_for == ["shop.example"]
    server = Tls(certificate.server)
    with pytest.raises(Unreachable, match="SSLError"):
        get(f"https://other.example:{server.port}/")
    server.close()


def test_a_trickling_handshake_is_left_in_time() -> None:
    # A record of TLS that is announced and never whole.
    hello = [b"\x16\x03\x03\x40\x00", *bytewise(b"x" * 600)]
    with pieces.serving(*hello, apart=0.05) as server:
        with pytest.raises(Unreachable):
            get(server.url.replace("http:", "https:"), seconds=1)
        assert not server.has_said_all
