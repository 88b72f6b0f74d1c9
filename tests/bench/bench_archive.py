"""Archives of images: indexing by ranges, entries a second and bytes an image, against two other ways to read a ZIP.

One archive for all arms: 5,000 stored images of 100 KB, served by a reader that makes each byte when it is asked for
and counts requests and bytes. Time is the process's CPU time, the reader's own included. Arms are shuffled in every
round; all must list the same names and sizes before any is timed. Included: finding the directory, every check for
hostile archives, the survey of folders, placing each image, making slices. `zipfile` reads the same directory and
checks none of it; `stream-unzip` has no way round the whole archive; the floor parses the directory's bytes in memory.
"look" is the whole intake with a decoder that does nothing: its requests and bytes are what images are read in place
for. Not included: decoding, which every way needs, and the network. Peers that are not installed are named as absent.
"""

from __future__ import annotations

import random
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from millrace.datasets.indexing import Index
from millrace.datasets.looking import Seen, look_at

from tests.millrace.datasets.sparse import File, Sparse

ROUNDS = 5
MEMBERS = 5_000
EACH = 100_000
FLOOR_TIMES = 20
_END_BYTES = 56 + 20 + 22
_CENTRAL = struct.Struct("<4s6H3L5H2L")
Listed = dict[str, int]


def indexed(archive: Sparse) -> Listed:
    with Index(archive, archive.size) as index:
        plan, layout = index.plan()
        return {item.member.path: item.member.size for items in index.slices(plan, layout) for item in items}


def looked_at(archive: Sparse) -> Listed:
    """Every member is read, checked and hashed."""
    listed: Listed = {}
    with Index(archive, archive.size) as index:
        plan, layout = index.plan()
        for items in index.slices(plan, layout):
            seen = Seen()
            look_at(items, archive, index.directory.offset, _nothing, seen)
            listed |= {row["path"]: row["size"] for row in seen.rows}
    return listed


def _nothing(body: bytes, thumbnail: bool) -> tuple[dict[str, Any], bytes]:
    return {"format": "JPEG", "mode": "RGB", "width": 1, "height": 1, "frames": 1, "turned": False}, b""


def by_zipfile(archive: Sparse) -> Listed:
    with zipfile.ZipFile(File(archive)) as opened:  # type: ignore[arg-type]
        return {info.filename: info.file_size for info in opened.infolist()}


def by_stream_unzip(archive: Sparse) -> Listed:
    read = import_module("stream_unzip").stream_unzip(_streamed(archive))
    return {name.decode(): sum(map(len, chunks)) for name, _, chunks in read}


def _streamed(archive: Sparse) -> Iterator[bytes]:
    for offset in range(0, archive.size, 1 << 20):
        yield archive(offset, 1 << 20)


def parsed(directory: bytes) -> Listed:
    """The floor: names and sizes out of bytes that are there, with no question asked."""
    listed, at = {}, 0
    while at < len(directory):
        fields = _CENTRAL.unpack_from(directory, at)
        begin = at + _CENTRAL.size
        listed[directory[begin : begin + fields[10]].decode()] = fields[9]
        at = begin + fields[10] + fields[11] + fields[12]
    return listed


def arms() -> dict[str, Callable[[Sparse], Listed]]:
    found = {"millrace: index": indexed, "millrace: look": looked_at, "zipfile: index": by_zipfile}
    try:
        import_module("stream_unzip")
        found["stream-unzip: look"] = by_stream_unzip
    except ImportError:
        print("absent: stream-unzip")
    return found


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Raw CPU seconds by arm, requests and bytes of each, and whether the floor held still."""
    todo = arms()
    whole = Sparse(MEMBERS, EACH)
    directory = whole(whole.directory, whole.size - whole.directory - _END_BYTES)
    costs = {name: _cost(name, arm, parsed(directory)) for name, arm in todo.items()}
    samples: dict[str, list[float]] = {name: [] for name in [*todo, "floor: parse"]}
    draw = random.Random(0)
    for _ in range(rounds):
        for name in draw.sample(sorted(samples), len(samples)):
            samples[name].append(_timed(todo.get(name), directory))
    floor = samples["floor: parse"]
    return {
        "seconds": samples,
        "costs": costs,
        "members": MEMBERS,
        "archive_bytes": whole.size,
        "void": max(floor) > 1.2 * min(floor),
    }


def _cost(name: str, arm: Callable[[Sparse], Listed], expected: Listed) -> dict[str, int]:
    archive = Sparse(MEMBERS, EACH)
    if arm(archive) != expected:
        raise SystemExit(f"{name} lists other members than the directory.")
    return {"requests": archive.requests, "bytes": archive.fetched_bytes}


def _timed(arm: Callable[[Sparse], Listed] | None, directory: bytes) -> float:
    archive = Sparse(MEMBERS, EACH)
    archive.crc  # noqa: B018 - computed once, before the clock runs
    start = time.process_time()
    if arm is not None:
        arm(archive)
        return time.process_time() - start
    for _ in range(FLOOR_TIMES):
        parsed(directory)
    return (time.process_time() - start) / FLOOR_TIMES


def table(result: dict[str, Any]) -> str:
    """Entries a second at the median and the worst of the rounds; requests and bytes of one image."""
    head = ("arm", "p50 entries/s", "p99 entries/s", "requests", "requests an image", "bytes an image")
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    members = result["members"]
    for name, seconds in result["seconds"].items():
        p50, p99 = sorted(seconds)[len(seconds) // 2], max(seconds)
        cost = result["costs"].get(name, {"requests": 0, "bytes": 0})
        each = (f"{cost['requests']:,}", f"{cost['requests'] / members:.4f}", f"{cost['bytes'] / members:,.0f}")
        rows.append(f"| {name} | {members / p50:,.0f} | {members / p99:,.0f} | " + " | ".join(each) + " |")
    ratio = result["archive_bytes"] / result["costs"]["millrace: index"]["bytes"]
    return "\n".join([*rows, "", f"Indexing reads {ratio:,.0f} times fewer bytes than the archive has."])
