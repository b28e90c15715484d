"""What counts as one page, and what as one site."""

from __future__ import annotations

from dataclasses import replace

from countersign.mail.markup import names
from countersign.platform import urls
from countersign.platform.urls import Url

_TRACKING = ("utm_", "mtm_", "pk_")
_TRACKED = names(
    "dclid fbclid gad_source gbraid gclid gclsrc igshid jsessionid mc_cid mc_eid mkt_tok msclkid"
    " phpsessid sessionid srsltid ttclid twclid wbraid yclid _ga _gl _hsenc _hsmi"
)
"""Parameters that say who came from where, and nothing of what is shown."""


def page(url: Url) -> Url:
    """The URL without what only tracks whoever follows it: two that differ in that are one page."""
    path, _, query = url.target.partition("?")
    kept = "&".join(each for each in query.split("&") if not _is_tracking(each))
    return replace(url, target=f"{path}?{kept}" if kept else path)


def _is_tracking(parameter: str) -> bool:
    name = parameter.partition("=")[0].lower()
    return name in _TRACKED or name.startswith(_TRACKING)


def site(url: Url) -> str:
    """What all pages of a site have in common: the host, with `www.` or without, over TLS or not,
    and the port where it is another than these have."""
    port = 80 if url.port == 443 else url.port
    return replace(url, scheme="http", port=port).authority.removeprefix("www.")


def of(text: str) -> str:
    """The site of a URL that is known to be one."""
    return site(urls.parse(text))
