"""What somebody said in a mail, apart from what the mail quotes and carries along."""

from __future__ import annotations

import re
from dataclasses import dataclass

from countersign.mail import html, layout, markup, quotes, subjects
from countersign.mail.model import Mail

_FORWARDED = re.compile(
    r"\s*(?:\[[^\]]{1,40}\]\s*)?(?:fwd?|fw|wg|tr|rv|i|vb|vl|vs|vid|enc|pd|doorst|přeposl"
    r"|továbbítás|ilt|πρθ|пересл|fwd|转发|轉寄|転送|전달)"
    r"\s?(?:\[\d{1,3}\])?[:：]",
    re.IGNORECASE,
)
_BLANK_LINES = re.compile(r"\n{4,}")
_WORD = re.compile(r"[^\W_]+")
_STUB = 5


@dataclass(frozen=True)
class Said:
    """What a mail says; `text` with `quoted` holds each line of the mail once."""

    text: str
    """What this person wrote in this mail; '' if that is nothing."""
    quoted: str | None
    """What was hidden: quotes, signatures, disclaimers. None if nothing was."""
    html: str | None
    """The whole mail, safe to show; None if it has no HTML."""
    may_have_cut: bool
    """Whether the whole should be looked at: answers stand between quoted lines, or what was
    hidden may be more than a quote."""


def said(mail: Mail) -> Said:
    """Part what was said from the rest. Never raises; time grows as the mail does."""
    is_forward = bool(_FORWARDED.match(mail.subject))
    is_renamed = subjects.base(mail.subject) != mail.subject.strip()
    is_reply = bool(mail.in_reply_to or mail.references or is_renamed) and not is_forward
    split = quotes.split(_lines(mail), is_reply, is_forward)
    hidden = _joined(split.hidden)
    return Said(
        _joined(split.own),
        hidden or None,
        html.sanitize(mail.html) if mail.html is not None else None,
        split.in_doubt,
    )


def _lines(mail: Mail) -> list[layout.Line]:
    """The plain body as the mail program made it, unless there is none worth the name."""
    text = markup.encodable(mail.text or "")
    if mail.html is None:
        return layout.plain(text)
    shown = layout.of_html(mail.html)
    if not text.strip() or _words(text) * _STUB < sum(_words(line.text) for line in shown):
        return shown
    return layout.plain(text)


def _words(text: str) -> int:
    return len(_WORD.findall(text))


def _joined(lines: list[str]) -> str:
    return _BLANK_LINES.sub("\n\n\n", "\n".join(lines)).strip("\n").rstrip()
