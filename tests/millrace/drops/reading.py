"""What the tests of every format share: a source in pieces, and reading that stops and goes on elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from millrace.drops import Drop, Held, Refusal, Row

Told = list[Row | Refusal]


@dataclass(frozen=True)
class Pieces:
    """Bytes that come in pieces of one size; or, where the size is 0, a stream that can be asked for anew."""

    body: bytes = b""
    size: int = 4096
    stream: Callable[[], Iterator[bytes]] | None = None

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        if self.stream is not None:
            assert not start
            yield from self.stream()
            return
        for at in range(start, len(self.body), self.size):
            yield self.body[at : at + self.size]


def whole(body: bytes, mapping: Mapping[str, str] | None = None) -> Told:
    return list(Drop(Held(body), mapping or {}))


def rows(body: bytes, mapping: Mapping[str, str] | None = None) -> list[Row]:
    return [row for row in whole(body, mapping) if isinstance(row, Row)]


def pairs(body: bytes, mapping: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    return [(row.source, row.target) for row in rows(body, mapping)]


def refusals(body: bytes, mapping: Mapping[str, str] | None = None) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in whole(body, mapping) if isinstance(row, Refusal)]


def in_slices(body: bytes, seed: int, most: int = 4) -> Told:
    """Read a few records, forget everything but the mark as it comes back from JSON, and go on."""
    draw, told, mark = random.Random(seed), Told(), dict[str, Any]()
    while not mark.get("ended"):
        drop = Drop(Held(body), {}, mark)
        records = iter(drop)
        for _ in range(draw.randint(1, most)):
            record = next(records, None)
            if record is None:
                break
            told.append(record)
        mark = orjson.loads(orjson.dumps(drop.mark()))
    return told
