"""Text files: their characters, and pairs of question and answer."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator

from countersign.knowledge.parsing import Unreadable
from countersign.mail import charsets

_MARKS = (
    (codecs.BOM_UTF8, "utf_8"),
    (codecs.BOM_UTF16_LE, "utf_16_le"),
    (codecs.BOM_UTF16_BE, "utf_16_be"),
)
_LOOKED_AT = 64 * 1024


def decoded(content: bytes, charset: str | None) -> str:
    """The text of bytes, by their byte order mark, the charset that is told, or UTF-8.

    Raises `Unreadable` where they are not what they are said to be: a guess would be found, and
    quoted, as gibberish.
    """
    for mark, name in _MARKS:
        if content.startswith(mark):
            return _strictly(content[len(mark) :], name)
    codec = charsets.codec(charset) if charset else "utf_8"
    if codec is None:
        raise Unreadable("charset", f"The charset {charset!r} is not known.")
    if b"\0" in content[:_LOOKED_AT] and not codec.startswith(("utf_16", "utf_32")):
        raise Unreadable("binary", "The file is not text, whatever it is called.")
    return _strictly(content, codec)


def _strictly(content: bytes, codec: str) -> str:
    try:
        text = content.decode(codec)
    except UnicodeDecodeError as error:
        raise Unreadable(
            "charset",
            f"The text is not {codec.replace('_', '-')}: byte {error.start} does not fit. Name its"
            " charset: text/plain; charset=windows-1252, say.",
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def pairs(text: str) -> str:
    """A CSV file of questions and answers as Markdown: each question a heading.

    The first line may name the columns `question` and `answer`; else they are the only two. Commas,
    semicolons or tabs part them. RFC 4180. Raises `Unreadable` with the line of the first fault.
    """
    rows = _rows(text)
    first = next(rows, None)
    if first is None:
        raise Unreadable("empty", "The file has no rows.")
    names = [name.strip().lower() for name in first[1]]
    if "question" in names and "answer" in names:
        columns = names.index("question"), names.index("answer")
        told = [_pair(line, row, columns) for line, row in rows]
    elif len(names) == 2:
        told = [_pair(line, row, (0, 1)) for line, row in (first, *rows)]
    else:
        raise Unreadable("not_pairs", "Name the columns question and answer in the first line.")
    return "\n".join(told)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    line = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=line.count), strict=True)
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise Unreadable("corrupt", f"Line {reader.line_num} is not CSV: {error}.") from None


def _pair(line: int, row: list[str], columns: tuple[int, int]) -> str:
    question, answer = (row[at].strip() if at < len(row) else "" for at in columns)
    if not question or not answer:
        lacking = "answer" if question else "question"
        raise Unreadable("not_pairs", f"The row that ends in line {line} has no {lacking}.")
    return f"# {' '.join(question.split())}\n\n{answer}\n"
