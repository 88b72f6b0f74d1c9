"""Where a dropped file's bytes come from: ranges of an object, and what was packed inside it. Pure.

A source gives its bytes from any place on. What is compressed or recoded has no places to begin at: to go on there it
is read again from its start, so its unpacked size is limited.
"""

from __future__ import annotations

import codecs
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

from .records import Unreadable

BLOCK_BYTES = 4 * 1024 * 1024
"""What is asked for at once: one request for most drops, and a small part of 512 MB."""
UNPACKED_LIMIT = 8 * 1024**3
"""Of one compressed file. A slice that goes on inside reads it again up to there, at some 200 MB a second."""
RATIO_LIMIT, RATIO_FROM = 200, 16 * 1024 * 1024
"""Text packs 3 to 10 times; what packs 200 times is a bomb, or one row over and over."""
SPOOL_LIMIT = 512 * 1024 * 1024
"""Of a compressed file that must be read out of order."""


class Source(Protocol):
    def chunks(self, start: int = 0) -> Iterator[bytes]: ...


class Ranges(Source, Protocol):
    """A source that gives any part of itself."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, length: int) -> bytes:
        """Exactly so many bytes; Unreadable where they are not there."""
        ...


@dataclass(frozen=True)
class Held:
    """Bytes in memory."""

    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, start: int, length: int) -> bytes:
        return _whole(self.body[start : start + length], length)

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        yield from blocks(self, start)


@dataclass(frozen=True)
class Part:
    """A stretch of another source."""

    whole: Ranges
    start: int
    size: int

    def read(self, start: int, length: int) -> bytes:
        if start < 0 or start + length > self.size:
            raise Unreadable("the file is shorter than it says")
        return self.whole.read(self.start + start, length)

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        yield from blocks(self, start)


def blocks(ranges: Ranges, start: int) -> Iterator[bytes]:
    for at in range(start, ranges.size, BLOCK_BYTES):
        yield ranges.read(at, min(BLOCK_BYTES, ranges.size - at))


@dataclass(frozen=True)
class Changed:
    """A source behind a decoder: its bytes as they come out, counted from the first."""

    change: Callable[[], Iterator[bytes]]

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        for chunk in self.change():
            if start < len(chunk):
                yield chunk[start:] if start else chunk
            start = max(0, start - len(chunk))


def gunzipped(source: Source) -> Changed:
    return Changed(lambda: _gunzip(source))


def inflated(source: Source, size: int, crc: int) -> Changed:
    """A deflated member of an archive, which must have this size and checksum."""
    return Changed(lambda: _inflate(source, size, crc))


def recoded(source: Source) -> Changed:
    """UTF-16 with a byte order mark, as spreadsheets write it, as UTF-8."""
    return Changed(lambda: _recode(source))


def _gunzip(source: Source) -> Iterator[bytes]:
    inflate, packed, unpacked = zlib.decompressobj(31), 0, 0
    for chunk in source.chunks():
        packed += len(chunk)
        while chunk:
            if inflate.eof:
                chunk = chunk.lstrip(b"\0")  # what fills up a tape's block
                if not chunk:
                    break
                inflate = zlib.decompressobj(31)
            for part in _parts(inflate, chunk):
                unpacked += len(part)
                _limit(packed, unpacked)
                yield part
            chunk = inflate.unused_data
    if not inflate.eof:
        raise Unreadable("the gzip file breaks off before its end")


def _inflate(source: Source, size: int, crc: int) -> Iterator[bytes]:
    inflate, packed, unpacked, sum = zlib.decompressobj(-15), 0, 0, 0
    for chunk in source.chunks():
        packed += len(chunk)
        for part in _parts(inflate, chunk):
            unpacked, sum = unpacked + len(part), zlib.crc32(part, sum)
            _limit(packed, unpacked)
            if unpacked > size:
                raise Unreadable("the file is longer than its archive says")
            yield part
    if not inflate.eof or unpacked != size:
        raise Unreadable("the file breaks off before its end")
    if sum != crc:
        raise Unreadable("the file is damaged: its checksum is another than its archive says")


def _parts(inflate: Any, chunk: bytes) -> Iterator[bytes]:
    """What a chunk unpacks to, never more than a block at once."""
    try:
        yield inflate.decompress(chunk, BLOCK_BYTES)
        while inflate.unconsumed_tail and not inflate.eof:
            yield inflate.decompress(inflate.unconsumed_tail, BLOCK_BYTES)
    except zlib.error as error:
        raise Unreadable(f"the compressed data is damaged ({error})") from None


def _limit(packed: int, unpacked: int) -> None:
    if unpacked > UNPACKED_LIMIT:
        raise Unreadable(
            f"a compressed file may unpack to {UNPACKED_LIMIT // 1024**3} GB; drop a larger one unpacked or in parts"
        )
    if unpacked > RATIO_FROM and unpacked > RATIO_LIMIT * packed:
        raise Unreadable(f"the file unpacks to more than {RATIO_LIMIT} times its size, as bombs do")


def _recode(source: Source) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
    for chunk in source.chunks():
        yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


@dataclass(eq=False)
class _Spool:
    file: IO[bytes]
    size: int = 0

    def read(self, start: int, length: int) -> bytes:
        self.file.seek(start)
        return _whole(self.file.read(length), length)

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        yield from blocks(self, start)


def spooled(source: Source) -> Ranges:
    """A compressed source laid out on disk, so that it can be read out of order."""
    file = tempfile.TemporaryFile()
    spool = _Spool(file)
    weakref.finalize(spool, file.close)
    for chunk in source.chunks():
        spool.size += len(chunk)
        if spool.size > SPOOL_LIMIT:
            limit = SPOOL_LIMIT // 1024**2
            raise Unreadable(f"Parquet inside a compressed file may have {limit} MB; drop it as it is")
        file.write(chunk)
    return spool


def _whole(body: bytes, length: int) -> bytes:
    if len(body) != length:
        raise Unreadable("the file is shorter than it says")
    return body
