"""Files that are large, and rows that are hostile: memory stays flat, and every row is told once."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from millrace import intake as intake_module
from millrace.contract import DropState
from millrace.drops.sources import BLOCK_BYTES
from millrace.intake import Dropped
from millrace.tenants import Tenant

from tests.fakes import LONG, FakeDynamo, FakeS3, World

ACME = Tenant("acme")
ROW = 1000
SIZE = 5 * 1024**3 if LONG else 50 * 1024**2
SLICE_S = 30.0
MB = 1024 * 1024


class Endless(FakeS3):
    """One CSV of rows of ROW bytes, of which any range can be made; it counts what is asked for."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.rows = size // ROW - 1
        self.size, self.gets, self.bytes = (self.rows + 1) * ROW, 0, 0

    def _row(self, number: int) -> bytes:
        if number == 0:
            return b"prompt,completion," + b"x" * (ROW - 19) + b"\n"
        text = b"draft %d " % number * 25
        return (b"%d %b,final %d," % (number, text[:500], number)).ljust(ROW - 1, b".") + b"\n"

    def get_object(self, *, Key: str, Range: str = "", **given: Any) -> Any:
        if not Key.endswith("large.csv"):
            return super().get_object(Key=Key, Range=Range, **given)
        first, last = (int(n) for n in Range.removeprefix("bytes=").split("-"))
        last = min(last, self.size - 1)
        body = b"".join(map(self._row, range(first // ROW, last // ROW + 1)))[first % ROW :][: last - first + 1]
        self.gets, self.bytes = self.gets + 1, self.bytes + len(body)
        told = f"bytes {first}-{last}/{self.size}"
        return {"ContentLength": len(body), "ContentRange": told, "Body": Held(body)}


class Held:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self) -> bytes:
        return self._body


class Counting(FakeDynamo):
    """Rows are counted by their place in the file, and not kept."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.seen = bytearray(rows + 2)

    def batch_execute_statement(self, *, Statements: list[Any]) -> Any:
        for statement in Statements:
            (ref,) = (v["S"] for v in statement["Parameters"] if str(v.get("S")).startswith("dr") and "#" in v["S"])
            self.seen[int(ref.split("#")[1])] += 1
        return {"Responses": [{"TableName": "table"} for _ in Statements]}


class Ticking:
    """A clock that moves a little whenever it is looked at: a slice ends after so many blocks, whatever the machine."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        self.now += SLICE_S / (400 if LONG else 12)
        return self.now


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_file_of_any_size_passes_by_slices_in_flat_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Ticking()
    monkeypatch.setattr(intake_module, "time", clock)
    s3 = Endless(SIZE)
    world = World(dynamo=Counting(s3.rows), s3=s3)
    dropped, slices, resident = Dropped("drops", "drop/acme/large.csv", "v1"), 0, list[int]()

    while True:
        report = world.intake.collect(ACME, dropped, clock.now + SLICE_S)
        slices += 1
        resident.append(_resident())
        if report and report.state is not DropState.PROCESSING:
            break

    assert report and (report.accepted, report.duplicate, report.rejected) == (s3.rows, 0, 0)
    assert world.dynamo.seen[2:] == b"\1" * s3.rows, "each row was sent once, and no slice began over"
    assert slices >= 4
    assert s3.bytes <= s3.size + slices * 2 * BLOCK_BYTES
    assert max(resident) - resident[0] < 64 * MB
    print(
        f"{s3.size / MB:,.0f} MB, {slices} slices, {s3.gets} requests, {(max(resident) - resident[0]) / MB:.0f} MB more"
    )


GOOD = 0.04
HOSTILE: tuple[bytes, ...] = (
    b"a",
    b"a,b,c",
    b",",
    b" ,b",
    b"a,",
    b"same,same",
    b"a\0,b",
    b"\xff\xfe,b",
    b"\xc3,b",
    b"a\x07,b",
    b'"a"b,c',
    b'x"y"z,"',
    b"," * 60,
    b"\xed\xa0\x80,b",
    b"x" * 61_000 + b",y",
)
HOSTILE_JSON: tuple[bytes, ...] = (
    b"a",
    b"{",
    b"[]",
    b"NaN",
    b'{"prompt": NaN, "completion": "b"}',
    b'{"prompt": "a"}',
    b'{"prompt": "a", "completion": null}',
    b'{"prompt": 1e999, "completion": "b"}',
    b'{"prompt": "\\ud800", "completion": "b"}',
    b'{"prompt": "\xff", "completion": "b"}',
    b'{"prompt": "a\\u0000", "completion": "b"}',
    b'{"messages": [{"role": "user", "content": "x"}]}',
    b"[" * 5000,
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b'{"prompt": "x", "completion": "x"}',
)


@pytest.mark.parametrize(("head", "hostile"), [(b"prompt,completion\n", HOSTILE), (b"", HOSTILE_JSON)])
def test_of_a_hundred_thousand_hostile_rows_each_is_accepted_or_refused_with_its_line(
    head: bytes, hostile: tuple[bytes, ...]
) -> None:
    draw, world = random.Random(5), World()
    rows: list[bytes] = []
    wanted: Counter[int] = Counter()
    lines: set[int] = set()
    first = 2 if head else 1
    for line in range(first, 100_000 + first):
        if draw.random() < GOOD or line == first:
            number = draw.randrange(3000)
            wanted[number] += 1
            pair = (b"draft %d" % number, b"final %d" % number)
            rows.append(b",".join(pair) if head else b'{"prompt": "%b", "completion": "%b"}' % pair)
        else:
            rows.append(hostile[int(draw.random() ** 3 * len(hostile))])
            lines.add(line)
    body = head + b"\n".join(rows)
    version = world.s3.put_object(Bucket="drops", Key="drop/acme/a", Body=body)["VersionId"]

    report = world.intake.collect(ACME, Dropped("drops", "drop/acme/a", version))

    assert report and report.accepted == len(wanted) and report.rejected == len(lines)
    assert report.accepted + report.duplicate + report.rejected == 100_000
    runs = [orjson.loads(run) for key in report.parts for run in world.store.get(key).splitlines()]
    assert all(run["reason"] for run in runs)
    told = [line for run in runs for line in range(run["line"], run["to"] + 1)]
    assert len(told) == len(lines) and set(told) == lines
    assert sum(group["count"] for group in report.groups) == len(lines)
