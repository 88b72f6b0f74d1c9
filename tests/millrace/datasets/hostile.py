"""Hostile archives, made by rule: each with the class of its refusal. `all_of()` gives over 200 of them."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any

from tests.millrace.datasets.archives import Entry, Written, picture, zip64, zipped

PNG = picture(1)
Hostile = tuple[str, bytes, set[str]]
"""Name, archive, and the refusals that are right."""


def _good(name: bytes = b"cat/1.png", **more: object) -> Entry:
    return Entry(name, PNG, **more)  # type: ignore[arg-type]


def names() -> Iterator[Hostile]:
    bad = [
        (b"../evil.png", "traversal"),
        (b"cat/../../evil.png", "traversal"),
        (b"/etc/passwd.png", "traversal"),
        (b"C:/windows/x.png", "traversal"),
        (b"c:evil.png", "traversal"),
        (b"cat/..", "traversal"),
        (b"cat\\..\\evil.png", "name"),
        (b"..\\evil.png", "name"),
        (b"\\\\server\\share.png", "name"),
        (b"cat/\0.png", "name"),
        (b"cat/1.png\0.exe", "name"),
        (b"cat//1.png", "name"),
        (b"cat/./1.png", "name"),
        (b"", "name"),
        (b"a" * 1025, "name"),
        ("cat/\u202egnp.exe".encode(), "name"),
        (b"cat/\x7f.png", "name"),
    ]
    bad += [(b"cat/" + bytes([code]) + b".png", "name") for code in range(1, 32)]
    for number, (name, kind) in enumerate(bad):
        yield f"name {number}", bytes(Written([_good(), Entry(name, PNG)])), {kind}
    yield "not UTF-8", bytes(Written([Entry(b"cat/\xff\xfe.png", PNG, flags=0x800)])), {"name"}
    for one, other in ((b"cat/a.png", b"cat/a.png"), (b"./cat/a.png", b"cat/a.png"), (b"cat", b"cat/")):
        second = Entry(other, b"" if other.endswith(b"/") else PNG)
        yield f"twice {one!r}", bytes(Written([Entry(one, PNG), second])), {"duplicate"}
    unicode = [("cat/\u00e4.png", "cat/a\u0308.png")]
    for one, other in unicode:
        yield (
            "twice by composition",
            bytes(Written([Entry(one.encode(), PNG, flags=0x800), Entry(other.encode(), PNG, flags=0x800)])),
            {"duplicate"},
        )


def kinds() -> Iterator[Hostile]:
    for mode in (0o120777, 0o010644, 0o020644, 0o060644, 0o140644):
        for made in (3, 19):
            entry = Entry(b"cat/link.png", b"/etc/passwd", attributes=mode << 16, made=made << 8)
            yield f"kind {mode:o} {made}", bytes(Written([_good(), entry])), {"link"}
    for flags in (0x1, 0x40, 0x41, 0x2000, 0x2001):
        yield f"encrypted {flags:x}", bytes(Written([_good(), _good(b"cat/2.png", flags=flags)])), {"encrypted"}
    yield "a folder with content", bytes(Written([Entry(b"cat/", PNG)])), {"lying-size"}
    yield "another disk", bytes(Written([_good(disk=3)])), {"split-archive"}


def sizes() -> Iterator[Hostile]:
    for name, lie in {
        "stored less": {"size": len(PNG) + 1},
        "stored more": {"size": len(PNG) - 1},
        "into the directory": {"stored": 10_000, "size": 10_000},
        "masked": {"size": 0xFFFFFFFF, "stored": 0xFFFFFFFF},
    }.items():
        yield name, bytes(Written([_good(**lie)])), {"lying-size"}
    deflated = Entry(b"cat/1.png", b"\0" * 1000, 8, size=50_000_000)
    yield "more than deflate can", bytes(Written([deflated])), {"lying-size"}
    padded = zlib.compressobj(9, zlib.DEFLATED, -15)
    loose = padded.compress(PNG) + padded.flush() + bytes(100_000)
    yield "far more than it inflates to", bytes(Written([Entry(b"cat/1.png", PNG, 8, packed=loose)])), {"lying-size"}
    for size in (4, 2**31, 0xFFFFFFFE):
        yield (
            f"inflates to other than {size}",
            bytes(Written([Entry(b"cat/1.png", PNG * 9, 8, size=size)])),
            {"lying-size"},
        )
    masked = {"size": 0xFFFFFFFF}
    for number, extra in enumerate(
        (b"", b"\1\0\4\0abcd", b"\1\0\0\0", b"\1\0\x08\0" + b"\xff" * 8, (b"\1\0\x08\0" + b"\1" * 8) * 2)
    ):
        yield f"zip64 field {number}", bytes(Written([_good(extra=extra, **masked)])), {"lying-size"}


def bombs() -> Iterator[Hostile]:
    small, part = _zeros(300), _zeros(30)
    yield "one flat bomb", bytes(Written([_flat(b"cat/1.png", small, 300)])), {"bomb"}
    for count in (12, 30, 60):
        members = [_flat(b"cat/%d.png" % n, part, 30) for n in range(count)]
        yield f"a bomb in {count} parts", bytes(Written(members)), {"bomb"}
    for count in (2, 10, 250, 2000):
        others = [_flat(b"cat/%d.png" % n, part, 30, header=0, absent=True) for n in range(1, count)]
        yield (
            f"overlap {count}",
            bytes(Written([_flat(b"cat/0.png", part, 30), *others])),
            {"overlap", "bomb", "lying-size"},
        )
    quoted = Entry(b"cat/0.png", PNG * 3)
    inside = Entry(b"cat/1.png", PNG, header=40, absent=True)
    yield "one inside of another", bytes(Written([quoted, inside])), {"overlap"}


def _zeros(mebibytes: int) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join(engine.compress(b"\0" * 2**20) for _ in range(mebibytes)) + engine.flush()


def _flat(name: bytes, packed: bytes, mebibytes: int, **more: Any) -> Entry:
    return Entry(name, method=8, packed=packed, size=mebibytes * 2**20, **more)


def ends() -> Iterator[Hostile]:
    plain = Written([_good(), _good(b"cat/2.png")])
    whole = bytes(plain)
    for name, lie, kind in (
        ("count more", {"count": 3, "here": 3}, {"lying-count"}),
        ("count less", {"count": 1, "here": 1}, {"lying-count"}),
        ("absurd count", {"count": 0xFFFE, "here": 0xFFFE}, {"lying-count"}),
        ("counts differ", {"here": 1}, {"split-archive"}),
        ("another disk", {"disk": 1}, {"split-archive"}),
        ("begins elsewhere", {"first": 2}, {"split-archive"}),
        ("offset before", {"offset": 5}, {"displaced"}),
        ("offset far", {"offset": 2**31}, {"displaced"}),
        ("length", {"length": 10}, {"displaced"}),
        ("masked without zip64", {"offset": 0xFFFFFFFF}, {"zip64"}),
        ("count masked without zip64", {"count": 0xFFFF, "here": 0xFFFF}, {"zip64"}),
    ):
        yield f"end {name}", bytes(Written(plain.entries, end=lie)), kind
    yield "bytes after the end", whole + b"junk", {"trailing-bytes"}
    yield "bytes between", bytes(Written(plain.entries, between=b"x" * 30)), {"displaced"}
    inner = whole[-22:]
    yield "an end in the comment", bytes(Written(plain.entries, comment=b"hi" + inner)), {"two-ends"}
    yield "an archive in the comment", bytes(Written(plain.entries, comment=whole)), {"two-ends"}
    yield "empty", bytes(Written([])), {"empty"}
    yield "no bytes", b"", {"not-a-zip"}
    yield "no zip", b"GIF89a" + bytes(400), {"not-a-zip"}
    for cut in range(1, 22, 2):
        yield f"cut by {cut}", whole[:-cut], {"not-a-zip", "trailing-bytes"}
    for start in (3, 40, 90):
        yield f"cut in front by {start}", whole[start:], {"displaced"}
    yield "prefix", b"#!/bin/sh\n" + whole, {"displaced"}


def zip64_ends() -> Iterator[Hostile]:
    entries = [_good()]
    for name, lie, kind in (
        ("absurd count", {"count": 2**40, "here": 2**40}, {"too-many-members"}),
        ("huge directory", {"length": 2**62}, {"displaced", "too-many-members"}),
        ("offset", {"offset": 2**63}, {"displaced"}),
        ("size", {"size": 2**60}, {"zip64"}),
        ("size small", {"size": 4}, {"zip64"}),
        ("disk", {"disk": 7}, {"split-archive", "two-ends"}),
        ("counts differ", {"here": 9}, {"split-archive"}),
        ("count", {"here": 2, "count": 2}, {"lying-count"}),
        ("none", {"here": 0, "count": 0}, {"empty", "lying-count"}),
    ):
        yield f"zip64 {name}", zip64(entries, **lie), kind
    whole = zip64(entries)
    at = whole.rindex(b"PK\6\7")
    for name, locator in (
        ("outside", struct.pack("<4sLQL", b"PK\6\7", 0, 2**50, 1)),
        ("elsewhere", struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)),
        ("disks", struct.pack("<4sLQL", b"PK\6\7", 0, at - 56, 2)),
        ("disk", struct.pack("<4sLQL", b"PK\6\7", 1, at - 56, 1)),
    ):
        yield f"zip64 locator {name}", whole[:at] + locator + whole[at + 20 :], {"zip64"}
    disagreeing = whole[:-22] + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5, 5, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    yield "zip64 two ends", disagreeing, {"two-ends"}


def local_headers() -> Iterator[Hostile]:
    for name, lie in {
        "name": {"name": b"dog/1.png"},
        "longer name": {"name": b"cat/1.png.exe"},
        "method": {"method": 8},
        "size": {"size": 7},
        "stored": {"stored": 7},
        "crc": {"crc": 1},
        "encrypted": {"flags": 1},
        "mark": {"mark": b"PK\1\2"},
        "no mark": {"mark": b"\0\0\0\0"},
    }.items():
        yield f"local {name}", bytes(Written([_good(local=lie)])), {"two-stories"}
    long = {"extra": b"\0" * 400}
    entries = [_good(local=long), _good(b"cat/2.png")]
    shifted = bytes(Written(entries))
    yield "local extra", shifted.replace(b"\0" * 400, b"", 1), {"displaced", "two-stories", "overlap"}


def damaged(seed: int, count: int) -> Iterator[Hostile]:
    """A good archive with bytes of its records changed: it is refused, or no member of it says another thing."""
    draw = random.Random(seed)
    whole = bytearray(zipped({f"{name}/{n}.png": picture(n) for name in ("cat", "dog") for n in range(3)}))
    at = whole.index(b"PK\1\2")
    for number in range(count):
        body = bytearray(whole)
        for _ in range(draw.randrange(1, 5)):
            body[draw.randrange(at, len(body))] = draw.randrange(256)
        yield f"damaged {number}", bytes(body), set()


def among_good(count: int) -> Iterator[Hostile]:
    """One bad member somewhere among good ones: it is found wherever it stands."""
    draw = random.Random(11)
    for number in range(count):
        members = [_good(b"dog/%d.png" % n) for n in range(30)]
        bad, kind = draw.choice(
            [
                (Entry(b"../x.png", PNG), "traversal"),
                (Entry(b"dog/7.png", PNG), "duplicate"),
                (Entry(b"dog/l.png", b"/", attributes=0o120777 << 16), "link"),
                (_good(b"dog/e.png", flags=1), "encrypted"),
                (_good(b"dog/s.png", size=9), "lying-size"),
                (_good(b"dog/t.png", local={"name": b"cat/t.png"}), "two-stories"),
                (Entry(b"dog/o.png", b"", header=draw.randrange(9), absent=True), "overlap"),
                (Entry(b"dog/n\0.png", PNG), "name"),
            ]
        )
        members.insert(draw.randrange(31), bad)
        yield f"among good ones {number}", bytes(Written(members)), {kind}


@cache
def all_of() -> tuple[Hostile, ...]:
    made = (names(), kinds(), sizes(), bombs(), ends(), zip64_ends(), local_headers(), among_good(70))
    return tuple(chain.from_iterable(made))
