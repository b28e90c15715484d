"""Files that are no parts of a mail's structure: in winmail.dat, or uuencoded in a text."""

from __future__ import annotations

from countersign.mail import transfer, words
from countersign.mail.tnef import File, unpack

MOST = 1000
"""Files of one mail."""


class Packed:
    """What has been found so far, in the order in which it was found."""

    def __init__(self) -> None:
        self.files: list[File] = []
        self.text: str | None = None
        self.html: str | None = None

    def take_tnef(self, raw: bytes) -> bool:
        """The files and the body of a winmail.dat; False if `raw` is none, or holds nothing."""
        contents = unpack(raw)
        if contents is None or not (contents.files or contents.text or contents.html):
            return False
        self.files += contents.files[: MOST - len(self.files)]
        self.text = self.text or contents.text
        self.html = self.html or contents.html
        return True

    def take_uuencoded(self, raw: bytes) -> bytes:
        """A text without the uuencoded files in it."""
        kept = []
        position = 0
        for found in transfer.uuencoded(raw, MOST - len(self.files)):
            kept.append(raw[position : found.start])
            position = found.end
            name = words.text(found.name)
            self.files.append(File(name, "application/octet-stream", None, found.content))
        return b"".join([*kept, raw[position:]]) if kept else raw
