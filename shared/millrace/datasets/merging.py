"""What all slices saw, as one index and one report. Pure but for an SQLite file, so that memory stays flat.

Sorting and grouping are left to the disk: two million rows do not fit into a function's memory.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from .layout import in_order

REPORTED = 10_000
DUPLICATE_GROUPS = 1_000
DUPLICATE_PATHS = 20
"""Of each group."""
THUMBNAILS = 200
"""Of all classes; each class gets its share."""
OF_CLASS = 8
"""Thumbnails of one class, at most."""
LOPSIDED = 10
"""The largest class over the smallest, from which on it is said."""
_REMARKS = {
    "wrong-extension": "{} has another format than its name says, and was taken for what it is",
    "animated": "{} is animated; the first frame counts",
    "cmyk": "{} is in print colours (CMYK) and is turned into RGB when it is read",
    "sixteen-bit": "{} has 16 bits a pixel, of which the upper 8 are read",
    "turned": "{} is stored turned and is read upright, as its EXIF says",
}


@dataclass
class Merge:
    """A context over a new SQLite file."""

    path: Path
    remarks: dict[str, Counter[str]] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)
    rejections: int = 0
    other: int = 0
    thumbnails: dict[str, list[str]] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        self._db = sqlite3.connect(self.path, isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16384; BEGIN;"
            "CREATE TABLE images (path TEXT, sha256 TEXT, label TEXT, split TEXT, told BLOB);"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self.path.unlink(missing_ok=True)

    def add(self, seen: Mapping[str, Any]) -> None:
        rows = ((r["path"], r["sha256"], r["label"], r["split"], orjson.dumps(r)) for r in seen["rows"])
        self._db.executemany("INSERT INTO images VALUES (?, ?, ?, ?, ?)", rows)
        self.rejections += len(seen["rejected"])
        self.rejected += seen["rejected"][: REPORTED - len(self.rejected)]
        self.other += seen["other"]
        for label, found in seen["thumbnails"].items():
            kept = self.thumbnails.setdefault(label, [])
            kept += found[: max(0, _share(len(self.thumbnails)) - len(kept))]
        for code, told in seen["remarks"].items():
            self.counts[code] += told["count"]
            self.examples.setdefault(code, told["examples"][0])

    def settle(self) -> None:
        """All slices are in."""
        self._db.execute("CREATE INDEX by_path ON images (path)")
        self._db.execute("CREATE INDEX by_hash ON images (sha256)")
        pairs = self._db.execute("SELECT label, split, COUNT(*) FROM images GROUP BY label, split").fetchall()
        self.by_class: dict[str, dict[str, int]] = {}
        for label, split, count in pairs:
            self.by_class.setdefault(label, {})[split or "unsplit"] = count
        self.classes = in_order(self.by_class)
        self.samples = sum(count for _, _, count in pairs)

    def lines(self) -> Iterator[bytes]:
        """index.jsonl, by path, labels as numbers."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        for (told,) in self._db.execute("SELECT told FROM images ORDER BY path"):
            row = orjson.loads(told)
            yield orjson.dumps({**row, "label": numbers[row["label"]]}) + b"\n"

    def duplicates(self) -> tuple[dict[str, int], list[dict[str, Any]]]:
        """Figures, and the groups that matter most: those across splits, then across classes, then the largest."""
        groups = self._db.execute(
            "SELECT sha256, COUNT(*) AS many, COUNT(DISTINCT COALESCE(split, '')) AS splits, "
            "COUNT(DISTINCT label) AS labels FROM images GROUP BY sha256 HAVING many > 1 "
            "ORDER BY splits > 1 DESC, labels > 1 DESC, many DESC, sha256"
        ).fetchall()
        figures = {
            "duplicates": sum(count - 1 for _, count, _, _ in groups),
            "across_splits": sum(splits > 1 for _, _, splits, _ in groups),
            "across_classes": sum(labels > 1 for _, _, _, labels in groups),
        }
        return figures, [self._group(sha256, count) for sha256, count, _, _ in groups[:DUPLICATE_GROUPS]]

    def _group(self, sha256: str, count: int) -> dict[str, Any]:
        found = self._db.execute(
            "SELECT path, label, split FROM images WHERE sha256 = ? ORDER BY path LIMIT ?", (sha256, DUPLICATE_PATHS)
        ).fetchall()
        images = [{"path": path, "label": label, "split": split} for path, label, split in found]
        return {"sha256": sha256, "count": count, "images": images}

    def shown(self) -> dict[str, list[str]]:
        """Thumbnails (base64) by class: a fair share of what is shown at all."""
        share = _share(len(self.classes))
        return {name: self.thumbnails.get(name, [])[:share] for name in self.classes[:THUMBNAILS]}

    def report(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        figures, groups = self.duplicates()
        listed = [*plan["rejected"], *self.rejected][:REPORTED]
        return {
            "layout": plan["layout"],
            "root": plan["root"],
            "counts": {name: self.by_class[name] for name in self.classes},
            "samples": self.samples,
            "rejections": plan["rejections"] + self.rejections,
            "rejected": listed,
            "hidden": plan["hidden"],
            "other": plan["other"] + self.other,
            **figures,
            "duplicate_groups": groups,
            "formats": {
                code.removeprefix("format-"): count for code, count in self.counts.items() if code.startswith("format-")
            },
            "warnings": [*plan["warnings"], *self._warnings(plan, figures)],
        }

    def _warnings(self, plan: Mapping[str, Any], figures: Mapping[str, int]) -> Iterable[dict[str, str]]:
        empty = [name for name in plan["classes"] if name not in self.by_class]
        if empty:
            yield _warning("empty-class", f"No image was taken of {_several(empty, 'class', 'classes')}.")
        if len(self.classes) == 1:
            yield _warning("one-class", "There is only one class: a classifier has nothing to tell apart.")
        for code, sentence in _REMARKS.items():
            if self.counts[code]:
                told = "1 image" if self.counts[code] == 1 else f"{self.counts[code]:,} images"
                words = sentence if self.counts[code] == 1 else _plural(sentence)
                yield _warning(code, f"{words.format(told)}, such as {self.examples[code]}.")
        yield from self._of_balance()
        if figures["across_splits"]:
            yield _warning(
                "duplicates-across-splits",
                f"{figures['across_splits']:,} images lie in more than one split: a test would ask what was trained.",
            )
        if figures["across_classes"]:
            yield _warning("two-labels", f"{figures['across_classes']:,} images lie in more than one class.")

    def _of_balance(self) -> Iterable[dict[str, str]]:
        sizes = {name: sum(by.values()) for name, by in self.by_class.items()}
        if not sizes:
            return
        most, least = max(sizes, key=lambda name: sizes[name]), min(sizes, key=lambda name: sizes[name])
        if sizes[most] > LOPSIDED * sizes[least]:
            text = (
                f"{most} has {sizes[most]:,} images and {least} {sizes[least]:,}: a model will favour the large class."
            )
            yield _warning("lopsided", text)


def _share(classes: int) -> int:
    """Thumbnails of each of so many classes."""
    return max(1, min(OF_CLASS, THUMBNAILS // max(1, classes)))


def _warning(code: str, text: str) -> dict[str, str]:
    return {"code": code, "text": text}


def _several(names: list[str], one: str, many: str) -> str:
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"{one if len(names) == 1 else many} {shown}"


def _plural(sentence: str) -> str:
    for singular, plural in (
        ("{} has", "{} have"),
        ("{} is", "{} are"),
        (" its name", " their names"),
        (" was", " were"),
    ):
        sentence = sentence.replace(singular, plural)
    return sentence.replace("and is turned", "and are turned").replace("and is read", "and are read")
