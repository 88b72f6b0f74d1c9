"""A dataset of images: what it is, and how its state may move. Pure.

Its objects lie under tenants/<tenant>/datasets/<id>/: `channel/` is what training is given, `preview/` holds
thumbnails, `work/` what an intake has done so far, and report.json everything that it found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ..contract import ARCHIVE, DATASETS_FOLDER, TENANTS_PREFIX, DatasetState
from ..errors import InvalidInput
from ..table import Item
from ..tenants import Kind, Tenant
from .directory import MAX_ARCHIVE_BYTES

LEGAL: dict[DatasetState, frozenset[DatasetState]] = {
    DatasetState.DRAFT: frozenset({DatasetState.PROCESSING}),
    DatasetState.PROCESSING: frozenset({DatasetState.PROCESSING, DatasetState.READY, DatasetState.ERROR}),
    DatasetState.READY: frozenset(),
    DatasetState.ERROR: frozenset({DatasetState.PROCESSING}),
}
"""PROCESSING -> PROCESSING is a new attempt after a crash; ERROR -> PROCESSING a new archive."""
OPEN = (DatasetState.DRAFT, DatasetState.ERROR)
"""States in which an archive may be sent."""
MAX_NAME = 120
CLASSES_BYTES = 32 * 2**10
"""Of class names in a dataset's item: a list reads a hundred items, and ImageNet's thousand names fit."""
MIN_PART_BYTES = 8 * 2**20
MAX_PARTS = 2_000
"""S3 allows 10,000; fewer are listed in two requests when an upload goes on."""


def may_become(state: DatasetState) -> tuple[str, ...]:
    return tuple(str(before) for before, after in LEGAL.items() if state in after)


@dataclass(frozen=True)
class Dataset:
    id: str
    name: str
    domain: str
    state: DatasetState
    created_at: str
    updated_at: str
    total_samples: int = 0
    classes: Sequence[str] = ()
    """The first of them, as many as an item takes; the channel's dataset.json has all."""
    class_count: int = 0
    size_bytes: int = 0
    attempt: int = 0
    first_attempt: int = 1
    """Of this version of the archive."""
    version: str | None = None
    """Of the archive's object; what is indexed is this one."""
    upload: Mapping[str, Any] | None = None
    """While one is under way: upload_id, size_bytes, part_bytes, parts, fingerprint, begun_at."""
    images: int = 0
    """While it is processed: those to be looked at, and how many have been."""
    looked: int = 0
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Of a ready one: layout, rejected, duplicates, across_splits, warnings."""
    reasons: Sequence[Mapping[str, str]] = ()
    drop_id: str | None = None
    """The drop that it came from."""
    deleting: bool = False

    @property
    def progress(self) -> dict[str, int]:
        if self.state is not DatasetState.PROCESSING or not self.images:
            return {}
        return {"looked": min(self.looked, self.images), "images": self.images}

    @classmethod
    def from_item(cls, item: Item) -> Dataset:
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        count = {"class_count": len(item.get("classes", ()))}  # of an item that was written without one
        return cls(**{**count, **known, "state": DatasetState(item["state"])})

    def to_item(self, tenant: Tenant) -> Item:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        listed = {"list_pk": tenant.pk(Kind.DATASET), "list_sk": f"{self.created_at}#{self.id}"}
        return {**values, "state": str(self.state), **listed}


def folder(tenant: Tenant, id: str, *parts: str) -> str:
    """Key below the dataset's folder."""
    return tenant.prefix(DATASETS_FOLDER, id, *parts)


def archive_key(tenant: Tenant, id: str) -> str:
    return folder(tenant, id, *ARCHIVE.split("/"))


def of_archive_key(key: str) -> tuple[Tenant, str] | None:
    """Tenant and dataset of an archive's key; None where the key is no archive's."""
    parts = key.split("/")
    if len(parts) != 6 or f"{parts[0]}/" != TENANTS_PREFIX or parts[2] != DATASETS_FOLDER:
        return None
    return (Tenant(parts[1]), parts[3]) if "/".join(parts[4:]) == ARCHIVE else None


def work_of(version: str) -> str:
    """Folder name of what an intake of this version has done: the next attempt goes on from there."""
    return hashlib.sha256(version.encode()).hexdigest()[:16]


def first_classes(classes: Sequence[str]) -> list[str]:
    """As many as fit beside the rest of an item, which holds 400 KB in all."""
    sizes = accumulate(len(name.encode()) + 1 for name in classes)
    return [name for name, end in zip(classes, sizes, strict=True) if end <= CLASSES_BYTES]


def named(name: str) -> str:
    tidy = " ".join(name.split())
    if not 0 < len(tidy) <= MAX_NAME or not tidy.isprintable():
        raise InvalidInput(f"A dataset's name and its domain have 1 to {MAX_NAME} printable characters.")
    return tidy


def part_bytes(size_bytes: int) -> int:
    """8 MiB, or for large archives the power of two that needs at most 2,000 parts."""
    if not 0 < size_bytes <= MAX_ARCHIVE_BYTES:
        raise InvalidInput(f"An archive has 1 to {MAX_ARCHIVE_BYTES:,} bytes, not {size_bytes:,}.")
    part = MIN_PART_BYTES
    while part * MAX_PARTS < size_bytes:
        part *= 2
    return part


def part_length(number: int, size_bytes: int, each: int) -> int:
    """Bytes of part `number`, counted from 1."""
    return min(each, size_bytes - (number - 1) * each)
