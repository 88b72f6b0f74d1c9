"""Parquet, read by ranges: texts, and lists of objects of texts such as a chat's messages. Pure.

A page of each column is in memory at a time, whatever the size of a row group. Reading goes on at any row.
Source: Apache Parquet's parquet.thrift and Dremel's levels (Melnik et al. 2010).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .pages import Chunk, Entry, entries
from .records import Bad, Layout, Refusal, Row, Unreadable, layout_of
from .sources import Ranges
from .thrift import Compact, Short

FOOTER_LIMIT = 32 * 1024 * 1024
ROWS_FREE, ROWS_PER_BYTE = 100_000, 8
"""A few bytes can say "a thousand million rows": more rows than these are a bomb."""
_BYTE_ARRAY = 6
_TYPES = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_OPTIONAL, _REPEATED = 1, 2
_MAX_DEPTH = 16


@dataclass(frozen=True)
class Leaf:
    """A column with a type. `before` and `after` are the names round and inside of the list, if there is one."""

    place: int
    """Its number among the columns of a row group."""
    before: tuple[str, ...]
    after: tuple[str, ...] | None
    """None where it is in no list."""
    kind: int
    definition: int
    """Highest level; `present`: from which on the list has an element."""
    present: int
    repetition: int


@dataclass(frozen=True)
class _File:
    leaves: tuple[Leaf, ...]
    groups: list[dict[int, Any]]
    rows: int


class Parquet:
    def __init__(self, source: Ranges, mapping: Mapping[str, str], mark: Mapping[str, Any] | None = None) -> None:
        self._source, self._mapping = source, mapping
        begin = mark or {"group": 0, "row": 0, "line": 1}
        self._group, self._row, self.line = int(begin["group"]), int(begin["row"]), int(begin["line"])

    def mark(self) -> dict[str, Any]:
        return {"group": self._group, "row": self._row, "line": self.line}

    def __iter__(self) -> Iterator[Row | Refusal]:
        file = _footer(self._source)
        if file.rows > ROWS_FREE + ROWS_PER_BYTE * self._source.size:
            raise Unreadable(f"{self._source.size:,} bytes say that they hold {file.rows:,} rows, as bombs do")
        try:
            layout = layout_of(list(dict.fromkeys(leaf.before[0] for leaf in file.leaves)), self._mapping)
            wanted = _wanted(file.leaves, layout)
        except Bad as bad:
            yield Refusal(1, str(bad))
            return
        while self._group < len(file.groups):
            yield from self._rows(file.groups[self._group], wanted, layout)
            self._group, self._row = self._group + 1, 0
        if self.line == 1:
            self.line = 2
            yield Refusal(1, "the file has columns and no rows")

    def _rows(self, group: dict[int, Any], wanted: Sequence[Leaf], layout: Layout) -> Iterator[Row | Refusal]:
        count = int(group.get(3, 0))
        columns = [_column(self._source, group, leaf, self._row) for leaf in wanted]
        for _ in range(self._row, count):
            values = [next(column, _END) for column in columns]
            if any(value is _END for value in values):
                raise Unreadable("a column has fewer rows than its group says")
            line = self.line
            self._row, self.line = self._row + 1, self.line + 1
            try:
                yield layout.row(line, _record(wanted, values).get)
            except Bad as bad:
                yield Refusal(line, str(bad))


_END: Any = object()


def _footer(source: Ranges) -> _File:
    if source.size < 12:
        raise Unreadable("the file is too short for Parquet")
    tail = source.read(source.size - 8, 8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] == b"PARE":
        raise Unreadable("the file is encrypted")
    if tail[4:] != b"PAR1" or length > source.size - 12:
        raise Unreadable("the file breaks off: Parquet ends with its table of contents")
    if length > FOOTER_LIMIT:
        raise Unreadable(f"the table of contents has more than {FOOTER_LIMIT // 1024**2} MB")
    try:
        told = Compact(source.read(source.size - 8 - length, length)).struct()
        groups = told.get(4, [])
        rows = sum(max(0, int(group.get(3, 0))) for group in groups)
        return _File(tuple(_leaves(told[2])), groups, rows)
    except (Short, KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise Unreadable("the table of contents is damaged") from error


_Levels = tuple[int, int, int]
"""Definition, definition from which on the list has an element, repetition."""


def _leaves(elements: list[dict[int, Any]]) -> Iterator[Leaf]:
    """The schema is a tree written depth first; its first element is the root.

    A list is a repeated group round its element; what is repeated without such a group is the element itself.
    """
    at, place = 1, 0

    def below(names: tuple[str, ...], split: int | None, element_next: bool, levels: _Levels) -> Iterator[Leaf]:
        nonlocal at, place
        if at >= len(elements) or max(len(names), *levels) > _MAX_DEPTH:
            raise Unreadable("the columns are nested too deep")
        element = elements[at]
        at += 1
        definition, present, repetition = levels
        repeats, children = element.get(3, 0), int(element.get(5) or 0)
        definition += repeats in (_OPTIONAL, _REPEATED)
        if not element_next and (repeats != _REPEATED or not names):
            names = (*names, element[4].decode())
        element_next = False
        if repeats == _REPEATED:
            present, repetition, split = definition, repetition + 1, len(names)
            element_next = children == 1 and not _is_element(element)
        for _ in range(children):
            yield from below(names, split, element_next, (definition, present, repetition))
        if not children:
            after = None if split is None else names[split:]
            yield Leaf(place, names[:split], after, int(element.get(1, -1)), definition, present, repetition)
            place += 1

    for _ in range(int(elements[0].get(5) or 0)):
        yield from below((), None, False, (0, 0, 0))


def _is_element(element: dict[int, Any]) -> bool:
    """Lists of before 2014 have two levels: their repeated group is the element, though it has one child."""
    name = str(element[4].decode())
    return name == "array" or name.endswith("_tuple")


def _wanted(leaves: Sequence[Leaf], layout: Layout) -> list[Leaf]:
    """The columns of our roles. What is in no text, and what lies in a list of lists, is left out."""
    names = set(layout.columns.values())
    ours = [leaf for leaf in leaves if leaf.before[0] in names]
    for leaf in ours:
        if leaf.kind != _BYTE_ARRAY and len(leaf.before) == 1 and leaf.after is None:
            kind = _TYPES[leaf.kind] if 0 <= leaf.kind < len(_TYPES) else f"values of an unknown type {leaf.kind}"
            raise Bad(f"the column {leaf.before[0]} holds {kind}, not text")
    wanted = [leaf for leaf in ours if leaf.kind == _BYTE_ARRAY and leaf.repetition <= 1]
    for name in names - {leaf.before[0] for leaf in wanted}:
        raise Bad(f"the column {name} holds no text")
    return wanted


def _column(source: Ranges, group: dict[int, Any], leaf: Leaf, skip: int) -> Iterator[Any]:
    """One value a row: a text, or the list of them."""
    try:
        column = group[1][leaf.place]
        told = column[3]
        if 8 in column or column.get(1):
            raise Unreadable("a column is encrypted, or lies in another file")
        start = min(place for place in (told.get(11), told[9]) if place)
        chunk = Chunk(start, start + told[7], told[4], told[5], leaf.definition, leaf.repetition)
        if start < 4 or told[7] < 0:
            raise Unreadable("a column has no place")
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise Unreadable("the table of contents is damaged") from error
    if not leaf.repetition:
        return (value for _, _, value in _sound(entries(source, chunk, skip)))
    return islice(_lists(_sound(entries(source, chunk)), leaf), skip, None)


def _sound(found: Iterator[Entry]) -> Iterator[Entry]:
    """What a page's header lacks shows only where it is used."""
    try:
        yield from found
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise Unreadable("a page is damaged") from error


