"""Thrift's compact protocol, as far as Parquet's headers need it: bytes to {field: value}. Pure.

Source: thrift-compact-protocol.md of Apache Thrift.
"""

from __future__ import annotations

from typing import Any

from .records import Unreadable

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_DEPTH = 24


class Compact:
    """Reads from `at` on; a structure that does not end within the bytes is Short."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self.body, self.at = body, at

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _DEPTH:
            raise Unreadable("a header of the file is nested too deep")
        found: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            found[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return self._byte() == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise Unreadable(f"a header of the file holds a value of the unknown kind {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        size = self._varint() if head >> 4 == 15 else head >> 4
        if size > len(self.body) - self.at:
            raise Short
        return [self._value(head & 15, depth) for _ in range(size)]

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise Unreadable("a header of the file holds a number without an end")

    def _byte(self) -> int:
        if self.at >= len(self.body):
            raise Short
        self.at += 1
        return self.body[self.at - 1]

    def _bytes(self, length: int) -> bytes:
        if self.at + length > len(self.body):
            raise Short
        self.at += length
        return self.body[self.at - length : self.at]


class Short(Exception):
    """The structure goes on beyond the bytes that are there."""
