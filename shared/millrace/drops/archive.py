"""ZIP: each file inside is read as if it had been dropped, one after the other, never two at once. Pure.

Nothing of the directory is trusted: what is encrypted, overlaps, lies about its size or is an archive again is refused
with its name. Names are told and never used.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from .records import Refusal, Row, Unreadable
from .sources import Part, Ranges, Source, inflated

MAX_MEMBERS = 10_000
DIRECTORY_LIMIT = 32 * 1024 * 1024
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1

Opened = Callable[[Source, Mapping[str, str], Mapping[str, Any] | None], Any]


class Archive:
    def __init__(
        self, source: Ranges, mapping: Mapping[str, str], open_inside: Opened, mark: Mapping[str, Any] | None = None
    ) -> None:
        self._source, self._mapping, self._open = source, mapping, open_inside
        begin = mark or {"member": 0, "inside": None, "told": 0}
        self._member, self._mark, self._told = int(begin["member"]), begin["inside"], int(begin["told"])
        self._reader: Any = None
        self.line = 0

    def mark(self) -> dict[str, Any]:
        inside = self._reader.mark() if self._reader else self._mark
        return {"member": self._member, "inside": inside, "told": self._told}

    def __iter__(self) -> Iterator[Row | Refusal]:
        members = _members(self._source)
        while self._member < len(members):
            for record in self._read(self._member, members[self._member]):
                self._told += 1
                yield record
        if not self._told:
            self._told = 1
            yield Refusal(0, "the archive holds no files")

    def _read(self, member: int, info: zipfile.ZipInfo) -> Iterator[Row | Refusal]:
        name = "".join(c if c.isprintable() else "?" for c in info.filename)[:200]
        try:
            self._reader = self._open(_opened(self._source, info), self._mapping, self._mark)
            for record in self._reader:
                if isinstance(record, Refusal):
                    yield replace(record, file=name)
                else:
                    yield replace(record, place=f"{member}:{record.ref}")
            self._next()
        except Unreadable as error:
            line = self._reader.line if self._reader else 0
            self._next()
            yield Refusal(line, str(error), name)

    def _next(self) -> None:
        self._member, self._reader, self._mark = self._member + 1, None, None


def _members(source: Ranges) -> list[zipfile.ZipInfo]:
    try:
        listed = zipfile.ZipFile(_File(source)).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError) as error:
        raise Unreadable(f"the archive is damaged ({error})") from None
    if any(not info.filename for info in listed):
        raise Unreadable("the archive is damaged (it holds a file without a name)")
    files = [info for info in listed if not info.is_dir() and not _of_the_system(info.filename)]
    if len(files) > MAX_MEMBERS:
        raise Unreadable(f"the archive holds {len(files):,} files; at most {MAX_MEMBERS:,} are taken")
    _apart(files)
    return files


def _apart(files: list[zipfile.ZipInfo]) -> None:
    end = 0
    for info in sorted(files, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise Unreadable("files of the archive overlap, as bombs do")
        end = info.header_offset + 30 + info.compress_size


def _of_the_system(name: str) -> bool:
    """What a Mac or a file manager adds by itself."""
    last = name.rsplit("/", 1)[-1]
    return name.startswith("__MACOSX/") or last.startswith(".") or last in ("Thumbs.db", "desktop.ini")


def _opened(source: Ranges, info: zipfile.ZipInfo) -> Source:
    if info.flag_bits & _ENCRYPTED:
        raise Unreadable("the file is encrypted")
    if info.compress_type not in (_STORED, _DEFLATED):
        raise Unreadable("the file is packed in a way that is not known here; pack it with deflate")
    if info.header_offset < 0:
        raise Unreadable("the file is not where the archive says")
    head = source.read(info.header_offset, 30)
    if head[:4] != b"PK\x03\x04":
        raise Unreadable("the file is not where the archive says")
    names, extra = struct.unpack("<HH", head[26:30])
    start = info.header_offset + 30 + names + extra
    if start + info.compress_size > source.size:
        raise Unreadable("the file is shorter than its archive says")
    part = Part(source, start, info.compress_size)
    if info.compress_type == _DEFLATED:
        return inflated(part, info.file_size, info.CRC)
    if info.file_size != info.compress_size:
        raise Unreadable("the file is not as long as its archive says")
    return part


class _File(io.RawIOBase):
    """As much of a file as zipfile needs to read a directory."""

    def __init__(self, source: Ranges) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        at = {0: 0, 1: self._at, 2: self._source.size}[whence] + offset
        if at < 0:
            raise OSError("before the beginning")  # as a file says it; zipfile expects that
        self._at = at
        return at

    def read(self, length: int = -1) -> bytes:
        left = max(0, self._source.size - self._at)
        length = left if length < 0 else min(length, left)
        if length > DIRECTORY_LIMIT:
            raise Unreadable(f"the archive's directory has more than {DIRECTORY_LIMIT // 1024**2} MB")
        body = self._source.read(self._at, length) if length else b""
        self._at += length
        return body
