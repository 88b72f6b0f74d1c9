"""Reading a dropped file: bytes in, rows and refusals out, each with the line it began on. Pure.

What a file is, its content says and not its name: CSV, TSV, JSON Lines, a JSON list, Parquet, each also packed by
gzip, and a ZIP of these. Every record of the file is either a Row or a Refusal, never both and never neither. Reading
can stop after any record, and go on there later, in another process, from its mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from .delimited import Delimited
from .json_lines import JsonLines
from .json_list import DATA_NAMES, JsonList
from .records import ROLES, Refusal, Row, Unreadable, layout_of
from .sources import Held, Ranges, Source, gunzipped, recoded, spooled

__all__ = ["FORMATS", "ROLES", "Drop", "Held", "Ranges", "Reader", "Refusal", "Row", "layout_of", "read"]

Mapping_ = Mapping[str, str]


class Reader(Protocol):
    """Rows and refusals in order, once. `mark` is where to go on after the one that was told last."""

    def __iter__(self) -> Iterator[Row | Refusal]: ...
    def mark(self) -> dict[str, Any]: ...
    @property
    def line(self) -> int: ...


_HEAD = 64 * 1024
_FOREIGN = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ": "packed by xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"SQLite format 3": "a database",
    b"ARROW1": "an Arrow file",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"Obj\x01": "an Avro file",
}
_KNOWN = "drop CSV, TSV, JSON, JSON Lines or Parquet, as it is, packed by gzip or in a ZIP"
_DATA = re.compile(rb'"(' + b"|".join(DATA_NAMES) + rb')"\s*:\s*\[\s*[{\]]')


def _parquet(source: Source, mapping: Mapping_, mark: Mapping[str, Any] | None) -> Reader:
    from .parquet import Parquet  # when it is needed: the API looks at drops and reads none

    return Parquet(source if hasattr(source, "read") else spooled(source), mapping, mark)  # type: ignore[arg-type]


def _archive(source: Source, mapping: Mapping_, mark: Mapping[str, Any] | None) -> Reader:
    if not hasattr(source, "read"):
        raise Unreadable("an archive inside a compressed file or an archive is not opened")
    from .archive import Archive

    return Archive(source, mapping, _inside, mark)  # type: ignore[arg-type]


FORMATS: dict[str, Callable[[Source, Mapping_, Mapping[str, Any] | None], Reader]] = {
    "csv": Delimited,
    "jsonl": JsonLines,
    "json": JsonList,
    "parquet": _parquet,
    "zip": _archive,
}
"""A new format is a file beside this one, a line here and one in `recognised`."""


def recognised(head: bytes) -> str:
    """The name of a format, "gzip" or "utf-16", by the first bytes. Unreadable for what is none of ours."""
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        if b"[Content_Types].xml" in head[:4096]:
            raise Unreadable("the file is an Office document; save the table as CSV")
        return "zip"
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:4] in (b"PAR1", b"PARE"):
        return "parquet"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise Unreadable(f"the file is {what}; {_KNOWN}")
    return _text_format(head.removeprefix(b"\xef\xbb\xbf").lstrip())


def _text_format(head: bytes) -> str:
    if head[:1] == b"[":
        return "json"
    if head[:1] != b"{":
        return "csv"
    first, more, _ = head.partition(b"\n")
    laid_out = more and first.rstrip()[-1:] in (b"{", b"[", b",")
    return "json" if laid_out or _DATA.search(first) else "jsonl"


def _open(
    source: Source, mapping: Mapping_, mark: Mapping[str, Any] | None, packed: bool = False, inside: bool = False
) -> Reader:
    name = recognised(_head(source))
    if name in ("gzip", "utf-16"):
        if name == "gzip" and packed:
            raise Unreadable("the file is packed twice")
        changed = gunzipped(source) if name == "gzip" else recoded(source)
        return _open(changed, mapping, mark, packed=packed or name == "gzip", inside=inside)
    if name == "zip" and inside:
        raise Unreadable("an archive inside an archive is not opened")
    return FORMATS[name](source, mapping, mark)


def _inside(source: Source, mapping: Mapping_, mark: Mapping[str, Any] | None) -> Reader:
    return _open(source, mapping, mark, inside=True)


def _head(source: Source) -> bytes:
    head = b""
    for chunk in source.chunks():
        head += chunk[:_HEAD]
        if len(head) >= _HEAD:
            break
    return head


class Drop:
    """A whole dropped file. Where nothing more of it can be read, the last record is a refusal that says why."""

    def __init__(self, source: Ranges, mapping: Mapping_, mark: Mapping[str, Any] | None = None) -> None:
        self._source, self._mapping = source, mapping
        self._mark: dict[str, Any] = dict(mark) if mark else {}
        self._reader: Reader | None = None

    def mark(self) -> dict[str, Any]:
        return {**self._mark, "reader": self._reader.mark()} if self._reader else self._mark

    def __iter__(self) -> Iterator[Row | Refusal]:
        if self._mark.get("ended"):
            return
        try:
            self._reader = _open(self._source, self._mapping, self._mark.get("reader"))
            yield from self._reader
        except Unreadable as error:
            line = self._reader.line if self._reader else 1
            self._reader, self._mark = None, {"ended": True}
            yield Refusal(line, str(error))
        self._reader, self._mark = None, {"ended": True}


def read(source: Ranges, mapping: Mapping_ | None = None) -> Iterator[Row | Refusal]:
    """The whole of a file at once."""
    yield from Drop(source, mapping or {})
