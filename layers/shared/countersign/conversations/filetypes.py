"""What kind of file some bytes are, whatever their sender calls them."""

from __future__ import annotations

import mimetypes

OTHER = "application/octet-stream"
_SURE = 0.4
"""Below this a few bytes look alike by chance: a text may begin with `BM` or `MZ`."""
# Of these each kind has a signature: what has none, or another one, is none of them.
_SIGNED = ("image/", "video/", "application/pdf", "application/zip")


def sniff(content: bytes, declared: str) -> str:
    """The media type of `content`: as declared where it may be that, else as its bytes say.

    What is called an image, a film, a PDF or a ZIP and has no such bytes is
    `application/octet-stream`.
    """
    found = _matches(content)
    if any(name == declared for name, _ in found):
        return declared
    sure = [name for name, confidence in found if confidence >= _SURE]
    if sure:
        return sure[0]
    return OTHER if declared.startswith(_SIGNED) else declared


def _matches(content: bytes) -> list[tuple[str, float]]:
    """Media types that the bytes may be, and how sure each is, the surest first."""
    # Only what has fetched a file needs it.
    import puremagic

    try:
        matches = puremagic.magic_string(content)
    except (ValueError, puremagic.PureError):  # empty, or like nothing that is known
        return []
    named = (one for one in matches if one.mime_type not in ("", OTHER))
    return [(one.mime_type, one.confidence) for one in named]


def named(file_name: str, mime_type: str) -> str:
    """The file name, with the ending of its type where it has none."""
    has_ending = "." in file_name.strip(".")
    return file_name if has_ending else file_name + (mimetypes.guess_extension(mime_type) or "")
