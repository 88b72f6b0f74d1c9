"""Archives for the tests: honest ones by zipfile, and a writer of single records that lies wherever it is told to."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image


def read_of(body: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: body[offset : offset + length]


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return out.getvalue()


def picture(
    value: int = 0, format: str = "PNG", size: tuple[int, int] = (8, 8), mode: str = "L", **options: Any
) -> bytes:
    out = io.BytesIO()
    image = Image.new("L", size, value % 256).convert(mode)
    if value > 255 and mode == "L":  # different bytes for each number
        image.putpixel((0, 0), value // 256 % 256)
    image.save(out, format, **options)
    return out.getvalue()


@dataclass
class Entry:
    """One member as it is written; None is what is true. `local` overrides fields of the local header alone."""

    name: bytes
    body: bytes = b""
    method: int = 0
    flags: int = 0
    made: int = 3 << 8 | 20
    attributes: int = 0o100644 << 16
    crc: int | None = None
    stored: int | None = None
    size: int | None = None
    header: int | None = None
    extra: bytes = b""
    packed: bytes | None = None
    """Its bytes as they lie, where the body would be too large to hold."""
    local: Mapping[str, Any] = field(default_factory=dict)
    disk: int = 0
    absent: bool = False
    """Only the directory speaks of it; its local header is another's."""


@dataclass
class Written:
    """An archive made of entries; the fields of the end may be overridden."""

    entries: Sequence[Entry]
    comment: bytes = b""
    after: bytes = b""
    before: bytes = b""
    between: bytes = b""
    end: Mapping[str, int] = field(default_factory=dict)

    def __bytes__(self) -> bytes:
        out, central = bytearray(self.before), bytearray()
        for entry in self.entries:
            data = _packed(entry)
            header = len(out) if entry.header is None else entry.header
            if not entry.absent:
                out += _local(entry, data) + data
            central += _central(entry, data, header)
        told = {"disk": 0, "first": 0, "here": len(self.entries), "count": len(self.entries)}
        told |= {"length": len(central), "offset": len(out), "comment": len(self.comment), **self.end}
        end = struct.pack("<4s4H2LH", b"PK\5\6", *told.values())
        return bytes(out + central + self.between + end + self.comment + self.after)


def _packed(entry: Entry) -> bytes:
    if entry.packed is not None:
        return entry.packed
    if entry.method != 8:
        return entry.body
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(entry.body) + engine.flush()


def _told(entry: Entry, data: bytes) -> dict[str, Any]:
    told: dict[str, Any] = {"flags": entry.flags, "method": entry.method, "crc": zlib.crc32(entry.body)}
    told |= {"stored": len(data), "size": len(entry.body), "name": entry.name, "extra": entry.extra}
    given = {"crc": entry.crc, "stored": entry.stored, "size": entry.size}
    return told | {name: value for name, value in given.items() if value is not None}


def _local(entry: Entry, data: bytes) -> bytes:
    t = _told(entry, data) | dict(entry.local)
    head = (t.get("mark", b"PK\3\4"), 20, t["flags"], t["method"], 0, 33, t["crc"], t["stored"], t["size"])
    return struct.pack("<4s5H3L2H", *head, len(t["name"]), len(t["extra"])) + t["name"] + t["extra"]


def _central(entry: Entry, data: bytes, header: int) -> bytes:
    t = _told(entry, data)
    head = (b"PK\1\2", entry.made, 20, t["flags"], t["method"], 0, 33, t["crc"], t["stored"], t["size"])
    tail = (len(entry.name), len(entry.extra), 0, entry.disk, 0, entry.attributes, header)
    return struct.pack("<4s6H3L5H2L", *head, *tail) + entry.name + entry.extra


def zip64(entries: Sequence[Entry], **end: int) -> bytes:
    """As `Written`, its end in ZIP64 form; `end` overrides fields of the ZIP64 end."""
    plain = bytes(Written(entries))
    body, last = plain[:-22], plain[-22:]
    _, _, _, _, count, length, offset, _ = struct.unpack("<4s4H2LH", last)
    told = {"size": 44, "made": 45, "need": 45, "disk": 0, "first": 0, "here": count, "count": count}
    told |= {"length": length, "offset": offset, **end}
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", *told.values())
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(body), 1)
    masked = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return body + end64 + locator + masked
