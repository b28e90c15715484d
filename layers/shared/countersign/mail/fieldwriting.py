"""Header fields as they are written: folded, encoded where need be, never open to injection.

RFC 5322 (2.2.3 folding, 3.4 addresses, 3.6.4 ids), RFC 2047 (encoded words), RFC 6532 (UTF-8).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence

from countersign.mail.model import Address, first_and_newest
from countersign.platform.errors import Invalid

LINE = 78
"""RFC 5322, 2.1.1: what a line should have at most."""
MOST_IDS = 50
"""Of References, the first and the newest are kept: the root, and those next to the mail."""

_LONGEST_LINE = 998
_ENCODED_LINE = 76  # RFC 2047, 2: of a line that has an encoded word
_ENCODED_WORD = 75
_SHORTER = 60  # fits after any of our own field's names
_FORBIDDEN = re.compile("[\0\r\n\ud800-\udfff]")
_CONTROL = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_ATOMS = re.compile(rf"{_ATEXT}+(?: {_ATEXT}+)*")
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~])*"')
_LOOSE = re.compile(r"[^\s\"(),:;<>@\[\\\]\x00-\x20\x7f]+")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LITERAL = re.compile(r"\[[0-9A-Za-z:.-]{1,60}\]")
_ID = re.compile(r"[!-;=?-~]{1,900}")
_WORD_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def unstructured(name: str, text: str) -> str:
    """A field of free text, such as Subject: encoded whole, or not at all."""
    _refuse_breaks(name, text)
    if not text:
        return f"{name}:"
    words = text.split(" ")
    is_plain = text.isascii() and not _CONTROL.search(text) and "=?" not in text and all(words)
    if is_plain and all(len(word) + len(name) + 2 <= LINE for word in words):
        return _folded(name, words, LINE)
    return _folded(name, encoded_words(text, _ENCODED_LINE - len(name) - 2), _ENCODED_LINE)


def plain(name: str, value: str) -> str:
    """A field of the caller's: as it is if it is ASCII, for it may hold addresses of the web."""
    _refuse_breaks(name, value)
    words = [word for word in value.split(" ") if word]
    if not value.isascii() or _CONTROL.search(value):
        return unstructured(name, value)
    if any(len(word) + len(name) + 2 > _LONGEST_LINE for word in words):
        raise Invalid(f"The header {name} has a word that is longer than a line may be.")
    return _folded(name, words, LINE)


def one_id(name: str, message_id: str) -> str:
    """A field that holds our own message id. Raises `Invalid` if it is none."""
    _refuse_breaks(name, message_id)
    if not _ID.fullmatch(message_id) or message_id.count("@") != 1:
        raise Invalid(f"{name} is not of the form left@right: {message_id[:100]!r}.")
    return f"{name}: <{message_id}>"


def ids(name: str, message_ids: Sequence[str]) -> list[str]:
    """A field of others' ids, none if no id is left: they are hints, and what cannot be written
    without being changed is left out."""
    for one in message_ids:
        _refuse_breaks(name, one)
    fit = list(dict.fromkeys(one for one in message_ids if _ID.fullmatch(one)))
    kept = [f"<{one}>" for one in first_and_newest(fit, MOST_IDS)]
    return [_folded(name, kept, LINE)] if kept else []


def addresses(name: str, given: Iterable[Address]) -> str:
    """A field of mailboxes. Raises `Invalid` on one that is none."""
    words: list[str] = []
    for address in given:
        if words:
            words[-1] += ","
        _refuse_breaks(name, address.name + address.address)
        display = _phrase(address.name.strip())
        wire = ascii_address(address.address)
        words += [*display, f"<{wire}>"] if display else [wire]
    return _folded(name, words, _ENCODED_LINE)


