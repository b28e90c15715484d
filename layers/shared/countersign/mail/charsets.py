"""Bytes of a mail to text, whatever it says of them (RFC 2045, 2046, 2047, 1428).

Labels mean what browsers take them to mean (WHATWG Encoding Standard): senders that write
iso-8859-1 send windows-1252. A label that cannot be true gives way to UTF-8, then to windows-1252.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from functools import lru_cache

_ALIASES = {
    "ascii": "cp1252",
    "us_ascii": "cp1252",
    "ansi": "cp1252",
    "ansi_x3.4_1968": "cp1252",
    "iso_ir_6": "cp1252",
    "iso8859": "cp1252",
    "windows_874": "cp874",
    "windows_936": "gb18030",
    "windows_949": "cp949",
    "windows_31j": "cp932",
    "cp936": "gb18030",
    "ms936": "gb18030",
    "gb_2312_80": "gb18030",
    "chinese": "gb18030",
    "hz_gb_2312": "hz",
    "utf8mb4": "utf_8",
    "unicode_1_1_utf_8": "utf_8",
    "unicode_1_1_utf_7": "utf_7",
    "unicode_2_0_utf_7": "utf_7",
    "ks_c_5601": "cp949",
    "ks_c_5601_1987": "cp949",
    "ks_c_5601_1989": "cp949",
    "ksc5601": "cp949",
    "ksc_5601": "cp949",
    "korean": "cp949",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "iso_8859_6_e": "iso8859_6",
    "iso_2022_jp_ms": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "cp50222": "iso2022_jp_ext",
    "eucjp": "euc_jp",
    "euckr": "cp949",
    "sjis": "cp932",
    "big5_eten": "big5hkscs",
    "cn_big5": "big5hkscs",
    "cn_gb": "gb18030",
    "mac": "mac_roman",
    "macintosh": "mac_roman",
    "koi8_ru": "koi8_u",
    "koi8": "koi8_r",
    "tis_620": "cp874",
    "iso8859_11": "cp874",
}
# A codec's own narrower name → the wider one that is meant.
_WIDER = {
    "latin_1": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "iso8859_9": "cp1254",
    "tis_620": "cp874",
    "iso8859_11": "cp874",
    "big5": "big5hkscs",
    "cp950": "big5hkscs",
    "iso2022_jp": "iso2022_jp_ext",
    "iso2022_jp_1": "iso2022_jp_ext",
    "iso2022_jp_2": "iso2022_jp_2",
    "utf_8_sig": "utf_8",
}
# Python's other codecs (base64, zlib, idna, undefined, unicode_escape, …) are no charsets.
_CODEC_NAMES = """
        big5hkscs cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863
    cp864 cp865 cp866 cp869 cp874 cp932 cp949 cp950 cp1006 cp1125 cp1250 cp1251 cp1252 cp1253
    cp1254 cp1255 cp1256 cp1257 cp1258 euc_jis_2004 euc_jisx0213 euc_jp gb18030 hp_roman8 hz
    iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr iso8859_2 iso8859_3
    iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_10 iso8859_13 iso8859_14 iso8859_15
    iso8859_16 johab koi8_r koi8_t koi8_u kz1048 mac_cyrillic mac_greek mac_iceland mac_latin2
    mac_roman mac_turkish ptcp154 shift_jis_2004 shift_jisx0213 utf_7 utf_8 utf_16 utf_16_be
    utf_16_le utf_32 utf_32_be utf_32_le
"""
_CODECS = frozenset(_CODEC_NAMES.split())
_SEVEN_BIT = frozenset({"hz", "utf_7", "iso2022_jp_ext", "iso2022_jp_2", "iso2022_kr"})
_LABEL = re.compile(r"[a-z0-9][a-z0-9_.]{0,39}")
_UNFIT = re.compile("[\0\ud800-\udfff]")
_ISO_2022_JP = re.compile(rb"\x1b\$[@B]")


@lru_cache(maxsize=256)
def codec(label: str | None) -> str | None:
    """The name of Python's codec for a charset's label; None if it is no charset that we know."""
    name = (label or "").strip(" \t\"'").lower().partition("*")[0]
    name = re.sub(r"[-_ :]+", "_", name).removeprefix("x_")
    if not _LABEL.fullmatch(name):
        return None
    found = _ALIASES.get(name) or _ALIASES.get(name.removesuffix("_8bit"))
    if found is None:
        from encodings.aliases import aliases

        python = aliases.get(name.replace(".", "_"), name)
        found = _WIDER.get(python, python)
    return found if found in _CODECS else None


def decode(raw: bytes, label: str | None, hints: Iterable[str | None] = ()) -> tuple[str, bool]:
    """The text of `raw`, and whether `label` was right about it.

    `hints` are labels that stand elsewhere in the mail, for what has none. Never holds NUL or lone
    surrogates, which PostgreSQL and UTF-8 refuse.
    """
    text, right = _decode(raw, label, hints)
    if _UNFIT.search(text):
        text = _UNFIT.sub(lambda match: "" if match[0] == "\0" else "�", text)
    return text, right


def _decode(raw: bytes, label: str | None, hints: Iterable[str | None]) -> tuple[str, bool]:
    for mark, name in ((codecs.BOM_UTF8, "utf_8"), *_WIDE_MARKS):
        if raw.startswith(mark):
            return raw[len(mark) :].decode(name, "replace"), True
    declared = codec(label)
    eight_bit = not raw.isascii()
    if not eight_bit and declared not in _SEVEN_BIT and not (declared or "").startswith("utf_"):
        japanese = _strictly(raw, "iso2022_jp_ext") if _ISO_2022_JP.search(raw) else None
        return japanese or raw.decode("ascii"), label is None or declared is not None
    if declared == "cp1252" and _is_utf8(raw):
        return raw.decode(), False
    if declared:
        text = _strictly(raw, declared)
        if text is not None:
            return text, True
    return _guess(raw, declared, hints), not eight_bit and label is None


_WIDE_MARKS = ((codecs.BOM_UTF16_LE, "utf_16_le"), (codecs.BOM_UTF16_BE, "utf_16_be"))


def _guess(raw: bytes, declared: str | None, hints: Iterable[str | None]) -> str:
    if _is_utf8(raw):
        return raw.decode()
    text = _mostly(raw, declared) if declared else None
    for name in map(codec, hints):
        # These two are what else is taken.
        if text is None and name and name not in ("utf_8", "cp1252"):
            text = _strictly(raw, name)
    if text is None:
        text = _mostly(raw, "utf_8")
    return raw.decode("cp1252", "replace") if text is None else text


def _mostly(raw: bytes, name: str) -> str | None:
    """Cut in the middle of a character, or with a wrong byte or two, it still is what it says."""
    if name == "cp1252":
        return None
    text = raw.decode(name, "replace")
    wrong = text.count("�")
    return text if wrong * 4 <= len(text) - len(text.encode("ascii", "ignore")) else None


def _strictly(raw: bytes, name: str) -> str | None:
    try:
        return raw.decode(name)
    except UnicodeError:
        return None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
