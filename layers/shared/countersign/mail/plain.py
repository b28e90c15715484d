"""Plain text as HTML, for those who read mail so."""

from __future__ import annotations

import re
from html import escape

_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")


def as_html(text: str) -> str:
    """The same text in HTML: a paragraph for each, its lines kept."""
    lines = text.replace("\r\n", "\n").strip("\n")
    paragraphs = [escape(one, quote=False) for one in _PARAGRAPHS.split(lines)]
    return "\n".join(f"<p>{one.replace(chr(10), '<br>' + chr(10))}</p>" for one in paragraphs)
