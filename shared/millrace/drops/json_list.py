"""A JSON list of objects, alone or as the data of an object, {"data": [...]}; or objects over several lines each. Pure.

The list is cut into its elements by counting brackets outside of texts, so that one element at a time is in memory, one
that is not JSON costs itself alone, and reading can go on at any element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .json_lines import Objects
from .lines import MAX_LINE_BYTES as MAX_ELEMENT_BYTES
from .records import Refusal, Row, Unreadable
from .sources import Source

DATA_NAMES = (b"data", b"rows", b"items", b"examples", b"records", b"train")
_TOKEN = re.compile(rb'"(?>[^"\\]*(?:\\.[^"\\]*)*)"|[\[\]{},]|"', re.DOTALL)
"""A whole text, a bracket, a comma, or the quote of a text that does not end in what has been read."""
_SPACE = b" \t\r\n"
_TOO_LONG = (
    f"a record of more than {MAX_ELEMENT_BYTES // 1024 // 1024} MB begins here, or a quote or bracket is not closed"
)


class JsonList:
    def __init__(self, source: Source, mapping: Mapping[str, str], mark: Mapping[str, Any] | None = None) -> None:
        self._objects = Objects(mapping)
        begin = mark or {"offset": 0, "line": 1, "index": 0, "inside": None}
        self._chunks = source.chunks(begin["offset"])
        self._buffer, self._base = b"", int(begin["offset"])
        self._from = self._at = 0
        """In the buffer: where the element begins, and up to where it has been looked at."""
        self.line, self._index = int(begin["line"]), int(begin["index"])
        self._inside: str | None = begin["inside"]
        """What the elements are in: "list", or "object" with that list as its data; None before it was found, and
        "after list", "after object" behind it."""

    def mark(self) -> dict[str, Any]:
        offset = self._base + self._from
        return {"offset": offset, "line": self.line, "index": self._index, "inside": self._inside}

    def __iter__(self) -> Iterator[Row | Refusal]:
        while self._inside is None and (single := self._enter()) is not None:
            yield self._told(single)
        if self._inside in ("list", "object"):
            for raw in self._elements():
                yield self._told(raw)
        if not self._index:
            self._index = 1
            yield Refusal(1, "the list is empty")
        self._leave()

    def _told(self, raw: bytes) -> Row | Refusal:
        blank = len(raw) - len(raw.lstrip(_SPACE))
        line = self.line + raw.count(b"\n", 0, blank)
        self._index += 1
        self.line += raw.count(b"\n")
        return self._objects.row(line, raw, f"e{self._index}")

    def _elements(self) -> Iterator[bytes]:
        """Each with the blanks around it; when it is given, the next begins after its comma."""
        depth = 0
        for found in self._tokens():
            if found in (b"{", b"["):
                depth += 1
            elif found in (b"}", b"]") and depth:
                depth -= 1
            elif not depth and found in (b",", b"]", b"}"):
                raw = self._taken(before=len(found))
                if found != b",":
                    self._inside = f"after {self._inside}"
                if raw.strip(_SPACE) or found == b",":
                    yield raw
                if found != b",":
                    return

    def _tokens(self) -> Iterator[bytes]:
        while True:
            token = _TOKEN.search(self._buffer, self._at)
            if token is not None and token[0] != b'"':
                self._at = token.end()
                yield token[0]
                continue
            self._at = token.start() if token else len(self._buffer)
            self._more()

    def _taken(self, before: int = 0) -> bytes:
        """What was looked at, without the last bytes; the next element begins here."""
        raw = self._buffer[self._from : self._at - before]
        self._from = self._at
        return raw

    def _more(self) -> None:
        if len(self._buffer) - self._from > MAX_ELEMENT_BYTES:
            raise Unreadable(_TOO_LONG)
        if not self._grown():
            raise Unreadable("the file breaks off before the end of its list")

    def _grown(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._base += self._from
        self._at -= self._from
        self._buffer, self._from = self._buffer[self._from :] + chunk, 0
        return True

    def _leave(self) -> None:
        """What comes after a list alone would be lost without a word."""
        rest: bytes | None = self._buffer[self._from :]
        while self._inside == "after list" and rest is not None:
            if rest.strip(_SPACE):
                raise Unreadable("there is more after the end of the list")
            rest = next(self._chunks, None)

    def _enter(self) -> bytes | None:
        """Up to the first element of the list. An object without data is a record itself, and is returned."""
        depth, name = 0, b""
        while not self._buffer[self._from :].strip(_SPACE):
            if not self._grown():
                self._inside = "after object"
                return None
        for found in self._tokens():
            if found == b"[" and (not depth or (depth == 1 and name in DATA_NAMES)):
                self._inside = "object" if depth else "list"
                self.line += self._taken().count(b"\n")
                return None
            if found in (b"{", b"["):
                depth += 1
            elif found in (b"}", b"]"):
                depth -= 1
                if depth <= 0:
                    return self._taken()
            elif depth == 1:
                name = b"" if found == b"," else name or found[1:-1]
        raise AssertionError("tokens end with an error, not by themselves")
