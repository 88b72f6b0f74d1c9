"""One slice of an archive, looked at image by image. Pure but for the reader and the decoder that it is handed."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .directory import HostileArchive, Member, Read, data_offset
from .indexing import Item, inflated
from .layout import suffix
from .ranges import Run, runs

Look = Callable[[bytes, bool], tuple[Mapping[str, Any], bytes]]
"""(bytes, whether a thumbnail is wanted) -> (what it is, thumbnail)."""
THUMBNAILS = 8
"""Of each class, at most."""
EXAMPLES = 5
"""Paths that a remark names."""
_EXTENSIONS = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif"),
    "PNG": ("png",),
    "WEBP": ("webp",),
    "BMP": ("bmp", "dib"),
    "GIF": ("gif",),
}


@dataclass
class Seen:
    """What a slice leaves, or has so far. `refused`: the archive as a whole is.

    `looked`: members that have been looked at; all of them have headers before `reached`.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    other: int = 0
    remarks: dict[str, dict[str, Any]] = field(default_factory=dict)
    thumbnails: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[str, str] | None = None
    looked: int = 0
    reached: int = 0
    requests: int = 0
    fetched_bytes: int = 0

    def remark(self, code: str, path: str) -> None:
        told = self.remarks.setdefault(code, {"count": 0, "examples": []})
        told["count"] += 1
        if len(told["examples"]) < EXAMPLES:
            told["examples"].append(path)


def look_at(
    items: Sequence[Item], read: Read, limit: int, look: Look, seen: Seen, stop: Callable[[], bool] = lambda: False
) -> bool:
    """Go on where `seen` stands; whether this was the end of it. `limit`: where the last member must have ended.

    `stop` is asked after each image: an archive of little bytes may take long.
    """
    placed = {item.member.header: item for item in items if item.member.header >= seen.reached}
    drawn = Counter({label: len(found) for label, found in seen.thumbnails.items()})
    try:
        for run in runs([item.member for item in placed.values()], limit):
            for member, body in _bodies(run, read, limit, seen):
                if body is not None:
                    _take(placed[member.header], body, look, drawn, seen)
                seen.looked, seen.reached = seen.looked + 1, member.header + 1
                if stop():
                    return seen.looked == len(items)
    except HostileArchive as hostile:
        seen.refused = hostile.reason
    return True


def _bodies(run: Run, read: Read, limit: int, seen: Seen) -> Iterator[tuple[Member, tuple[bytes, int] | None]]:
    """(member, (its bytes, offset of its data)), None for one that is damaged."""
    raw = read(run.start, run.end - run.start)
    for number, member in enumerate(run.members):
        at = member.header - run.start
        start = member.header + data_offset(member, raw[at : at + 30 + member.name_bytes])
        following = run.members[number + 1].header if number + 1 < len(run.members) else limit
        if start + member.stored > following:
            raise HostileArchive("overlap", f"{member.path} reaches into what follows it.")
        stored = raw[start - run.start : start - run.start + member.stored]
        if len(stored) < member.stored:  # a local header with a long extra field
            stored = read(start, member.stored)
        try:
            body = inflated(member, stored)
        except ValueError as error:
            seen.rejected.append({"path": member.path, "reason": str(error)})
            yield member, None
        else:
            yield member, (body, start)


def _take(item: Item, body: tuple[bytes, int], look: Look, drawn: Counter[str], seen: Seen) -> None:
    content, offset = body
    wanted = drawn[item.label] < THUMBNAILS
    found, thumbnail = look(content, wanted)
    if "error" in found:
        if item.certain:
            seen.rejected.append({"path": item.member.path, "reason": _why(found["error"])})
        else:
            seen.other += 1
        return
    if thumbnail:
        drawn[item.label] += 1
        seen.thumbnails.setdefault(item.label, []).append(base64.b64encode(thumbnail).decode())
    _remarks(item, found, seen)
    seen.rows.append(_row(item, content, offset, found))


def _row(item: Item, content: bytes, offset: int, found: Mapping[str, Any]) -> dict[str, Any]:
    member = item.member
    return {
        "path": member.path,
        "label": item.label,
        "split": item.split,
        "offset": offset,
        "stored": member.stored,
        "size": member.size,
        "method": member.method,
        "sha256": hashlib.sha256(content).hexdigest(),
        "width": found["width"],
        "height": found["height"],
        "mode": found["mode"],
    }


def _remarks(item: Item, found: Mapping[str, Any], seen: Seen) -> None:
    path = item.member.path
    marks = {
        "wrong-extension": suffix(path) not in _EXTENSIONS[found["format"]],
        "animated": found["frames"] > 1,
        "cmyk": found["mode"] == "CMYK",
        "sixteen-bit": str(found["mode"]).startswith("I"),
        "turned": found["turned"],
        f"format-{found['format'].lower()}": True,
    }
    for code, there in marks.items():
        if there:
            seen.remark(code, path)


def _why(error: str) -> str:
    """Pillow's words, as far as they say something to a person."""
    if error.startswith("UnidentifiedImageError"):
        return "no image of a kind that is taken: JPEG, PNG, WebP, BMP or GIF"
    told = error.partition(": ")[2] if error.split(":")[0].endswith(("Error", "Exception")) else error
    return f"cannot be decoded: {told}" if told and "are taken" not in told else told or "cannot be decoded"
