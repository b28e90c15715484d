"""Addresses of the web, as strangers write them: one spelling for each, and none but plain ones.

A URL is taken apart once, and what is made of its parts is what is called and compared: two readers
that differ about where a host ends are how a check is got around.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote, urljoin, urlsplit

from countersign.platform.errors import Invalid

LONGEST = 2000
"""Characters of a URL; servers and indexes take about as many."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNWRITTEN = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
# WHATWG URL, "ends in a number": such a host is an IPv4 address to browsers and to resolvers.
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_KEPT = "!$&'()*+,;=:@/-._~"


class Refused(Invalid):
    """This is no address of the public web."""

    code = "refused"


@dataclass(frozen=True)
class Url:
    """An absolute URL without user, password or fragment, in its one spelling (RFC 3986, 6.2)."""

    scheme: str
    host: str
    """A name in ASCII, or an IP address without brackets; lower case."""
    port: int
    target: str
    """Path and query, percent-encoded."""

    @property
    def authority(self) -> str:
        """The host, and the port where it is not the scheme's own: what `Host` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The URL without its target."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return self.origin + self.target


def parse(text: str) -> Url:
    """The URL that `text` is. Raises `Refused`, which says what is wrong with it."""
    text = text.strip()
    if len(text) > LONGEST:
        raise Refused(f"The URL has more than {LONGEST} characters.")
    if _UNWRITTEN.search(text):
        raise Refused("The URL has a space, a backslash or a control character in it.")
    try:
        parts = urlsplit(text)
        port = parts.port
        target = _target(parts.path, parts.query)
    except ValueError:
        raise Refused("The URL cannot be read.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise Refused("The URL begins with neither http:// nor https://.")
    if "@" in parts.netloc:
        raise Refused("The URL has a user or a password in it.")
    if port == 0:
        raise Refused("The URL has the port 0.")
    host = _ipv6(parts.hostname) if "[" in parts.netloc else _host(parts.hostname)
    url = Url(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], target)
    if len(str(url)) > LONGEST:
        raise Refused(f"The URL has more than {LONGEST} characters.")
    return url


def join(base: Url, reference: str) -> Url:
    """The URL that `reference` means where it stands in what is at `base`. Raises `Refused`."""
    try:
        return parse(urljoin(str(base), reference.strip()))
    except ValueError:
        raise Refused("The URL cannot be read.") from None


def _ipv6(written: str | None) -> str:
    try:
        address = ipaddress.IPv6Address(written or "")
    except ValueError:
        raise Refused("The URL's host is no IPv6 address.") from None
    if address.scope_id:
        raise Refused("The URL's host is an address of one network card.")
    return str(address)


def _host(written: str | None) -> str:
    if not written:
        raise Refused("The URL names no host.")
    host = (written if written.isascii() else _in_ascii(written)).lower().removesuffix(".")
    if not _NAME.fullmatch(host):
        raise Refused("The URL's host is not a name.")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise Refused("The URL's host is no IPv4 address of four decimal numbers.") from None
    return host


def _in_ascii(host: str) -> str:
    # Few hosts have names beyond ASCII.
    import idna

    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise Refused("The URL's host is not a name.") from None


def _target(path: str, query: str) -> str:
    path = _without_dots(_escaped(path, _KEPT))
    return f"{path}?{_escaped(query, _KEPT + '?')}" if query else path


def _escaped(text: str, kept: str) -> str:
    """`text`, percent-encoded but for the `kept` characters; what is so already, in capitals."""
    ends = [0, *(at for found in _ESCAPE.finditer(text) for at in found.span()), len(text)]
    pieces = [text[start:end] for start, end in pairwise(ends)]
    return "".join(
        piece.upper() if place % 2 else quote(piece, safe=kept)
        for place, piece in enumerate(pieces)
    )


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4: `.` and `..` are no parts of a path."""
    kept: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if parts and parts[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
