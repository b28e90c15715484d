"""Texts whose lines are not those that were written: format=flowed (RFC 3676), text/enriched."""

from __future__ import annotations

import re

_MOST_LINES = 200_000
_ENRICHED = re.compile(
    r"<param>[^<]{0,1000}</param>|<(?!<)/?[A-Za-z][\w-]{0,60}>|<<", re.IGNORECASE
)
_BREAKS = re.compile(r"\n+")


def unfold(text: str, delete_space: bool) -> str:
    """The paragraphs of a format=flowed text: one line each, quotes with their > kept (4.1 to 4.5).

    `delete_space` is DelSp=yes: the space that marks a soft break is no part of the text.
    """
    if text.count("\n") > _MOST_LINES:
        return text
    made: list[tuple[int, list[str]]] = []
    flows = False
    for line in text.split("\n"):
        body = line.lstrip(">")
        depth = len(line) - len(body)
        body = body.removeprefix(" ")
        signature = body == "-- "
        if flows and depth == made[-1][0] and not signature:
            made[-1][1].append(body)
        else:
            made.append((depth, [body]))
        flows = body.endswith(" ") and not signature
        if flows and delete_space:
            made[-1][1][-1] = body[:-1]
    return "\n".join(_quoted(depth, "".join(pieces)) for depth, pieces in made)


def _quoted(depth: int, line: str) -> str:
    return f"{'>' * depth} {line}" if depth and line else ">" * depth + line


def plain(text: str) -> str:
    """A text/enriched text without its commands (RFC 1896): of n line breaks n - 1 are meant."""
    text = _ENRICHED.sub(lambda match: "<" if match[0] == "<<" else "", text)
    return _BREAKS.sub(lambda m: " " if len(m[0]) == 1 else m[0][1:], text)
