"""HTML of mails, made safe for display and made text. Nothing here raises, whatever the text."""

from __future__ import annotations

import html
import re

import nh3

from countersign.mail import layout, markup
from countersign.mail.markup import names

_TAGS = {
    *names("a abbr address article aside b bdi bdo big blockquote br caption center cite code col"),
    *names("colgroup dd del details dfn div dl dt em figcaption figure font footer h1 h2 h3 h4 h5"),
    *names("h6 header hr i img ins kbd li main mark nav ol p pre q s samp section small span"),
    *names("strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr"),
}
_ATTRIBUTES = {
    "*": {"align", "bgcolor", "dir", "lang", "style", "title", "valign"},
    "a": {"href"},
    "blockquote": {"type"},
    "col": {"span", "width"},
    "font": {"color", "face", "size"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"start", "type"},
    "table": {"border", "cellpadding", "cellspacing", "width"},
    "td": {"colspan", "height", "rowspan", "width"},
    "th": {"colspan", "height", "rowspan", "width"},
}
_STYLES = {
    *names("background-color border border-bottom border-collapse border-color border-left"),
    *names("border-right border-spacing border-style border-top border-width color direction"),
    *names("display font font-family font-size font-style font-weight height letter-spacing"),
    *names("line-height list-style-type margin margin-bottom margin-left margin-right"),
    *names("margin-top max-width padding padding-bottom padding-left padding-right padding-top"),
    *names("text-align text-decoration text-indent vertical-align white-space width"),
}
# What loads, and escapes that could hide it.
_LOADING_STYLE = re.compile(r"url|image|src|expression|attr\s*\(|[\\@]", re.IGNORECASE)
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[a-zA-Z0-9+/=\s]*")
_IMG = re.compile(r'<img((?: [a-z-]+="[^"]*")*)>')
_SOURCE = re.compile(r' src="([^"]*)"')
_STAYS = re.compile(r"(?:cid|data):", re.IGNORECASE)
_PIXEL = re.compile(r' (?:width|height)="\s*0*[01](?:px)?\s*"')


def sanitize(text: str) -> str:
    """HTML that is safe to put into a page, from HTML that anybody wrote.

    Nothing in it loads anything by itself. `cid:` images keep their source, which whoever shows
    the mail replaces by the attachment's; images that are in the HTML itself (`data:`) stay. The
    source of any other image stands in `data-src`, so that its reader may ask for it: loading it
    tells the sender who read the mail, when and where. Of an image of one pixel, which shows
    nothing, it is gone. Ids and classes are gone too: they would meet those of the page.
    """
    plain = markup.plainly(markup.encodable(text), _TAGS, _ATTRIBUTES)
    if plain is None:
        return f"<pre>{html.escape(markup.without_tags(markup.encodable(text)))}</pre>"
    cleaned = nh3.clean(
        plain,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_checked,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    # nh3 writes `<` in text and `"` in values as entities, so that this finds images alone.
    return _IMG.sub(_held_back, cleaned)


def to_text(text: str) -> str:
    """What a reader sees of HTML: paragraphs, lists, tables, links, quotes, pictures' names."""
    return "\n".join(line.raw for line in layout.of_html(text)).strip("\n")


def _checked(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "style":
        return None if _LOADING_STYLE.search(value) else value
    if value.strip().lower().startswith("data:"):
        return value if (tag, attribute) == ("img", "src") and _IMAGE.fullmatch(value) else None
    return value


def _held_back(image: re.Match[str]) -> str:
    pixel = bool(_PIXEL.search(image[1]))

    def held_back(source: re.Match[str]) -> str:
        if _STAYS.match(source[1]):
            return source[0]
        return "" if pixel else f' data-src="{source[1]}"'

    return f"<img{_SOURCE.sub(held_back, image[1])}>"
