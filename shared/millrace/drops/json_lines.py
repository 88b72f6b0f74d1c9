"""JSON Lines: an object on each line. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from .lines import Lines
from .records import Bad, Layout, Refusal, Row, layout_of
from .sources import Source

_LAYOUTS = 1000


class Objects:
    """Objects to rows; a layout is found once for each set of names."""

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self._mapping = mapping
        self._layouts: dict[tuple[str, ...], Layout | str] = {}

    def row(self, line: int, raw: bytes, place: str = "") -> Row | Refusal:
        try:
            value = orjson.loads(raw)
            if not isinstance(value, dict):
                raise Bad("not an object with names and values")
            return self._layout(tuple(value)).row(line, value.get, place)
        except orjson.JSONDecodeError as error:
            return Refusal(line, f"not JSON: {error.msg}")
        except Bad as bad:
            return Refusal(line, str(bad))

    def _layout(self, names: tuple[str, ...]) -> Layout:
        if names not in self._layouts:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            try:
                self._layouts[names] = layout_of(names, self._mapping)
            except Bad as bad:
                self._layouts[names] = str(bad)
        found = self._layouts[names]
        if isinstance(found, str):
            raise Bad(found)
        return found


class JsonLines:
    def __init__(self, source: Source, mapping: Mapping[str, str], mark: Mapping[str, Any] | None = None) -> None:
        self._objects = Objects(mapping)
        self._lines = Lines(source, mark["offset"], mark["line"]) if mark else Lines(source)

    @property
    def line(self) -> int:
        return self._lines.number

    def mark(self) -> dict[str, Any]:
        return {"offset": self._lines.offset, "line": self._lines.number}

    def __iter__(self) -> Iterator[Row | Refusal]:
        for line in self._lines:
            try:
                raw = line.bytes()
            except Bad as bad:
                yield Refusal(line.number, str(bad))
                continue
            if raw.strip():
                yield self._objects.row(line.number, raw)
