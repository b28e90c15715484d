"""Text files: their characters, and pairs of question and answer."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import TypeAlias

from countersign.knowledge.parsing import MOST_CHARACTERS, Unreadable
from countersign.mail import charsets

_MARKS = (
    (codecs.BOM_UTF8, "utf_8"),
    # Before that of UTF-16, with which it begins.
    (codecs.BOM_UTF32_LE, "utf_32_le"),
    (codecs.BOM_UTF32_BE, "utf_32_be"),
    (codecs.BOM_UTF16_LE, "utf_16_le"),
    (codecs.BOM_UTF16_BE, "utf_16_be"),
)
_LOOKED_AT = 64 * 1024
_DELIMITERS = (",", ";", "\t")
_LONGEST_HEADING = 900
"""What is longer than a heading can be is told below its beginning."""
_FIRST_ROWS = 20
# Excel's own word for it.
_SEPARATOR = re.compile(r"sep=([,;\t])\n", re.IGNORECASE)
# What begins a heading, underlines one, or opens code, in which the next question would be none.
_MARKED = re.compile(
    r"^( {0,3})(#{1,6}(?![^ \t\n])|=+[ \t]*$|-{2,}[ \t]*$|`{3}|~{3})", re.MULTILINE
)
_Rows: TypeAlias = Iterator[tuple[int, list[str]]]


def decoded(content: bytes, charset: str | None) -> str:
    """The text of bytes, by their byte order mark, the charset that is told, or UTF-8; or UTF-16 if
    every other byte is NUL.

    Raises `Unreadable` where they are not what they are said to be: a guess would be found, and
    quoted, as gibberish.
    """
    for mark, name in _MARKS:
        if content.startswith(mark):
            return _strictly(content[len(mark) :], name)
    codec = charsets.codec(charset) if charset else "utf_8"
    if codec is None:
        raise Unreadable("charset", f"The charset {charset!r} is not known.")
    if b"\0" in content and not codec.startswith(("utf_16", "utf_32")):
        codec = _unmarked(content[:_LOOKED_AT])
    return _strictly(content, codec)


def _unmarked(content: bytes) -> str:
    """The UTF-16 that ASCII is in, a byte order mark or not."""
    for at, name in ((1, "utf_16_le"), (0, "utf_16_be")):
        nul, others = content[at::2], content[1 - at :: 2]
        if nul.count(0) * 2 > len(others) and 0 not in others:
            return name
    raise Unreadable(
        "binary",
        "The file is not text, whatever it is called. If it is UTF-16, name that: text/plain;"
        " charset=utf-16.",
    )


def _strictly(content: bytes, codec: str) -> str:
    try:
        text = content.decode(codec)
    except UnicodeDecodeError as error:
        raise Unreadable(
            "charset",
            f"The text is not {codec.replace('_', '-')}: byte {error.start} does not fit. Name its"
            " charset: text/plain; charset=windows-1252, say.",
        ) from None
    return lines(text)


def lines(text: str) -> str:
    """A text whose lines all end alike."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def pairs(text: str) -> str:
    """A CSV file of questions and answers as Markdown: each question a heading.

    The first line may name the columns `question` and `answer`; else they are the only two. Commas,
    semicolons or tabs part them. RFC 4180. Raises `Unreadable` with the line of the first fault.
    """
    named = _SEPARATOR.match(text)
    text = text[named.end() :] if named else text
    rows, columns = _opened(_rows(text, named[1] if named else _delimiter(text)))
    told = io.StringIO()
    for line, row in rows:
        told.write(_pair(line, row, columns))
        if told.tell() > MOST_CHARACTERS:
            raise Unreadable("too_large", f"The text has more than {MOST_CHARACTERS} characters.")
        told.write("\n")
    if not told.tell():
        raise Unreadable("empty", "The file has no rows but the names of its columns.")
    return told.getvalue().removesuffix("\n")


def _delimiter(text: str) -> str:
    return max(_DELIMITERS, key=lambda delimiter: _fitting(text, delimiter))


def _fitting(text: str, delimiter: str) -> int:
    """How many of the first rows are pairs if this parts their columns: questions have commas."""
    fitting = 0
    # What is wrong is told of the delimiter that is chosen.
    with suppress(Unreadable):
        for number, (_, row) in enumerate(islice(_rows(text, delimiter), _FIRST_ROWS)):
            if number == 0 and _named(row):
                return _FIRST_ROWS + 1
            fitting += len(row) == 2
    return fitting


def _opened(rows: _Rows) -> tuple[_Rows, tuple[int, int]]:
    """The rows of pairs, and in which columns these are."""
    first = next(rows, None)
    if first is None:
        raise Unreadable("empty", "The file has no rows.")
    if named := _named(first[1]):
        return rows, named
    if len(first[1]) == 2:
        return chain([first], rows), (0, 1)
    raise Unreadable("not_pairs", "Name the columns question and answer in the first line.")


def _named(row: list[str]) -> tuple[int, int] | None:
    names = [name.strip().lower() for name in row]
    is_header = "question" in names and "answer" in names
    return (names.index("question"), names.index("answer")) if is_header else None


def _rows(text: str, delimiter: str) -> _Rows:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield reader.line_num, row
    except csv.Error as error:
        if "field larger" in str(error):
            raise Unreadable(
                "too_large", f"Line {reader.line_num} has a field of more than 131,072 characters."
            ) from None
        raise Unreadable("corrupt", f"Line {reader.line_num} is not CSV: {error}.") from None


def _pair(line: int, row: list[str], columns: tuple[int, int]) -> str:
    question, answer = (row[at].strip() if at < len(row) else "" for at in columns)
    if not question or not answer:
        lacking = "answer" if question else "question"
        raise Unreadable("not_pairs", f"The row that ends in line {line} has no {lacking}.")
    question = " ".join(question.split())
    if len(question) > _LONGEST_HEADING:
        answer = f"{question}\n\n{answer}"
        question = question[:_LONGEST_HEADING]
    return f"# {question}\n\n{_MARKED.sub(_escaped, answer)}\n"


def _escaped(line: re.Match[str]) -> str:
    # A heading within an answer would part what is below it from the question.
    return f"{line[1]}\\{line[2]}"
