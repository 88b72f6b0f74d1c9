"""CSV, TSV and what is parted by semicolons, with a header. Pure.

A record that cannot be read costs its own line, never the lines after it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .lines import MAX_LINE_BYTES, Line, Lines
from .records import Bad, Layout, Refusal, Row, layout_of
from .sources import Source

csv.field_size_limit(2 * MAX_LINE_BYTES)
MAX_RECORD_LINES = 256
"""A quoted cell that is still open after so many lines is an unbalanced quote, not a cell."""
MAX_HEADER_BYTES = 64 * 1024
NO_HEADER = "the file has no usable header"


@dataclass(frozen=True)
class _Header:
    line: int
    delimiter: str
    columns: tuple[str, ...]
    layout: Layout | None
    """None where the header cannot be used: then every line is refused."""


class Delimited:
    """Rows and refusals, in order, in memory bounded by the longest record."""

    def __init__(self, source: Source, mapping: Mapping[str, str], mark: Mapping[str, Any] | None = None) -> None:
        self._mapping = mapping
        self._header = _header_of(mark["header"], mapping) if mark else None
        self._lines = Lines(source, mark["offset"], mark["line"]) if mark else Lines(source)
        self._rows = mark["rows"] if mark else 0

    @property
    def line(self) -> int:
        return self._lines.number

    def mark(self) -> dict[str, Any]:
        """Where to go on after what was told last."""
        header = self._header and [self._header.line, self._header.delimiter, *self._header.columns]
        return {"offset": self._lines.offset, "line": self._lines.number, "rows": self._rows, "header": header}

    def __iter__(self) -> Iterator[Row | Refusal]:
        if self._header is None:
            first = next((line for line in self._lines if not _blank(line)), None)
            if first is None:
                self._header = _Header(1, ",", (), None)
                yield Refusal(1, "the file is empty")
                return
            self._header, refusal = _header(first, self._lines, self._mapping)
            if refusal:
                yield refusal
        header = self._header
        for line in self._lines:
            if not _blank(line):
                self._rows += 1
                yield self._read(line, header)
        if not self._rows and header.layout:
            self._rows = 1
            yield Refusal(header.line, "the file has a header and no rows")

    def _read(self, line: Line, header: _Header) -> Row | Refusal:
        if header.layout is None:
            return Refusal(line.number, NO_HEADER)
        try:
            cells = _cells(line, self._lines, header.delimiter)
            if len(cells) != len(header.columns):
                raise Bad(f"{len(cells)} column{'s' * (len(cells) != 1)} where the header has {len(header.columns)}")
            return header.layout.row(line.number, dict(zip(header.columns, cells, strict=True)).__getitem__)
        except Bad as bad:
            return Refusal(line.number, str(bad))


def _blank(line: Line) -> bool:
    return line.raw is not None and not line.raw.strip()


def _header(first: Line, lines: Lines, mapping: Mapping[str, str]) -> tuple[_Header, Refusal | None]:
    delimiter = ","
    try:
        if len(first.bytes()) > MAX_HEADER_BYTES:
            raise Bad(f"the header has more than {MAX_HEADER_BYTES // 1024} KB; is it one?")
        delimiter = max(",\t;", key=first.text().count)
        names = _cells(first, lines, delimiter)
        return _Header(first.number, delimiter, _distinct(names), layout_of(names, mapping)), None
    except Bad as bad:
        return _Header(first.number, delimiter, (), None), Refusal(first.number, str(bad))


def _header_of(marked: list[Any], mapping: Mapping[str, str]) -> _Header:
    line, delimiter, *columns = marked
    layout = layout_of(columns, mapping) if columns else None
    return _Header(int(line), str(delimiter), tuple(columns), layout)


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Of two columns with one name the first counts."""
    return tuple(f"{name}#{place}" if name in names[:place] else name for place, name in enumerate(names))


def _cells(first: Line, lines: Lines, delimiter: str) -> list[str]:
    """The cells of the record that begins on this line."""
    text = first.text()
    if '"' not in text and "\r" not in text and "\0" not in text:
        return text.split(delimiter)  # what csv makes of it, ten times as fast
    if text[:1] == '"' == text[-1:] and len(text) > 1:
        cells = text[1:-1].split(f'"{delimiter}"')
        if text.count('"') == 2 * len(cells) and "\0" not in text:
            return cells  # every cell is quoted, and no quote is in a cell
    return _record(first, lines, delimiter)


def _record(first: Line, lines: Lines, delimiter: str) -> list[str]:
    """As csv has it; takes further lines while a quoted cell is open.

    The csv reader asks for one line after the other, so a long record is read once and not again for each line. A
    record that turns out to be bad gives back all lines but its first. Such a line holds no quote, or it would have
    ended the record; so no line is read more than twice.
    """
    taken: list[Line] = []
    try:
        return next(csv.reader(_open_record(first, lines, taken), delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        lines.give_back(taken)
        if "unexpected end of data" in str(error):
            raise Bad("a quote is opened and not closed") from None
        raise Bad(f"not CSV: {error}") from None


def _open_record(first: Line, lines: Lines, taken: list[Line]) -> Iterator[str]:
    """The text of this line and of those after it, as far as one record may reach."""
    text = first.text()
    if "\0" in text:
        raise Bad("a NUL character")
    size = len(text)
    yield text + "\n"
    for line in lines:
        taken.append(line)
        try:
            text = line.text()
        except Bad:
            return
        size += len(text)
        if "\0" in text or size > MAX_LINE_BYTES or len(taken) > MAX_RECORD_LINES:
            return
        yield text + "\n"
