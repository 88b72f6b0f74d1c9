"""Writing Parquet: flat columns of text, whole and floating numbers, any of them absent, row group by row group. Pure.

What is written: version 1 pages, PLAIN encoding, definition levels run-length encoded, no compression; every reader
knows it. A library that writes Parquet weighs 68 to 150 MB, and a function's asset has room for neither.
Source: https://github.com/apache/parquet-format (Thrift compact protocol). `tests/millrace/test_parquet.py` reads the
files back with pyarrow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

Kind = Literal["text", "int", "float"]
MAGIC = b"PAR1"
_TYPES = {"text": 6, "int": 2, "float": 5}  # BYTE_ARRAY, INT64, DOUBLE
_PLAIN, _RLE, _UTF8, _OPTIONAL = 0, 3, 0, 1
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12


def write(columns: Mapping[str, Kind], groups: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[bytes]:
    """A Parquet file, piece by piece; each group of rows is a row group and held in memory by itself."""
    yield MAGIC
    at, total, told = len(MAGIC), 0, []
    for rows in groups:
        if not rows:
            continue
        chunks, size = [], 0
        for name, kind in columns.items():
            page = _page(kind, [row.get(name) for row in rows])
            chunks.append(_chunk(name, kind, len(rows), at, len(page)))
            size += len(page)
            at += len(page)
            yield page
        total += len(rows)
        told.append([(1, _LIST, (_STRUCT, chunks)), (2, _I64, size), (3, _I64, len(rows))])
    footer = _struct(
        [
            (1, _I32, 1),
            (2, _LIST, (_STRUCT, _schema(columns))),
            (3, _I64, total),
            (4, _LIST, (_STRUCT, told)),
            (6, _BINARY, b"millrace"),
        ]
    )
    yield footer + struct.pack("<I", len(footer)) + MAGIC


def _schema(columns: Mapping[str, Kind]) -> list[Any]:
    root = [(4, _BINARY, b"rows"), (5, _I32, len(columns))]
    leaves = [
        [
            (1, _I32, _TYPES[kind]),
            (3, _I32, _OPTIONAL),
            (4, _BINARY, name.encode()),
            *([(6, _I32, _UTF8)] if kind == "text" else []),
        ]
        for name, kind in columns.items()
    ]
    return [root, *leaves]


def _chunk(name: str, kind: Kind, values: int, at: int, size: int) -> Any:
    meta = [
        (1, _I32, _TYPES[kind]),
        (2, _LIST, (_I32, [_PLAIN, _RLE])),
        (3, _LIST, (_BINARY, [name.encode()])),
        (4, _I32, 0),
        (5, _I64, values),
        (6, _I64, size),
        (7, _I64, size),
        (9, _I64, at),
    ]
    return [(2, _I64, at), (3, _STRUCT, meta)]


def _page(kind: Kind, values: Sequence[Any]) -> bytes:
    levels = _levels(values)
    body = struct.pack("<I", len(levels)) + levels + b"".join(_plain(kind, v) for v in values if v is not None)
    header = _struct(
        [
            (1, _I32, 0),
            (2, _I32, len(body)),
            (3, _I32, len(body)),
            (5, _STRUCT, [(1, _I32, len(values)), (2, _I32, _PLAIN), (3, _I32, _RLE), (4, _I32, _RLE)]),
        ]
    )
    return header + body


def _plain(kind: Kind, value: Any) -> bytes:
    if kind == "int":
        return struct.pack("<q", value)
    if kind == "float":
        return struct.pack("<d", value)
    raw = str(value).encode()
    return struct.pack("<I", len(raw)) + raw


def _levels(values: Sequence[Any]) -> bytes:
    """Runs of equal definition levels: 1 where there is a value."""
    out, at = bytearray(), 0
    while at < len(values):
        there, end = values[at] is not None, at
        while end < len(values) and (values[end] is not None) == there:
            end += 1
        out += _varint((end - at) << 1) + bytes([there])
        at = end
    return bytes(out)


def _struct(fields: Sequence[tuple[int, int, Any]]) -> bytes:
    out, last = bytearray(), 0
    for number, kind, value in fields:
        out += bytes([(number - last) << 4 | kind]) + _value(kind, value)
        last = number
    return bytes(out) + b"\0"


def _value(kind: int, value: Any) -> bytes:
    if kind in (_I32, _I64):
        return _varint(value << 1 ^ value >> 63)
    if kind == _BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == _STRUCT:
        return _struct(value)
    of, members = value
    head = bytes([len(members) << 4 | of]) if len(members) < 15 else bytes([0xF0 | of]) + _varint(len(members))
    return head + b"".join(_value(of, member) for member in members)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
