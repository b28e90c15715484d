"""What kind of file some bytes are, whatever their sender calls them."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from typing import NamedTuple

OTHER = "application/octet-stream"
_SURE = 0.4
"""Below this a few bytes look alike by chance: a text may begin with `BM` or `MZ`."""
# Of these each kind has a signature: what has none, or another one, is none of them.
_SIGNED = ("image/", "video/", "application/pdf", "application/zip")
# What begins like this may be of many kinds: of Office, for one.
_CONTAINERS = {b"PK\3\4": "application/zip", b"\xd0\xcf\x11\xe0": OTHER}


class _Match(NamedTuple):
    """What some bytes may be, and how sure that is, up to 1."""

    mime_type: str
    extension: str
    confidence: float


def sniff(content: bytes, declared: str, file_name: str = "") -> str:
    """The media type of `content`: as declared, or else as the name's ending has it, where it may
    be that; else as its bytes say.

    What is called an image, a film, a PDF or a ZIP and has no such bytes is
    `application/octet-stream`.
    """
    found = _matches(content)
    if any(one.mime_type == declared for one in found):
        return declared
    if by_name := _of_ending(found, file_name):
        return by_name
    sure = [one for one in found if one.confidence >= _SURE]
    if sure:
        return _contained(content, declared) or sure[0].mime_type
    images = [one.mime_type for one in found if one.mime_type.startswith("image/")]
    if images and declared.startswith("image/"):
        return images[0]
    return OTHER if declared.startswith(_SIGNED) else declared


def _matches(content: bytes) -> list[_Match]:
    """Media types that the bytes may be, with how sure each is, the surest first."""
    # Only what has fetched a file needs it.
    import puremagic

    try:
        matches = puremagic.magic_string(content)
    except (ValueError, puremagic.PureError):  # empty, or like nothing that is known
        return []
    named = (one for one in matches if one.mime_type not in ("", OTHER))
    return [_Match(one.mime_type, one.extension, one.confidence) for one in named]


def _of_ending(found: Iterable[_Match], file_name: str) -> str | None:
    """The type of the name's ending, if the bytes may be that. Many programs declare no more than
    octets, or a type by another name (`image/jpg`)."""
    for one in found:
        if one.extension and file_name.lower().endswith(one.extension):
            usual = mimetypes.guess_type(file_name)[0]
            return usual if usual and usual != OTHER else one.mime_type
    return None


def _contained(content: bytes, declared: str) -> str | None:
    """The type of what is in a container, which tells no more than that it is one."""
    container = next(
        (name for start, name in _CONTAINERS.items() if content.startswith(start)), None
    )
    is_told = declared.startswith("application/") and not declared.startswith((OTHER, *_SIGNED))
    return declared if container and is_told else container


def named(file_name: str, mime_type: str) -> str:
    """The file name, with the ending of its type where it has none."""
    has_ending = "." in file_name.strip(".")
    return file_name if has_ending else file_name + (mimetypes.guess_extension(mime_type) or "")
