"""The pages of one Parquet column: levels and texts, one page in memory at a time. Pure.

Codecs: none, Snappy, gzip, Brotli, Zstandard, LZ4 raw. Encodings of byte arrays: plain, dictionary, both deltas.
Source: Apache Parquet's Encodings.md and parquet.thrift.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any

from .records import Unreadable
from .sources import Ranges
from .thrift import Compact, Short

PAGE_LIMIT = 64 * 1024 * 1024
"""Of a page, packed and unpacked. Writers aim at 1 MB."""
_NUMBERS = 4_000_000
"""Values of one page at most, where they need no bytes of their own."""
_AHEAD = 1024 * 1024
_HEADER_LIMIT = 1024 * 1024
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_PLAIN, _PLAIN_DICTIONARY, _RLE, _BIT_PACKED, _DELTA_LENGTHS, _DELTA_TEXTS, _DICTIONARY_INDEX = 0, 2, 3, 4, 6, 7, 8

Entry = tuple[int, int, bytes | None]
"""Repetition level, definition level, value where it is defined."""


@dataclass(frozen=True)
class Chunk:
    """One column of one row group."""

    start: int
    end: int
    codec: int
    values: int
    max_definition: int
    max_repetition: int


@dataclass(frozen=True)
class _Page:
    header: dict[int, Any]
    at: int
    """Place of its body."""
    end: int

    @property
    def kind(self) -> int:
        return int(self.header.get(1, -1))


class Window:
    """Reads ahead within one column, so that small pages share a request."""

    def __init__(self, ranges: Ranges, end: int) -> None:
        self._ranges, self._end = ranges, min(end, ranges.size)
        self._start, self._body = 0, b""

    def read(self, start: int, length: int) -> bytes:
        if start + length > self._end:
            raise Unreadable("a page goes on beyond its column")
        if not self._start <= start <= start + length <= self._start + len(self._body):
            self._start = start
            self._body = self._ranges.read(start, min(max(length, _AHEAD), self._end - start))
        return self._body[start - self._start : start - self._start + length]

    def header(self, start: int) -> tuple[dict[int, Any], int]:
        length = 4096
        while True:
            length = min(length, self._end - start)
            compact = Compact(self.read(start, length))
            try:
                return compact.struct(), start + compact.at
            except Short:
                if length >= min(_HEADER_LIMIT, self._end - start):
                    raise Unreadable("the header of a page breaks off") from None
                length *= 8


def entries(ranges: Ranges, chunk: Chunk, skip: int = 0) -> Iterator[Entry]:
    """Every value with its levels. `skip`: so many rows of a column without repetition are left out, unread."""
    window, dictionary, told = Window(ranges, chunk.end), list[bytes](), 0
    at = chunk.start
    while told < chunk.values:
        page = _page(window, at)
        at = page.end
        if page.kind == _DICTIONARY:
            dictionary = list(_plain(_body(window, page, chunk.codec), int(page.header[7][1])))
        elif page.kind in (_DATA, _DATA_V2):
            count = _count(page)
            told += count
            if not chunk.max_repetition and skip >= count:
                skip -= count
                continue
            yield from islice(_entries(window, page, chunk, dictionary), skip, None)
            skip = 0


def _page(window: Window, at: int) -> _Page:
    header, body = window.header(at)
    packed, size = header.get(3), header.get(2)
    if not isinstance(packed, int) or not isinstance(size, int) or not (0 <= packed <= PAGE_LIMIT >= size >= 0):
        raise Unreadable(f"a page has no size, or more than {PAGE_LIMIT // 1024**2} MB")
    return _Page(header, body, body + packed)


def _count(page: _Page) -> int:
    count = page.header.get(5 if page.kind == _DATA else 8, {}).get(1)
    if not isinstance(count, int) or count <= 0:
        raise Unreadable("a page says that it holds no values")
    return count


def _entries(window: Window, page: _Page, chunk: Chunk, dictionary: list[bytes]) -> Iterator[Entry]:
    if page.kind == _DATA:
        repetitions, definitions, body, encoding = _first_version(window, page, chunk)
    else:
        repetitions, definitions, body, encoding = _second_version(window, page, chunk)
    values = _values(body, encoding, dictionary)
    for _, repetition, definition in zip(range(_count(page)), repetitions, definitions, strict=False):
        yield repetition, definition, _next(values) if definition == chunk.max_definition else None


def _next(values: Iterator[bytes]) -> bytes:
    value = next(values, None)
    if value is None:
        raise Unreadable("a page holds fewer values than it says")
    return value


Parted = tuple[Iterator[int], Iterator[int], bytes, int]


def _first_version(window: Window, page: _Page, chunk: Chunk) -> Parted:
    header, body = page.header[5], _body(window, page, chunk.codec)
    levels = []
    for highest, encoding in ((chunk.max_repetition, header.get(4)), (chunk.max_definition, header.get(3))):
        level, body = _leading(body, highest, encoding, _count(page))
        levels.append(level)
    return levels[0], levels[1], body, int(header[2])


def _leading(body: bytes, highest: int, encoding: int, count: int) -> tuple[Iterator[int], bytes]:
    if not highest:
        return repeat(0), body
    width = highest.bit_length()
    if encoding == _BIT_PACKED:  # of writers before 2014: the highest bit first
        length = (count * width + 7) // 8
        return _bits_from_above(body[:length], width), body[length:]
    length = int.from_bytes(body[:4], "little")
    return _hybrid(body[4 : 4 + length], width), body[4 + length :]


def _second_version(window: Window, page: _Page, chunk: Chunk) -> Parted:
    header, raw = page.header[8], window.read(page.at, page.end - page.at)
    repeated, defined = int(header.get(6, 0)), int(header.get(5, 0))
    if not 0 <= repeated + defined <= len(raw) or min(repeated, defined) < 0:
        raise Unreadable("the levels of a page are longer than the page")
    levels, body = raw[: repeated + defined], raw[repeated + defined :]
    if header.get(7, True):
        body = _unpacked(body, chunk.codec, int(page.header[2]) - len(levels))
    repetitions = _hybrid(levels[:repeated], chunk.max_repetition.bit_length())
    definitions = _hybrid(levels[repeated:], chunk.max_definition.bit_length())
    zero: Iterator[int] = repeat(0)
    return (
        repetitions if chunk.max_repetition else zero,
        definitions if chunk.max_definition else zero,
        body,
        int(header[4]),
    )


def _values(body: bytes, encoding: int, dictionary: list[bytes]) -> Iterator[bytes]:
    if encoding == _PLAIN:
        return _plain(body)
    if encoding in (_PLAIN_DICTIONARY, _DICTIONARY_INDEX):
        return _looked_up(body, dictionary)
    if encoding == _DELTA_LENGTHS:
        return _delta_lengths(body)
    if encoding == _DELTA_TEXTS:
        return _delta_texts(body)
    raise Unreadable(f"a page has the encoding {encoding}, which texts do not have")


def _plain(body: bytes, count: int | None = None) -> Iterator[bytes]:
    at, end = 0, len(body)
    while at + 4 <= end and (count is None or count > 0):
        length = int.from_bytes(body[at : at + 4], "little")
        at += 4 + length
        if at > end:
            raise Unreadable("a text goes on beyond its page")
        yield body[at - length : at]
        count = None if count is None else count - 1


def _looked_up(body: bytes, dictionary: list[bytes]) -> Iterator[bytes]:
    width = body[0] if body else 0
    for index in _hybrid(body[1:], width):
        if index >= len(dictionary):
            raise Unreadable("a page names a text that its dictionary does not hold")
        yield dictionary[index]


def _hybrid(body: bytes, width: int) -> Iterator[int]:
    """Runs of one value, and groups of eight packed ones, least bit first."""
    if width > 32:
        raise Unreadable(f"numbers of {width} bits are too wide")
    at, wide, mask = 0, (width + 7) // 8, (1 << width) - 1
    while at < len(body):
        run, at = _varint(body, at)
        if run & 1:
            for _ in range(run >> 1):
                if at >= len(body) and width:
                    return
                packed = int.from_bytes(body[at : at + width], "little")
                at += width
                yield from [packed >> shift & mask for shift in range(0, 8 * width, width)] if width else [0] * 8
        else:
            value = int.from_bytes(body[at : at + wide], "little")
            at += wide
            yield from repeat(value, run >> 1)


def _bits_from_above(body: bytes, width: int) -> Iterator[int]:
    bits = "".join(f"{byte:08b}" for byte in body)
    return (int(bits[at : at + width], 2) for at in range(0, len(bits) - width + 1, width))


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(body) and shift < 64:
        byte = body[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
    raise Unreadable("a page holds a number without an end")


def _zigzag(body: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(body, at)
    return (number >> 1) ^ -(number & 1), at


def _deltas(body: bytes, at: int = 0) -> tuple[list[int], int]:
    """DELTA_BINARY_PACKED: a first value, then blocks of differences over the least of them."""
    block, at = _varint(body, at)
    minis, at = _varint(body, at)
    total, at = _varint(body, at)
    value, at = _zigzag(body, at)
    if not minis or block % minis or total > _NUMBERS:
        raise Unreadable("a page of differences has no order")
    numbers = [value] if total else []
    each = block // minis
    while len(numbers) < total:
        least, at = _zigzag(body, at)
        widths = body[at : at + minis]
        at += minis
        if len(widths) < minis or max(widths) > 64:
            raise Unreadable("a page of differences breaks off")
        for width in widths:
            if len(numbers) >= total:
                break
            length = each * width // 8
            if at + length > len(body):
                raise Unreadable("a page of differences breaks off")
            for number in _packed(body[at : at + length], width, min(each, total - len(numbers))):
                value += least + number
                numbers.append(value)
            at += length
    return numbers, at


def _packed(body: bytes, width: int, count: int) -> Iterator[int]:
    """Bit-packed numbers, least bit first, eight at a time."""
    mask = (1 << width) - 1
    for group in range(0, count, 8):
        packed = int.from_bytes(body[group // 8 * width : (group // 8 + 1) * width], "little")
        yield from (packed >> place * width & mask for place in range(min(8, count - group)))


def _delta_lengths(body: bytes, at: int = 0) -> Iterator[bytes]:
    lengths, at = _deltas(body, at)
    for length in lengths:
        if length < 0 or at + length > len(body):
            raise Unreadable("a text goes on beyond its page")
        yield body[at : at + length]
        at += length


def _delta_texts(body: bytes) -> Iterator[bytes]:
    """Each text shares a beginning with the one before it."""
    shared, at = _deltas(body)
    before = b""
    for length, rest in zip(shared, _delta_lengths(body, at), strict=False):
        if not 0 <= length <= len(before):
            raise Unreadable("a text shares more with the one before it than that has")
        before = before[:length] + rest
        yield before


def _body(window: Window, page: _Page, codec: int) -> bytes:
    return _unpacked(window.read(page.at, page.end - page.at), codec, int(page.header[2]))


def _unpacked(body: bytes, codec: int, size: int) -> bytes:
    if codec == 0:
        return body
    if codec not in CODECS:
        raise Unreadable(f"the file is packed by codec {codec}, which is not known here")
    if not 0 <= size <= PAGE_LIMIT:
        raise Unreadable("a page has no size")
    unpacked = CODECS[codec](body, size)
    if len(unpacked) != size:
        raise Unreadable("a page does not unpack to the size that it names")
    return unpacked


def _gzip(body: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj(47).decompress(body, size + 1)
    except zlib.error as error:
        raise Unreadable(f"a page is damaged ({error})") from None


def _by(name: str, into: str) -> Callable[[bytes, int], bytes]:
    def unpack(body: bytes, size: int) -> bytes:
        import cramjam  # in the functions' asset, not in the gateway's

        output = bytearray(size)
        try:
            written = getattr(getattr(cramjam, name), into)(body, output)
        except Exception as error:  # it has one class for what is damaged, and others for what is too long
            raise Unreadable(f"a page is damaged ({error})") from None
        return bytes(output[:written])

    return unpack


CODECS: dict[int, Callable[[bytes, int], bytes]] = {
    1: _by("snappy", "decompress_raw_into"),
    2: _gzip,
    4: _by("brotli", "decompress_into"),
    6: _by("zstd", "decompress_into"),
    7: _by("lz4", "decompress_block_into"),
}
"""By their number in parquet.thrift."""
