"""gzip and ZIP: what is inside is read as if it had been dropped; what is hostile is refused with its reason, soon."""

from __future__ import annotations

import gzip
import io
import random
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable

import pyarrow as pa
import pytest
from millrace.drops import Refusal, sources

from tests.fakes import LONG
from tests.millrace.drops.reading import in_slices, pairs, refusals, rows, whole
from tests.millrace.drops.test_parquet import written

CSV = b"prompt,completion\n" + b"".join(b"draft %d,final %d\n" % (n, n) for n in range(30))
JSONL = b'{"prompt": "one", "completion": "1"}\n{"prompt": "two"}\n'
PARQUET = written(pa.table({"prompt": ["p", "q"], "completion": ["P", "Q"]}))
FORMATS = {"csv": CSV, "jsonl": JSONL, "parquet": PARQUET, "json": b'[{"prompt": "l", "completion": "L"}]'}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_packed_is_read_as_what_is_not(name: str) -> None:
    body = FORMATS[name]

    assert whole(gzip.compress(body)) == whole(body)
    assert pairs(zipped({"a": body})) == pairs(zipped({"a": body}, zipfile.ZIP_STORED)) == pairs(body)
    assert pairs(zipped({"a.gz": gzip.compress(body)})) == pairs(body)


def test_gzip_of_several_parts_and_utf16_inside_are_read_whole() -> None:
    two = gzip.compress(CSV[:100]) + gzip.compress(CSV[100:]) + b"\0" * 512

    assert whole(two) == whole(CSV)
    assert whole(gzip.compress(CSV.decode().encode("utf-16"))) == whole(CSV)


def test_an_archive_tells_rows_and_refusals_of_each_file_and_skips_what_systems_add() -> None:
    added = {"__MACOSX/._a.csv": b"x", ".DS_Store": b"x", "folder/": b"", "Thumbs.db": b"x"}
    body = zipped({"ä b/a.csv": CSV, **added, "b.jsonl": JSONL, "c.csv": CSV})

    told = whole(body)

    assert len(rows(body)) == 61 and len({row.ref for row in rows(body)}) == 61
    assert [r for r in told if isinstance(r, Refusal)] == [
        Refusal(2, refusals(JSONL)[0][1], "b.jsonl"),
    ]


@pytest.mark.parametrize("seed", range(12))
def test_reading_goes_on_inside_of_what_is_packed(seed: int) -> None:
    method = zipfile.ZIP_DEFLATED if seed % 2 else zipfile.ZIP_STORED
    for body in (
        gzip.compress(CSV),
        zipped({**FORMATS, "empty": b"", "bad": b"%PDF", "g": gzip.compress(JSONL)}, method),
    ):
        assert in_slices(body, seed, 7) == whole(body)


def _flagged(body: bytes) -> bytes:
    return body.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01").replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    )


def _overlapping() -> bytes:
    """Two names of one member's bytes."""
    body = bytearray(zipped({"a.csv": CSV, "b.csv": CSV}))
    second = body.rindex(b"PK\x01\x02")
    body[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(body)


def _lying(offset: int, size: int) -> bytes:
    body = bytearray(zipped({"a.csv": CSV}))
    at = body.rindex(b"PK\x01\x02") + offset
    body[at : at + 4] = struct.pack("<I", size)
    return bytes(body)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb": (lambda: gzip.compress(b"\0" * 100_000_000, 1), "as bombs do"),
    "zip bomb": (lambda: zipped({"a": (b"a," * 500_000 + b"\n") * 40}), "as bombs do"),
    "gzip in gzip": (lambda: gzip.compress(gzip.compress(CSV)), "packed twice"),
    "zip in zip": (lambda: zipped({"a.zip": zipped({"a.csv": CSV})}), "not opened"),
    "zip in gzip": (lambda: gzip.compress(zipped({"a.csv": CSV})), "not opened"),
    "encrypted": (lambda: _flagged(zipped({"a.csv": CSV})), "encrypted"),
    "bzip2": (lambda: zipped({"a.csv": CSV}, zipfile.ZIP_BZIP2), "pack it with deflate"),
    "overlap": (_overlapping, "overlap"),
    "longer than said": (lambda: _lying(24, 10), "longer than its archive says"),
    "shorter than said": (lambda: _lying(24, 10**6), "breaks off before its end"),
    "wrong checksum": (lambda: _lying(16, 1), "checksum"),
    "no directory": (lambda: zipped({"a.csv": CSV})[:-30], "damaged"),
    "broken gzip": (lambda: gzip.compress(CSV)[:-20], "breaks off"),
    "damaged gzip": (lambda: gzip.compress(CSV)[:60] + b"\xff" * 60, "damaged"),
    "office": (lambda: zipped({"[Content_Types].xml": b"<x/>"}), "save the table as CSV"),
    "empty": (lambda: zipped({}), "holds no files"),
    "pdf": (lambda: b"%PDF-1.7 ...", "the file is a PDF; drop CSV, TSV, JSON"),
    "bz2": (lambda: b"BZh91AY", "packed by bzip2"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_or_none_of_ours_is_refused_with_its_reason_soon(name: str) -> None:
    make, says = HOSTILE[name]
    body = make()
    began = time.process_time()
    tracemalloc.start()

    reason = refusals(body)[-1][1]

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert says in reason
    assert peak < 64 * 1024 * 1024
    assert name in ("bomb", "zip bomb") or time.process_time() - began < 2


def test_what_unpacks_to_more_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "UNPACKED_LIMIT", 1000)
    monkeypatch.setattr(sources, "SPOOL_LIMIT", 100)

    assert "drop a larger one unpacked or in parts" in refusals(gzip.compress(CSV * 9))[-1][1]
    assert "drop it as it is" in refusals(gzip.compress(PARQUET))[-1][1]


def test_damaged_archives_are_refused_and_break_nothing() -> None:
    good, draw = zipped({**FORMATS, "g": gzip.compress(JSONL)}), random.Random(1)
    for _ in range(5000 if LONG else 300):
        body = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            body[draw.randrange(len(body))] = draw.choice([0, 1, 127, 255, draw.randrange(256)])
        assert whole(bytes(body[: draw.choice([len(body), draw.randrange(len(body))])]))
