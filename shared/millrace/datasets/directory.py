"""What a ZIP says that it holds, read by ranges and believed in nothing. Pure: ranges of bytes in, members out.

Two or three ranges of any archive are read: its end, the ZIP64 end where there is one, and the central directory.
Everything that could make two readers see two archives, or one reader write or allocate what it should not, refuses
the archive with a reason. Memory: 24 bytes for each member. Source: PKWARE APPNOTE 6.3.10; Info-ZIP's extra fields;
Fifield 2019, "A better zip bomb".
"""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from ..errors import InvalidInput

Read = Callable[[int, int], bytes]
"""(offset, length) -> so many bytes, fewer only at the end."""

MAX_ARCHIVE_BYTES = 100 * 2**30
MAX_MEMBERS = 2_000_000
MAX_DIRECTORY_BYTES = 512 * 2**20
MAX_NAME_BYTES = 1024
MAX_RATIO = 100
"""Of what all members inflate to over the whole archive; and of any single one that is larger than BOMB_FLOOR."""
BOMB_FLOOR = 256 * 2**20
_DEFLATE_RATIO = 1032
"""What deflate can reach at most. Source: zlib's technical details."""
_LOOSE_BYTES = 64 * 2**10
"""What a clumsy packer may add to bytes that do not shrink, besides a thousandth: deflate's own blocks add far less."""
STORED, DEFLATED = 0, 8

_END, _END64, _LOCATOR = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_TAIL_BYTES = 22 + 0xFFFF + 20
_CHUNK_BYTES = 4 * 2**20
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_BYTES = _LOCAL.size
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_LATER_SIZES, _UTF8 = 0x8, 0x800
_MASKED = 0xFFFFFFFF
_UNIX, _DARWIN = 3, 19
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_DRIVE = re.compile(r"^[A-Za-z]:")