def ascii_address(address: str) -> str:
    """An address as it goes over the wire: its domain in A-labels (RFC 5891), its local part
    quoted if it must be. Only a local part with other characters is not ASCII (RFC 6531).

    Raises `Invalid` if it is no address.
    """
    local, _, domain = address.strip().rpartition("@")
    if _DOT_ATOM.fullmatch(local) or _QUOTED.fullmatch(local):
        written = local
    elif _LOOSE.fullmatch(local) and not _CONTROL.search(local):
        # Some have dots where they may not stand, which quotes allow.
        written = f'"{local}"' if local.isascii() else local
    else:
        raise Invalid(f"{address[:100]!r} is not a mail address.")
    whole = f"{written}@{_ascii_domain(domain, address)}"
    # RFC 5321, 4.5.3.1: 64 octets before the @, 256 for a path with its angle brackets.
    if len(local.encode()) > 64 or len(whole.encode()) > 254:
        raise Invalid(f"{address[:100]!r} is longer than a mail address may be.")
    return whole


def are_same(one: str, other: str) -> bool:
    """Whether two addresses are one: an event names it as it went over the wire, in any case."""
    return _comparable(one) == _comparable(other)


def _comparable(address: str) -> str:
    try:
        return ascii_address(address).lower()
    except Invalid:  # of a telephone, say
        return address.lower()


def _ascii_domain(domain: str, address: str) -> str:
    if not domain.isascii():
        import idna

        try:
            domain = idna.encode(domain, uts46=True).decode()
        except UnicodeError:  # IDNAError is one
            domain = ""
    is_name = domain and all(_LABEL.fullmatch(label) for label in domain.split("."))
    if not is_name and not _LITERAL.fullmatch(domain):
        raise Invalid(f"{address[:100]!r} is not a mail address.")
    return domain


def _phrase(name: str) -> list[str]:
    """A display name in words between which a line may be folded."""
    if not name:
        return []
    if _ATOMS.fullmatch(name) and "=?" not in name and len(name) <= _LONGEST_LINE // 2:
        words = name.split(" ")
        if all(len(word) <= _SHORTER for word in words):
            return words
    if name.isascii() and len(name) <= _SHORTER and not _CONTROL.search(name) and "=?" not in name:
        return ['"' + re.sub(r'(["\\])', r"\\\1", name) + '"']
    return encoded_words(name, _SHORTER, _SHORTER)


def encoded_words(text: str, first: int, following: int = _ENCODED_WORD) -> list[str]:
    """`text` in encoded words (RFC 2047) of at most so many characters, none cutting a character.

    In Q where that is shorter, with the letters that section 5 (3) allows in a phrase.
    """
    raw = text.encode()
    quoted = sum(1 if byte in _WORD_CHARACTERS or byte == 0x20 else 3 for byte in raw)
    is_quoted = quoted <= (len(raw) + 2) // 3 * 4
    words, current, room = [], b"", first - len("=?utf-8?q??=")
    for character in text:
        longer = current + character.encode()
        if current and len(_encoded(longer, is_quoted)) > room:
            words.append(current)
            longer, room = character.encode(), following - len("=?utf-8?q??=")
        current = longer
    letter = "q" if is_quoted else "b"
    return [f"=?utf-8?{letter}?{_encoded(one, is_quoted)}?=" for one in (*words, current)]


def _encoded(raw: bytes, is_quoted: bool) -> str:
    if not is_quoted:
        return base64.b64encode(raw).decode()
    return "".join(
        chr(byte) if byte in _WORD_CHARACTERS else "_" if byte == 0x20 else f"={byte:02X}"
        for byte in raw
    )


def _folded(name: str, words: Sequence[str], most: int) -> str:
    """The field with its words in lines: none before the first word, which some servers lose."""
    lines = [f"{name}:"]
    for index, word in enumerate(words):
        if index and len(lines[-1]) + 1 + len(word) > most:
            lines.append("")
        lines[-1] += " " + word
    return "\r\n".join(lines)


def _refuse_breaks(name: str, value: str) -> None:
    if _FORBIDDEN.search(value):
        raise Invalid(f"{name} has a line break, U+0000 or half a character in it.")
