"""Lines of a byte stream with their numbers and places; a line can be given back. Pure.

Memory is bounded by the longest line that is taken; of a longer one the bytes are dropped as they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .records import Bad
from .sources import Source

MAX_LINE_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Line:
    number: int
    start: int
    """Place of its first byte, and of the first after its end."""
    end: int
    raw: bytes | None
    """Without the line's end; None where it was too long."""

    def bytes(self) -> bytes:
        if self.raw is None:
            raise Bad(f"a line of more than {MAX_LINE_BYTES // 1024 // 1024} MB")
        return self.raw

    def text(self) -> str:
        raw = self.bytes()
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            at = f"byte 0x{raw[error.start]:02X} at position {error.start + 1}"
            raise Bad(f"not UTF-8 ({at}); save the file as UTF-8") from None


class Lines(Iterator[Line]):
    """`offset` and `number` are those of the next line."""

    def __init__(self, source: Source, offset: int = 0, number: int = 1) -> None:
        self.offset, self.number = offset, number
        self._source = _split(source, offset, number)
        self._returned: deque[Line] = deque()

    def __next__(self) -> Line:
        line = self._returned.popleft() if self._returned else next(self._source)
        self.offset, self.number = line.end, line.number + 1
        return line

    def give_back(self, lines: Sequence[Line]) -> None:
        self._returned.extendleft(reversed(lines))
        if lines:
            self.offset, self.number = lines[0].start, lines[0].number


def _split(source: Source, start: int, number: int) -> Iterator[Line]:
    pending, size, overlong, place = list[bytes](), 0, False, start
    for chunk in source.chunks(start):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            size += len(end)
            whole = None if overlong or size > MAX_LINE_BYTES else b"".join((*pending, end)) if pending else end
            yield _line(number, place, place + size + 1, whole)
            number, place = number + 1, place + size + 1
            size, overlong = 0, False
            if pending:
                pending = []
        size += len(rest)
        overlong = overlong or size > MAX_LINE_BYTES
        pending = [] if overlong else [*pending, rest] if rest else pending
    if size:
        yield _line(number, place, place + size, None if overlong else b"".join(pending))


def _line(number: int, start: int, end: int, raw: bytes | None) -> Line:
    if raw is None:
        return Line(number, start, end, None)
    if number == 1:
        raw = raw.removeprefix(_BOM)
    return Line(number, start, end, raw[:-1] if raw[-1:] == b"\r" else raw)
