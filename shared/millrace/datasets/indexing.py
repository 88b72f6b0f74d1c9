"""From an archive's central directory to slices of work. Pure but for the temporary file that the directory waits in.

The directory is fetched once and read twice from the disk: first everything is checked and surveyed, then each member
is placed. Nothing of any member is fetched but a manifest.
"""

from __future__ import annotations

import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import IO, Any

from .directory import (
    DEFLATED,
    STORED,
    Audit,
    Directory,
    HostileArchive,
    Member,
    Read,
    chunks,
    data_offset,
    locate,
    members,
)
from .layout import MAX_MANIFEST_BYTES, Layout, NoLayout, Passed, Placed, Survey, in_order, read_manifest

MAX_IMAGE_BYTES = 64 * 2**20
SLICE_MEMBERS = 2_000
SLICE_BYTES = 256 * 2**20
LISTED = 1_000
"""Of files that are passed over, with their reasons; the rest are counted."""
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}


@dataclass(frozen=True, slots=True)
class Item:
    """A member that is to be looked at, and where it belongs."""

    member: Member
    label: str
    split: str | None
    certain: bool

    def to_list(self) -> list[Any]:
        m = self.member
        told = [m.path, m.header, m.stored, m.size, m.method, m.crc, m.name_bytes, m.name_crc]
        return [*told, self.label, self.split, self.certain]

    @classmethod
    def from_list(cls, told: list[Any]) -> Item:
        return cls(Member(*told[:8]), *told[8:])


@dataclass
class Plan:
    """What is known before any image is looked at."""

    directory: Directory
    layout: str
    root: str
    classes: list[str]
    items: int = 0
    hidden: int = 0
    other: int = 0
    """Files that are no images and claim to be none."""
    rejected: list[dict[str, str]] = field(default_factory=list)
    rejections: int = 0
    warnings: list[dict[str, str]] = field(default_factory=list)

    def reject(self, path: str, reason: str) -> None:
        self.rejections += 1
        if len(self.rejected) < LISTED:
            self.rejected.append({"path": path, "reason": reason})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Index:
    """A checked archive; a context, which holds the directory in a temporary file. HostileArchive, NoLayout."""

    def __init__(self, read: Read, size: int) -> None:
        self.read = read
        self.directory = locate(read, size)
        self.unread: dict[str, str] = {}
        """Tables at the root that may be the manifest and cannot be read -> why."""
        self._spool: IO[bytes] = tempfile.TemporaryFile()

    def __enter__(self) -> Index:
        try:
            self._check()
        except BaseException:
            self._spool.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def _check(self) -> None:
        audit, self.survey = Audit(self.directory), Survey()
        for member in members(self.directory, self._fetched()):
            audit.add(member)
            self.survey.add(member)
        audit.conclude(self.members)

    def _fetched(self) -> Iterator[bytes]:
        for piece in chunks(self.read, self.directory):
            self._spool.write(piece)
            yield piece

    def members(self) -> Iterator[Member]:
        """Every entry, in the directory's order, from the disk."""
        self._spool.seek(0)
        return members(self.directory, iter(lambda: self._spool.read(1 << 20), b""))

    def plan(self) -> tuple[Plan, Layout]:
        """The classes and how a path is placed. NoLayout where nothing tells them."""
        manifest, warnings = self._manifest()
        try:
            layout = self.survey.settle(manifest)
        except NoLayout as error:
            told = "".join(f" {path} might, and is {reason}." for path, reason in self.unread.items())
            raise NoLayout(f"{error}{told}") from error
        classes = in_order(self.survey.classes(layout))
        return Plan(self.directory, layout.kind, layout.root, classes, warnings=warnings), layout

    def _manifest(self) -> tuple[dict[str, Placed] | None, list[dict[str, str]]]:
        for member in self.survey.candidates():
            if member.size > MAX_MANIFEST_BYTES:
                continue
            try:
                if member.method not in (STORED, DEFLATED):
                    raise ValueError(_packed(member))
                body = fetched(self.read, member, self.directory.offset)
            except ValueError as error:
                self.unread[member.path] = str(error)
                continue
            found = read_manifest(body, self.survey.root())
            if found is None or not found[0]:
                continue
            placed, refused = found
            told = [
                {"code": "manifest-line", "text": f"{member.path}, line {each['line']}: {each['reason']}."}
                for each in refused[:LISTED]
            ]
            return placed, told
        return None, []

    def slices(self, plan: Plan, layout: Layout) -> Iterator[list[Item]]:
        """Neighbours that are looked at together; fills in what the plan counts."""
        batch: list[Item] = []
        weight = 0
        for member in self.members():
            if member.path in self.unread:
                plan.reject(member.path, self.unread[member.path])
                continue
            item = _placed(member, layout, plan)
            if item is None:
                continue
            if len(batch) >= SLICE_MEMBERS or weight + member.stored > SLICE_BYTES:
                yield batch
                batch, weight = [], 0
            batch.append(item)
            weight += member.stored
            plan.items += 1
        if batch:
            yield batch


def _placed(member: Member, layout: Layout, plan: Plan) -> Item | None:
    if member.folder:
        return None
    where = layout.place(member.path)
    if isinstance(where, Passed):
        plan.hidden += where.kind == "hidden"
        plan.other += where.kind == "other"
        if where.reason:
            plan.reject(member.path, where.reason)
        return None
    if member.method not in (STORED, DEFLATED):
        plan.reject(member.path, _packed(member))
        return None
    if not 0 < member.size <= MAX_IMAGE_BYTES:
        plan.reject(
            member.path, f"{member.size:,} bytes; 1 to {MAX_IMAGE_BYTES:,} are taken" if member.size else "empty"
        )
        return None
    return Item(member, where.label, where.split, where.certain)


def _packed(member: Member) -> str:
    return f"compressed with {_METHODS.get(member.method, f'method {member.method}')}, not deflate"


def fetched(read: Read, member: Member, limit: int) -> bytes:
    """One small member, whole; as `inflated`."""
    reach = min(member.least_end + 64 * 1024, limit)
    raw = read(member.header, reach - member.header)
    start = data_offset(member, raw)
    return inflated(member, raw[start : start + member.stored])


def inflated(member: Member, stored: bytes) -> bytes:
    """The file's bytes, never more than it claims. ValueError where it is damaged; HostileArchive where it lies."""
    body = stored
    if member.method == DEFLATED:
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            body = engine.decompress(stored, member.size + 1)
        except zlib.error as error:
            raise ValueError(f"damaged: {error}") from error
    if len(body) > member.size:
        raise HostileArchive("lying-size", f"{member.path} inflates to more than the {member.size:,} bytes it claims.")
    if len(body) < member.size:
        raise ValueError(f"damaged: {len(body):,} of {member.size:,} bytes")
    if zlib.crc32(body) != member.crc:
        raise ValueError("damaged: its checksum differs")
    return body


def of_images(read: Read, size: int) -> bool:
    """Whether an archive looks like one of images. False for what is refused: whoever asks has reasons of its own."""
    try:
        with Index(read, size) as index:
            return index.survey.of_images
    except (HostileArchive, NoLayout):
        return False


def counted(pairs: Iterable[tuple[str, str | None]]) -> dict[str, dict[str, int]]:
    """{class: {split: images}}; "unsplit" where the archive names none."""
    found: dict[str, Counter[str]] = {}
    for label, split in pairs:
        found.setdefault(label, Counter())[split or "unsplit"] += 1
    return {label: dict(counts) for label, counts in found.items()}