class HostileArchive(InvalidInput):
    """The archive is refused as a whole; `code` names the class of what is wrong with it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def reason(self) -> dict[str, str]:
        return {"code": self.kind, "text": str(self)}


@dataclass(frozen=True)
class Directory:
    """Where the central directory lies."""

    offset: int
    length: int
    count: int
    archive_bytes: int


@dataclass(frozen=True, slots=True)
class Member:
    """One entry, a folder where its path ends in '/'. `header`: offset of its local header."""

    path: str
    header: int
    stored: int
    size: int
    method: int
    crc: int
    name_bytes: int
    name_crc: int

    @property
    def folder(self) -> bool:
        return self.path.endswith("/")

    @property
    def least_end(self) -> int:
        """Its last byte lies here or later: the local extra field is not known yet."""
        return self.header + _LOCAL_BYTES + self.name_bytes + self.stored


def locate(read: Read, size: int) -> Directory:
    """Find the one central directory that every careful reader finds."""
    if size > MAX_ARCHIVE_BYTES:
        raise HostileArchive("too-large", f"The archive has {size:,} bytes; at most {MAX_ARCHIVE_BYTES:,} are taken.")
    if size < 22:
        raise HostileArchive("not-a-zip", f"The file has {size} bytes and is no ZIP archive.")
    start = max(0, size - _TAIL_BYTES)
    tail = read(start, size - start)
    at = _end(tail)
    disk, first, here, count, length, offset, _ = struct.unpack_from("<4H2LH", tail, at + 4)
    told, follows = (disk, first, here, count, length, offset), start + at
    if at >= 20 and tail[at - 20 : at - 16] == _LOCATOR:
        told, follows = _end64(read, tail, at, start, told)
    elif _MASKED in (length, offset) or 0xFFFF in (here, count):
        raise HostileArchive("zip64", "The end says ZIP64 and there is no ZIP64 end.")
    disk, first, here, count, length, offset = told
    if disk or first or here != count:
        raise HostileArchive("split-archive", "The archive is one part of several; send it in one piece.")
    if offset + length != follows:
        raise HostileArchive(
            "displaced", f"The central directory should end where the end record begins, at {follows:,}, and does not."
        )
    _sane(count, length)
    return Directory(offset, length, count, size)


def _end(tail: bytes) -> int:
    """Offset of the end record in the tail. It is the last thing of the file, and there is one only."""
    found = [
        match.start()
        for match in re.finditer(re.escape(_END), tail)
        if match.start() + 22 <= len(tail)
        and match.start() + 22 + int.from_bytes(tail[match.start() + 20 : match.start() + 22], "little") == len(tail)
    ]
    if len(found) > 1:
        raise HostileArchive("two-ends", "The comment holds a second end record, so that readers would disagree.")
    if found:
        return found[0]
    if _END in tail:
        raise HostileArchive("trailing-bytes", "After the end of the archive there are bytes that belong to nothing.")
    raise HostileArchive("not-a-zip", "This is no ZIP archive, or its end is missing: was it cut off?")


def _end64(
    read: Read, tail: bytes, at: int, start: int, told: tuple[int, ...]
) -> tuple[tuple[int, int, int, int, int, int], int]:
    disk, offset64, disks = struct.unpack_from("<LQL", tail, at - 16)
    locator = start + at - 20
    if disk or disks != 1 or offset64 + 56 > locator:
        raise HostileArchive("zip64", "The ZIP64 locator points outside of the archive.")
    raw = read(offset64, 56)
    if len(raw) < 56 or raw[:4] != _END64:
        raise HostileArchive("zip64", "Where the ZIP64 end should be there is something else.")
    length64, _, _, *rest = struct.unpack_from("<Q2H2L4Q", raw, 4)
    if offset64 + 12 + length64 != locator:
        raise HostileArchive("zip64", "The ZIP64 end does not lead up to its locator.")
    for short, full, mask in zip(told, rest, (0xFFFF,) * 4 + (_MASKED,) * 2, strict=True):
        if short not in (mask, full):
            raise HostileArchive("two-ends", f"The two end records disagree: {short:,} and {full:,}.")
    disk, first, here, count, length, offset = rest
    return (disk, first, here, count, length, offset), offset64


def _sane(count: int, length: int) -> None:
    if count > MAX_MEMBERS:
        raise HostileArchive("too-many-members", f"The archive claims {count:,} members; at most {MAX_MEMBERS:,}.")
    if length > MAX_DIRECTORY_BYTES:
        raise HostileArchive("too-many-members", f"The central directory has {length:,} bytes.")
    if count * _CENTRAL.size > length:
        raise HostileArchive("lying-count", f"{count:,} members do not fit into {length:,} bytes of directory.")
    if not count:
        raise HostileArchive("empty", "The archive holds nothing.")


def chunks(read: Read, directory: Directory) -> Iterator[bytes]:
    """The central directory's bytes, in order."""
    for done in range(0, directory.length, _CHUNK_BYTES):
        wanted = min(_CHUNK_BYTES, directory.length - done)
        piece = read(directory.offset + done, wanted)
        if len(piece) != wanted:
            raise HostileArchive("cut-off", "The central directory ends before it should.")
        yield piece


def members(directory: Directory, pieces: Iterable[bytes]) -> Iterator[Member]:
    """Every entry, each checked by itself, in the directory's order. `pieces`: what `chunks` gave."""
    buffer, at, seen = b"", 0, 0
    for piece in pieces:
        buffer, at = buffer[at:] + piece, 0
        while (following := _whole(buffer, at)) is not None:
            yield _member(buffer, at, directory)
            at, seen = following, seen + 1
    if at != len(buffer) or seen != directory.count:
        raise HostileArchive("lying-count", f"The end counts {directory.count:,} members, the directory {seen:,}.")


def _whole(buffer: bytes, at: int) -> int | None:
    """Where the entry that begins here ends, if all of it is in the buffer."""
    if at + _CENTRAL.size > len(buffer):
        return None
    if buffer[at : at + 4] != b"PK\1\2":
        raise HostileArchive("lying-count", "The central directory holds something that is no entry.")
    lengths = struct.unpack_from("<3H", buffer, at + 28)
    end = at + _CENTRAL.size + sum(lengths)
    return end if end <= len(buffer) else None