def _lists(found: Iterator[Entry], leaf: Leaf) -> Iterator[list[bytes | None] | None]:
    """None for a list that is not there; an empty one and one that is not there are told apart by nobody here."""
    row: list[bytes | None] | None = None
    begun = False
    for repetition, definition, value in found:
        if not repetition:
            if begun:
                yield row
            row, begun = None, True
        if definition >= leaf.present:
            row = [] if row is None else row
            row.append(value)
    if begun:
        yield row


def _record(leaves: Sequence[Leaf], values: Sequence[Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for leaf, value in zip(leaves, values, strict=True):
        *path, last = leaf.before
        inside = record
        for name in path:
            inside = inside.setdefault(name, {})
        if leaf.after is None:
            inside[last] = _text(value)
        elif value is not None:
            _fill(inside.setdefault(last, [None] * len(value)), leaf.after, value)
    return record


def _fill(elements: list[Any], names: tuple[str, ...], values: Sequence[bytes | None]) -> None:
    for place, value in enumerate(values[: len(elements)]):
        if not names:
            elements[place] = _text(value)
            continue
        inside = elements[place] = elements[place] or {}
        for name in names[:-1]:
            inside = inside.setdefault(name, {})
        inside[names[-1]] = _text(value)


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Bad("not UTF-8") from None
