"""What is quoted of a mail, line by line, and what its writer wrote.

Two ways of quoting: with signs (`>`, a blockquote), where what follows without them is the writer's
again; and without, where all that follows a heading is the quote. When in doubt a line is the
writer's: to cut what was written is worse than to leave a quote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from countersign.mail import headings, signatures
from countersign.mail.headings import Heading
from countersign.mail.layout import Line

_MOST_LINES = 20_000
"""That are looked at; what comes after them is what the last of them is."""
_MOST_HEADINGS = 2_000
"""That are tried for in a mail; what comes after so many is the writer's."""
_MOST_ANSWERED = 15
"""Lines kept of a quote that is answered below it: its end."""
_SEES_BELOW = re.compile(
    r"\b(?:below|inline|in[- ]line|in (?:red|blue|green|bold)|answers? in|my comments"
    r"|siehe unten|unten|in rot|ci-dessous|en rouge"
    r"|más abajo|abajo|abaixo|sotto|in rosso|hieronder|nedan|nedenfor|niżej|poniżej|ниже|見下|见下"
    r"|下記)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_RULE = re.compile(r"[-_=*—–\s]{3,}|[-_=]{2,}.{1,80}[-_=]{2,}")

Role = Literal["own", "blank", "heading", "quote", "rest", "signature"]


@dataclass(frozen=True)
class Split:
    """Lines that the writer wrote, lines that are hidden, and whether that is in doubt."""

    own: list[str]
    hidden: list[str]
    in_doubt: bool


def split(lines: Sequence[Line], is_reply: bool, is_forward: bool) -> Split:
    """Divide the lines of a mail. `is_reply` and `is_forward` are what its headers say."""
    lines, more = lines[:_MOST_LINES], [line.raw for line in lines[_MOST_LINES:]]
    reading = _Reading(lines, is_reply, is_forward)
    roles = reading.roles()
    _join_wrapped(lines, roles)
    _hide_signatures(lines, roles, reading.end)
    shown, is_interleaved = _shown(lines, roles)
    shown[reading.end :] = [True] * (len(lines) - reading.end)
    if not any(shown[at] and lines[at].text.strip() for at in range(len(lines))):
        shown = _restored(lines, roles)
    own = _without_gaps(lines, shown)
    hidden = [line.raw for line, keep in zip(lines, shown, strict=True) if not keep]
    (own if shown[-1:] == [True] else hidden).extend(more)
    in_doubt = reading.in_doubt or is_interleaved or _is_much(own, hidden, roles)
    return Split(own, hidden, in_doubt or bool(more))


def _without_gaps(lines: Sequence[Line], shown: Sequence[bool]) -> list[str]:
    """The lines that are shown, without the second blank line around those that are not."""
    own: list[str] = []
    after_hidden = False
    for line, is_shown in zip(lines, shown, strict=True):
        raw = line.raw.rstrip()
        if is_shown and not (after_hidden and not raw and own[-1:] == [""]):
            own.append(raw)
            after_hidden = False
        after_hidden |= not is_shown
    return own


class _Reading:
    """One pass over the lines."""

    def __init__(self, lines: Sequence[Line], is_reply: bool, is_forward: bool) -> None:
        self._lines = lines
        self._is_reply, self._is_forward = is_reply, is_forward
        self._tries = _MOST_HEADINGS
        self._roles: list[Role] = []
        self._anything = False
        self._quotes = _marked_quotes(lines)
        self._headings = _marked_headings(lines)
        self.in_doubt = False
        self.end = len(lines)
        """Where a mail begins that is passed on: content, whatever stands in it."""

    def roles(self) -> list[Role]:
        """What each line is."""
        lines = self._lines
        while len(self._roles) < self.end:
            at = len(self._roles)
            line = lines[at]
            if line.mark == "quote" and (line.depth or line.group in self._quotes):
                self._read_marked(at)
            elif line.mark == "signature" and not line.depth:
                self._roles.append("signature" if line.text.strip() else "blank")
            elif at in self._headings:
                self._roles.append("heading")
            elif not line.text.strip():
                self._roles.append("quote" if line.depth else "blank")
            else:
                self._read(at)
        return self._roles

    def _read(self, at: int) -> None:
        heading = self._heading(at)
        line = self._lines[at]
        if heading and heading.kind == "forward" and not self._quoted_before():
            self._pass_on(at)
        elif line.depth:
            self._roles.append("quote")
        elif heading is None or heading.kind == "forward":
            self._roles.append("own")
            self._anything = True
        else:
            self._begin_quote(at, heading)

    def _read_marked(self, at: int) -> None:
        depth = self._lines[at].depth
        if not depth and (self._is_forward or not self._is_reply):
            self._pass_on(at)
        elif not depth and self._anything and headings.block(self._lines, at):
            # Some programs mark no more than the headers above a quote.
            self._roles += ["rest"] * (len(self._lines) - at)
        else:
            self._roles.append("quote")

    def _begin_quote(self, at: int, heading: Heading) -> None:
        behind = at + heading.lines
        if self._is_forward and heading.kind != "attribution" and not self._quoted_before():
            self._pass_on(at)
        elif self._is_marked(behind):
            self._roles += ["heading"] * heading.lines
        elif not heading.certain:
            # Nothing but its words says that this is a quote.
            self._roles += ["own"] * heading.lines
            self._anything = True
        elif heading.kind != "attribution" and not self._is_quoting(at):
            # Of a mail that answers none, or after "I got this:", it is something to be looked at.
            self.in_doubt |= self._anything
            self._roles += ["own"] * heading.lines
            self._anything = True
        elif self._anything or heading.kind != "attribution":
            names_nobody = not any("@" in line.text for line in self._lines[at:behind])
            self.in_doubt |= heading.kind == "attribution" and names_nobody
            self._roles += ["heading"] * heading.lines
            self._roles += ["rest"] * (len(self._lines) - behind)
            self._draw_in_rules(at)
        else:
            # On top, with nothing that tells the quote from an answer below it.
            self._roles += ["heading"] * heading.lines
            self.in_doubt = True

    def _is_quoting(self, at: int) -> bool:
        before = range(at - 1, max(at - 9, -1), -1)
        said = (self._lines[k].text.strip() for k in before if self._roles[k] == "own")
        last = next((text for text in said if not _RULE.fullmatch(text)), "")
        return self._is_reply and not last.endswith((":", "："))

    def _heading(self, at: int) -> Heading | None:
        text = self._lines[at].text
        if self._tries <= 0 or not _may_head(text):
            return None
        found = headings.divider(self._lines[at]) if _may_divide(text) else None
        if found or self._lines[at].depth:
            return found
        self._tries -= 1
        return headings.block(self._lines, at) or headings.attribution(self._lines, at)

    def _is_marked(self, at: int) -> bool:
        """Whether the next line that is not blank is quoted by signs."""
        for line in self._lines[at : at + 6]:
            if line.text.strip() or line.depth:
                return line.depth > 0 or (line.mark == "quote" and line.group in self._quotes)
        return False

    def _quoted_before(self) -> bool:
        return "quote" in self._roles[-400:]

    def _pass_on(self, at: int) -> None:
        while at and _RULE.fullmatch(self._lines[at - 1].text.strip()):
            at -= 1
        self.end = at
        del self._roles[at:]

    def _draw_in_rules(self, at: int) -> None:
        """A rule above a heading is a part of it."""
        while at and (
            self._roles[at - 1] == "blank"
            or (self._roles[at - 1] == "own" and _RULE.fullmatch(self._lines[at - 1].text.strip()))
        ):
            at -= 1
            self._roles[at] = "heading"


def _may_head(text: str) -> bool:
    """A cheap look before the dear ones."""
    return any(
        sign in text for sign in (":", "：", "@", "<", "--", "‐‐", "—", "##", "Wiadomość")
    ) or any(map(str.isdigit, text[:200]))


def _may_divide(text: str) -> bool:
    return any(sign in text for sign in ("--", "—", "__", "==", ":", "：", "##", "‐‐", "––"))


def _marked_quotes(lines: Sequence[Line]) -> set[int | None]:
    """Marked elements that hold a quote and nothing else.

    Gmail puts what it forwards into the same element as a quote, and leaves the answers in it that
    are written between the quoted lines: there the blockquotes say what is quoted.
    """
    groups: set[int | None] = {line.group for line in lines}
    for line in lines:
        if line.group is not None:
            heading = headings.divider(line) if _may_divide(line.text) else None
            if line.depth or (heading and heading.kind == "forward"):
                groups.discard(line.group)
    return groups


def _marked_headings(lines: Sequence[Line]) -> set[int]:
    """Lines that are marked as an attribution and read as one, in whatever language.

    In Thunderbird whoever begins to write right above it writes into the marked element.
    """
    found: set[int] = set()
    last = len(lines)
    for at in range(len(lines) - 1, -1, -1):
        line = lines[at]
        text = line.text.strip()
        if line.mark != "attribution" or line.depth:
            last = len(lines)
        elif text and last == len(lines):
            last = at
            if text.endswith((":", "：")) and headings.divider(line) is None:
                found.add(at)
        elif text and at + 1 in found and last - at < 4 and headings.attribution(lines, at):
            found.add(at)
    return found


def _join_wrapped(lines: Sequence[Line], roles: list[Role]) -> None:
    """A quoted line that a mail program folded has its end in a line without `>`."""
    for at in range(1, len(lines) - 1):
        before, line = lines[at - 1], lines[at]
        if roles[at : at + 1] != ["own"] or roles[at - 1] != "quote" or not lines[at + 1].depth:
            continue
        first = line.text.split(maxsplit=1)[0]
        if (
            len(before.raw) + len(first) > 70
            and first[0].islower()
            and before.text[-1:] not in "?!"
        ):
            roles[at] = "quote"


def _hide_signatures(lines: Sequence[Line], roles: list[Role], end: int) -> None:
    """Below what was written above the first quote, and at the end."""
    runs = _own_runs(lines, roles, end)
    for start, stop in {runs[0], runs[-1]} if runs else ():
        begins = start + signatures.begins(lines[start:stop])
        if "own" in roles[begins:stop]:
            roles[begins:stop] = ["signature"] * (stop - begins)
    if runs:
        start, stop = runs[0]
        above = start + signatures.banner(lines[start:stop])
        roles[start:above] = ["signature"] * (above - start)


def _own_runs(lines: Sequence[Line], roles: Sequence[Role], end: int) -> list[tuple[int, int]]:
    """Where stretches of the writer's begin and end, blank lines among them."""
    runs: list[tuple[int, int]] = []
    start: int | None = None
    for at in range(end + 1):
        inside = at < end and roles[at] in ("own", "blank")
        if inside and start is None:
            start = at
        elif not inside and start is not None:
            if any(role == "own" for role in roles[start:at]):
                runs.append((start, at))
            start = None
    return runs


def _shown(lines: Sequence[Line], roles: Sequence[Role]) -> tuple[list[bool], bool]:
    """Which lines are shown, and whether answers stand between or below quoted lines."""
    shown = [role in ("own", "blank") for role in roles] + [True] * (len(lines) - len(roles))
    runs = _own_runs(lines, roles, len(roles))
    if not runs:
        return shown, False
    interleaved = False
    first, last = runs[0][0], runs[-1][0]
    at = 0
    while at < last:
        stop = at
        while stop < last and roles[stop] in ("quote", "heading", "blank"):
            stop += 1
        if not {"quote", "heading"} & set(roles[at:stop]):
            at = stop
        if stop == at:
            at += 1
            continue
        interleaved |= any(lines[place].text.strip() for place in range(at, stop))
        has_heading = "heading" in roles[at:stop] or headings.attribution(lines, at) is not None
        # One answer below all that it answers needs no more than itself.
        if not (at <= first and len(runs) == 1 and has_heading):
            for place in range(max(at, stop - _MOST_ANSWERED), stop):
                shown[place] |= roles[place] == "quote"
        at = stop
    # "You write: > …" at the end is the writer's own quoting.
    return _with_cited(lines, roles, shown, last), interleaved


def _with_cited(
    lines: Sequence[Line], roles: Sequence[Role], shown: list[bool], last: int
) -> list[bool]:
    at = last
    while at < len(roles) and roles[at] in ("own", "blank"):
        at += 1
    before = next((lines[k].text.strip() for k in range(at - 1, -1, -1) if roles[k] == "own"), "")
    cites = before.endswith((":", "：")) and roles[at : at + 1] == ["quote"] and not lines[at].mark
    if cites and "heading" not in roles[at:] and headings.attribution(lines, at) is None:
        for place in range(at, len(roles)):
            shown[place] |= roles[place] == "quote"
    return shown


def _restored(lines: Sequence[Line], roles: Sequence[Role]) -> list[bool]:
    """With what was taken for a signature or a quote, if nothing else says that it is one."""
    first = next((at for at, line in enumerate(lines) if line.text.strip()), 0)
    is_headed = bool({"heading", "rest"} & set(roles)) or (
        bool(lines) and headings.attribution(lines, first) is not None
    )
    if "signature" not in roles and not is_headed:
        return [True] * len(lines)
    text = [lines[at].text for at, role in enumerate(roles) if role == "signature"]
    if all(not line.strip() or signatures.is_sent_from(headings.cleaned(line)) for line in text):
        return [False] * len(lines)
    return [role == "signature" for role in roles] + [True] * (len(lines) - len(roles))


def _is_much(own: Sequence[str], hidden: Sequence[str], roles: Sequence[Role]) -> bool:
    """Whether what is hidden without a sign may be the writer's."""
    if not any(line.strip() for line in own):
        return any(_WORD.search(line) for line in hidden)
    if "rest" not in roles:
        return False
    words = sum(len(_WORD.findall(line)) for line in own)
    return words <= 2 or any(_SEES_BELOW.search(line[:1000]) for line in own)