def _member(buffer: bytes, at: int, directory: Directory) -> Member:
    fields = _CENTRAL.unpack_from(buffer, at)
    _, made, _, flags, method, _, _, crc, stored, size, name_len, extra_len, _, disk, _, attributes, header = fields
    begin = at + _CENTRAL.size
    raw, extra = buffer[begin : begin + name_len], buffer[begin + name_len : begin + name_len + extra_len]
    path = name_of(raw, extra, flags)
    if flags & _ENCRYPTED:
        raise HostileArchive("encrypted", f"{shown(path)} is encrypted; send it without a password.")
    size, stored, header, disk = _large(path, extra, size, stored, header, disk)
    if disk:
        raise HostileArchive("split-archive", f"{shown(path)} lies in another part of the archive.")
    _no_link(path, made >> 8, attributes)
    member = Member(path, header, stored, size, method, crc, name_len, zlib.crc32(raw))
    _believable(member, directory)
    return member


def _large(path: str, extra: bytes, *narrow: int) -> tuple[int, int, int, int]:
    """Size, stored, header and disk: those that are masked stand in the ZIP64 field, in this order."""
    masks = (_MASKED, _MASKED, _MASKED, 0xFFFF)
    if not any(value == mask for value, mask in zip(narrow, masks, strict=True)):
        return narrow[0], narrow[1], narrow[2], narrow[3]
    fields = [body for kind, body in _extras(extra) if kind == 0x0001]
    if len(fields) != 1:
        raise HostileArchive("lying-size", f"{shown(path)} says ZIP64 and has {len(fields)} ZIP64 fields.")
    body, found = fields[0], []
    for value, mask in zip(narrow, masks, strict=True):
        width = 4 if mask == 0xFFFF else 8
        if value == mask:
            if len(body) < width:
                raise HostileArchive("lying-size", f"{shown(path)} has a ZIP64 field that is too short.")
            value, body = int.from_bytes(body[:width], "little"), body[width:]
        found.append(value)
    return found[0], found[1], found[2], found[3]


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """(id, body) of each extra field; what is malformed after the last good one is padding to most writers."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if at + 4 + length > len(extra):
            return
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def name_of(raw: bytes, extra: bytes, flags: int) -> str:
    """A member's path as its maker meant it, NFC; HostileArchive where it is one that no honest maker writes.

    Without the UTF-8 flag: Info-ZIP's Unicode field, else UTF-8 where it is that, as macOS writes it, else cp437.
    """
    if not raw or len(raw) > MAX_NAME_BYTES:
        raise HostileArchive("name", f"A member has a name of {len(raw)} bytes; 1 to {MAX_NAME_BYTES} are taken.")
    text = unicodedata.normalize("NFC", _decoded(raw, extra, flags)).removeprefix("./")
    if bad := _FORBIDDEN.search(text):
        raise HostileArchive("name", f"The name {shown(text)} holds the character U+{ord(bad.group()):04X}.")
    parts = text.removesuffix("/").split("/")
    if text.startswith("/") or _DRIVE.match(text) or ".." in parts:
        raise HostileArchive("traversal", f"The name {shown(text)} leads out of the archive.")
    if "" in parts or "." in parts:
        raise HostileArchive("name", f"The name {shown(text)} is not a plain path.")
    return text


def _decoded(raw: bytes, extra: bytes, flags: int) -> str:
    if not flags & _UTF8:
        for kind, body in _extras(extra):
            if kind == 0x7075 and len(body) > 5 and int.from_bytes(body[1:5], "little") == zlib.crc32(raw):
                raw = body[5:]
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if flags & _UTF8:
            raise HostileArchive("name", f"A name says that it is UTF-8 and is not: {raw[:80]!r}.") from error
        return raw.decode("cp437")


def _no_link(path: str, made_on: int, attributes: int) -> None:
    kind = stat.S_IFMT(attributes >> 16) if made_on in (_UNIX, _DARWIN) else 0
    if kind == stat.S_IFLNK:
        raise HostileArchive("link", f"{shown(path)} is a link; only files and folders are taken.")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise HostileArchive("link", f"{shown(path)} is neither a file nor a folder.")


def _believable(member: Member, directory: Directory) -> None:
    name, stored, size = shown(member.path), member.stored, member.size
    if member.least_end > directory.offset:
        raise HostileArchive("lying-size", f"{name} reaches {member.least_end:,}, into the central directory.")
    if member.folder and (size or stored > 2):
        raise HostileArchive("lying-size", f"{name} is a folder with {size:,} bytes in it.")
    if member.method == STORED and stored != size:
        raise HostileArchive("lying-size", f"{name} is stored as it is, in {stored:,} bytes, and claims {size:,}.")
    if member.method == DEFLATED and size > stored * _DEFLATE_RATIO:
        raise HostileArchive("lying-size", f"{name} claims {size:,} bytes out of {stored:,}, which deflate cannot.")
    if member.method == DEFLATED and stored > size + size // 1000 + _LOOSE_BYTES:
        raise HostileArchive("lying-size", f"{name} claims {size:,} bytes and lies in {stored:,}.")
    if size > BOMB_FLOOR and size > stored * MAX_RATIO:
        raise HostileArchive("bomb", f"{name} would inflate {stored:,} bytes to {size:,}.")


@dataclass
class Audit:
    """What only all members together show: overlaps, two of one name, and a bomb in small parts."""

    directory: Directory
    total: int = 0
    _starts: array[int] = field(default_factory=lambda: array("Q"))
    _ends: array[int] = field(default_factory=lambda: array("Q"))
    _names: array[int] = field(default_factory=lambda: array("q"))
    _ordered: bool = True

    def add(self, member: Member) -> None:
        if self._ends and member.header < self._ends[-1]:
            self._ordered = False
        self._starts.append(member.header)
        self._ends.append(member.least_end)
        self._names.append(hash(member.path.removesuffix("/")))
        self.total += member.size

    def conclude(self, again: Callable[[], Iterable[Member]]) -> None:
        """HostileArchive where something is wrong. `again` lists the members once more, to name one."""
        if self.total > BOMB_FLOOR and self.total > self.directory.archive_bytes * MAX_RATIO:
            raise HostileArchive(
                "bomb", f"The members would inflate {self.directory.archive_bytes:,} bytes to {self.total:,}."
            )
        self._apart(again)
        names = sorted(self._names)
        for one, other in pairwise(names):
            if one == other:
                path = next(m.path for m in again() if hash(m.path.removesuffix("/")) == one)
                raise HostileArchive("duplicate", f"Two members are called {shown(path)}.")

    def _apart(self, again: Callable[[], Iterable[Member]]) -> None:
        if self._ordered:
            return
        order = sorted(range(len(self._starts)), key=self._starts.__getitem__)
        for one, other in pairwise(order):
            if self._starts[other] < self._ends[one]:
                path = next(m.path for n, m in enumerate(again()) if n == other)
                raise HostileArchive("overlap", f"{shown(path)} begins inside of another member.")


def data_offset(member: Member, header: bytes) -> int:
    """How many bytes past `member.header` its data begins. `header`: the archive's bytes from there on.

    HostileArchive where the local header tells another story than the central directory.
    """
    if len(header) < _LOCAL_BYTES + member.name_bytes:
        raise HostileArchive("cut-off", f"The local header of {shown(member.path)} is cut off.")
    mark, _, flags, method, _, _, crc, stored, size, name_len, extra_len = _LOCAL.unpack_from(header)
    raw = header[_LOCAL_BYTES : _LOCAL_BYTES + name_len]
    if mark != b"PK\3\4":
        raise HostileArchive("two-stories", f"Where {shown(member.path)} should begin there is something else.")
    same_name = name_len == member.name_bytes and zlib.crc32(raw) == member.name_crc
    if not same_name or method != member.method or flags & _ENCRYPTED:
        raise HostileArchive("two-stories", f"The local header of {shown(member.path)} names another file or method.")
    told = [(crc, member.crc), (stored, member.stored), (size, member.size)]
    later = bool(flags & _LATER_SIZES)
    if any(here != there and here != _MASKED and not (later and here == 0) for here, there in told):
        raise HostileArchive("two-stories", f"The local header of {shown(member.path)} has other sizes or another sum.")
    return _LOCAL_BYTES + int(name_len) + int(extra_len)


def shown(path: str) -> str:
    """A name as it may stand in a sentence: short, and with nothing that moves a cursor."""
    return ascii(path[:120]) if not path.isprintable() else f"'{path[:120]}'"
