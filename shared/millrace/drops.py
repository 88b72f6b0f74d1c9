"""Reading a dropped file: bytes in, rows and refusals out, each with the line it began on. Pure.

Every record of the file is either a Row or a Refusal, never both and never neither. CSV with a header; columns by
their usual names. A record that cannot be read costs its own line, never the lines after it.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .datapoints import MAX_TEXT

SOURCE_NAMES = ("prompt", "input", "source", "ai_text", "original", "before", "draft", "ai")
TARGET_NAMES = ("completion", "output", "target", "humanized_text", "rewritten", "after", "final", "human")
MAX_LINE_BYTES = 8 * 1024 * 1024
csv.field_size_limit(2 * MAX_LINE_BYTES)
MAX_RECORD_LINES = 256
"""A quoted cell that is still open after so many lines is an unbalanced quote, not a cell."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Row:
    line: int
    source: str
    target: str


@dataclass(frozen=True)
class Refusal:
    line: int
    reason: str


@dataclass(frozen=True)
class _Header:
    line: int
    delimiter: str
    source: int
    """Number of the column, from zero; so is `target`."""
    target: int
    width: int


class _Bad(Exception):
    """This record cannot be used; the message says why."""


@dataclass(frozen=True)
class _Line:
    number: int
    text: str | None
    reason: str = ""


def read_csv(chunks: Iterable[bytes]) -> Iterator[Row | Refusal]:
    """Rows and refusals of a CSV or TSV file, in order, in memory bounded by the longest record."""
    lines = _Lines(chunks)
    header = _header(lines)
    if isinstance(header, Refusal):
        yield header
        yield from (
            Refusal(line.number, "the file has no usable header") for line in lines if (line.text or "?").strip()
        )
        return
    rows = 0
    for line in lines:
        if line.text is not None and not line.text.strip():
            continue
        rows += 1
        yield _read(line, lines, header)
    if not rows:
        yield Refusal(header.line, "the file has a header and no rows")


def _read(line: _Line, lines: _Lines, header: _Header) -> Row | Refusal:
    try:
        return _row(line.number, _record(line, lines, header.delimiter), header)
    except _Bad as bad:
        return Refusal(line.number, str(bad))


def _row(line: int, cells: list[str], header: _Header) -> Row:
    if len(cells) != header.width:
        raise _Bad(f"{len(cells)} columns where the header has {header.width}")
    before, after = cells[header.source].strip(), cells[header.target].strip()
    for name, text in (("source", before), ("target", after)):
        if not text:
            raise _Bad(f"the {name} is empty")
        if control := _CONTROL.search(text):
            raise _Bad(f"the {name} holds the control character 0x{ord(control.group()):02X}")
        if len(text) > MAX_TEXT:
            raise _Bad(f"the {name} has {len(text):,} characters; at most {MAX_TEXT:,} are taken")
    if before == after:
        raise _Bad("source and target are the same")
    return Row(line, before, after)


def _header(lines: _Lines) -> _Header | Refusal:
    first = next((line for line in lines if line.text is None or line.text.strip()), None)
    if first is None:
        return Refusal(1, "the file is empty")
    try:
        delimiter = _delimiter(first.text or "")
        names = [name.strip().casefold() for name in _record(first, lines, delimiter)]
        source, target = _column(names, SOURCE_NAMES, "source"), _column(names, TARGET_NAMES, "target")
        return _Header(first.number, delimiter, source, target, len(names))
    except _Bad as bad:
        return Refusal(first.number, str(bad))


def _delimiter(header: str) -> str:
    return max(",\t;", key=header.count)


def _column(names: list[str], known: tuple[str, ...], role: str) -> int:
    for name in known:
        if name in names:
            return names.index(name)
    shown = ", ".join(names)[:200]
    raise _Bad(f"no {role} column: name one of the columns {', '.join(known)} (the header has: {shown})")


def _record(first: _Line, lines: _Lines, delimiter: str) -> list[str]:
    """The cells of the record that begins on this line; takes further lines while a quoted cell is open.

    The csv reader asks for one line after the other, so a long record is read once and not again for each line. A
    record that turns out to be bad gives back all lines but its first. Such a line holds no quote, or it would have
    ended the record; so no line is read more than twice.
    """
    taken: list[_Line] = []
    try:
        return next(csv.reader(_open_record(first, lines, taken), delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        lines.give_back(taken)
        if "unexpected end of data" in str(error):
            raise _Bad("a quote is opened and not closed") from None
        raise _Bad(f"not CSV: {error}") from None


def _open_record(first: _Line, lines: _Lines, taken: list[_Line]) -> Iterator[str]:
    """The text of this line and of those after it, as far as one record may reach."""
    text = _usable(first)
    size = len(text)
    yield text + "\n"
    for line in lines:
        taken.append(line)
        size += len(line.text or "")
        if line.text is None or "\0" in line.text or size > MAX_LINE_BYTES or len(taken) > MAX_RECORD_LINES:
            return
        yield line.text + "\n"


def _usable(line: _Line) -> str:
    if line.text is None:
        raise _Bad(line.reason)
    if "\0" in line.text:
        raise _Bad("a NUL character")
    return line.text


class _Lines(Iterator[_Line]):
    """Physical lines of a byte stream with their numbers; a line can be given back."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._source = _decoded(_split(chunks))
        self._returned: deque[_Line] = deque()

    def __next__(self) -> _Line:
        return self._returned.popleft() if self._returned else next(self._source)

    def give_back(self, lines: list[_Line]) -> None:
        self._returned.extendleft(reversed(lines))


def _decoded(raw_lines: Iterable[tuple[int, bytes | None]]) -> Iterator[_Line]:
    for number, raw in raw_lines:
        if raw is None:
            yield _Line(number, None, f"a line of more than {MAX_LINE_BYTES // 1024 // 1024} MB")
            continue
        try:
            yield _Line(number, raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            at = f"byte 0x{raw[error.start]:02X} at position {error.start + 1}"
            yield _Line(number, None, f"not UTF-8 ({at}); save the file as UTF-8")


def _split(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines without their ends; None for one longer than the limit, whose bytes are dropped as they come."""
    number, pending, size, overlong = 1, list[bytes](), 0, False
    for chunk in _as_utf8(chunks):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            overlong = overlong or size + len(end) > MAX_LINE_BYTES
            yield number, None if overlong else b"".join((*pending, end)).removesuffix(b"\r")
            number, pending, size, overlong = number + 1, [], 0, False
        size += len(rest)
        overlong = overlong or size > MAX_LINE_BYTES
        pending = [] if overlong else [*pending, rest] if rest else pending
    if pending or overlong:
        yield number, None if overlong else b"".join(pending).removesuffix(b"\r")


def _as_utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """UTF-16 with a byte order mark, as spreadsheets write it, becomes UTF-8; everything else passes."""
    decoder: codecs.IncrementalDecoder | None = None
    for number, chunk in enumerate(chunks):
        if number == 0 and chunk[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        yield decoder.decode(chunk).encode("utf-8", "replace") if decoder else chunk
