"""A ZIP64 archive that is never anywhere: every byte of it is computed when it is asked for.

Members are stored, all of one size and full of zeros; names are of one length. So each record's place is arithmetic,
and an archive of 100 GB costs as much memory as one of 1 MB. It counts what is read of it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

CLASSES = 100
_NAME = "class-%02d/%08d.jpg"
_NAME_BYTES = len(_NAME % (0, 0))
_LOCAL_BYTES = 30 + _NAME_BYTES
_CENTRAL_BYTES = 46 + _NAME_BYTES + 12


@dataclass
class Sparse:
    """Callable as `directory.Read`."""

    members: int
    each: int
    """Bytes of a member."""
    requests: int = field(default=0, init=False)
    fetched_bytes: int = field(default=0, init=False)

    @cached_property
    def crc(self) -> int:
        crc, left, zeros = 0, self.each, bytes(1 << 20)
        while left:
            crc, left = zlib.crc32(zeros[:left], crc), left - min(left, len(zeros))
        return crc

    @property
    def directory(self) -> int:
        return self.members * (_LOCAL_BYTES + self.each)

    @property
    def size(self) -> int:
        return self.directory + self.members * _CENTRAL_BYTES + 56 + 20 + 22

    def name(self, number: int) -> bytes:
        return (_NAME % (number % CLASSES, number)).encode()

    def __call__(self, offset: int, length: int) -> bytes:
        self.requests += 1
        end = min(offset + length, self.size)
        found = b"".join(self._pieces(offset, end))
        self.fetched_bytes += len(found)
        return found

    def _pieces(self, at: int, end: int) -> Iterator[bytes]:
        while at < end:
            start, piece = self._record(at)
            part = piece[at - start : end - start]
            yield part
            at += len(part)

    def _record(self, at: int) -> tuple[int, bytes]:
        """The record that holds this byte, and where it begins; of a member's zeros at most a mebibyte."""
        span, directory = _LOCAL_BYTES + self.each, self.directory
        if at < directory:
            number, inside = divmod(at, span)
            if inside < _LOCAL_BYTES:
                return number * span, self._local(number)
            return at, bytes(min(span - inside, 1 << 20))
        number = (at - directory) // _CENTRAL_BYTES
        if number < self.members:
            last = min(number + 512, self.members)
            return directory + number * _CENTRAL_BYTES, b"".join(map(self._central, range(number, last)))
        return directory + self.members * _CENTRAL_BYTES, self._end()

    def _local(self, number: int) -> bytes:
        head = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 33, self.crc, self.each, self.each, _NAME_BYTES, 0)
        return head + self.name(number)

    def _central(self, number: int) -> bytes:
        head = (b"PK\1\2", 3 << 8 | 45, 45, 0, 0, 0, 33, self.crc, self.each, self.each)
        tail = (_NAME_BYTES, 12, 0, 0, 0, 0o100644 << 16, 0xFFFFFFFF)
        extra = struct.pack("<HHQ", 1, 8, number * (_LOCAL_BYTES + self.each))
        return struct.pack("<4s6H3L5H2L", *head, *tail) + self.name(number) + extra

    def _end(self) -> bytes:
        length, offset = self.members * _CENTRAL_BYTES, self.directory
        end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, self.members, self.members, length, offset)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, offset + length, 1)
        return end64 + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


class File:
    """The archive as a seekable file, as `zipfile` wants it."""

    def __init__(self, archive: Sparse) -> None:
        self.archive, self.at = archive, 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.archive.size)[whence]
        if self.at < 0:
            raise OSError("before the beginning")
        return self.at

    def read(self, length: int = -1) -> bytes:
        found = self.archive(self.at, self.archive.size - self.at if length < 0 else length)
        self.at += len(found)
        return found
