"""The image channel as tensors, and the splits, which the harness owns: trials see train and validation, nobody test.

Where the archive names splits they stand; else they are drawn by class from a seed, 70/15/15. Images with the same
bytes lie on one side; the same bytes under two labels are left out. Test rows are decoded once, by `Data.test`.
"""

from __future__ import annotations

import math
import os
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from millrace.architecture import Task
from millrace.errors import InvalidInput, NotFound, TrainingFailed
from torch import Tensor

from training_containers.common.images import Images, Row

SHARES: Final = {"test": 0.15, "validation": 0.15}
LARGEST: Final = 64
"""Side advised at most where none is asked for, pixels; a search on a CPU has no use for more."""
SMALLEST: Final = 8
MEMORY_SHARE: Final = 0.25
"""Of the machine's memory that decoded images may take."""
COUNTED: Final = 1024
"""Images whose pixels are counted at once."""
Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")


@dataclass(frozen=True)
class Set:
    """images: uint8 (N, C, H, W). labels: int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class Data:
    """What a job trains on, and the one look at the test split."""

    images: Images
    rows: dict[Split, list[Row]]
    task: Task
    train: Set
    validation: Set
    mean: list[float]
    """By channel, of pixels in [0, 1]."""
    std: list[float]
    left_out: int
    """Images that lie in no split: bytes under two labels, or again in a split that counts more."""
    _tested: bool = field(default=False, init=False)

    @property
    def classes(self) -> list[str]:
        return self.images.classes

    def test(self) -> Set:
        """Decode the test rows: once a job, by whoever reports the result."""
        if self._tested:
            raise TrainingFailed("The test split was read already; a second look would choose by it.")
        self._tested = True
        return decoded(self.images, self.rows["test"], self.task)


def load(channel: Path, seed: int, size: int = 0) -> Data:
    """Split, decode train and validation. InvalidInput says what the channel lacks. size 0: advised by the images."""
    try:
        images = Images.open(channel)
    except NotFound as error:
        raise InvalidInput(str(error)) from error
    rows, left_out = split(images, seed)
    task = _task(images, rows, size)
    _room(task, sum(map(len, rows.values())))
    train, validation = (decoded(images, rows[name], task) for name in SPLITS[:2])
    return Data(images, rows, task, train, validation, *spread(train.images), left_out)


def spread(images: Tensor) -> tuple[list[float], list[float]]:
    """Mean and deviation by channel, of pixels in [0, 1]; from counts of the 256 values, for images fill the memory."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in images.unbind(1):
        counts = torch.zeros(256, dtype=torch.float64)
        for some in torch.split(channel, COUNTED):
            counts += some.flatten().bincount(minlength=256)
        mean = float(counts @ values / channel.numel())
        squares = float(counts @ (values - mean) ** 2)
        means.append(mean)
        deviations.append(max(1e-3, math.sqrt(squares / (channel.numel() - 1))))
    return means, deviations


def split(images: Images, seed: int) -> tuple[dict[Split, list[Row]], int]:
    """Rows by split, and how many were left out."""
    copies: dict[str, list[Row]] = defaultdict(list)
    for row in images.rows:
        copies[row.sha256].append(row)
    clear = [same for same in copies.values() if len({row.label for row in same}) == 1]
    found: dict[Split, list[Row]] = {name: [] for name in SPLITS}
    loose: list[list[Row]] = []
    for same in clear:
        told = {row.split for row in same} - {None}
        if not told:
            loose.append(same)
            continue
        home: Split = next(name for name in reversed(SPLITS) if name in told)
        found[home] += [row for row in same if row.split in (home, None)]
    if any(found.values()):
        found["train"] += [row for same in loose for row in same]
        groups = _by_sha(found["train"])
        missing = [name for name in ("test", "validation") if not found[name]]
        if missing:
            found["train"] = []
            _draw(groups, missing, seed, found)
    else:
        _draw(loose, list(SHARES), seed, found)
    for name in SPLITS:
        found[name].sort(key=lambda row: row.path)
    _enough(images, found)
    return found, len(images.rows) - sum(map(len, found.values()))


def _by_sha(rows: Iterable[Row]) -> list[list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.sha256].append(row)
    return list(groups.values())


def _draw(groups: list[list[Row]], into: Sequence[str], seed: int, found: dict[Split, list[Row]]) -> None:
    """Each class apart: a share into each named split, the rest into train."""
    labels: dict[int, list[list[Row]]] = defaultdict(list)
    for same in sorted(groups, key=lambda same: same[0].path):
        labels[same[0].label].append(same)
    draw = random.Random(seed)
    for label in sorted(labels):
        members = labels[label]
        draw.shuffle(members)
        for name in into:
            count = max(1, round(SHARES[name] * len(labels[label]))) if len(members) > 1 else 0
            for same in members[:count]:
                found[name] += same  # type: ignore[index]
            members = members[count:]
        found["train"] += [row for same in members for row in same]


def _enough(images: Images, found: dict[Split, list[Row]]) -> None:
    if len(images.classes) < 2:
        raise InvalidInput(f"Telling classes apart needs at least two of them; there is {len(images.classes)}.")
    for name in SPLITS:
        there = {row.label for row in found[name]}
        absent = [images.classes[label] for label in range(len(images.classes)) if label not in there]
        if name == "train" and absent:
            raise InvalidInput(f"The training split has no image of the class {absent[0]!r}; give each at least three.")
        if not there:
            raise InvalidInput(f"The {name} split is empty: there are too few images to hold some back.")


def _task(images: Images, rows: dict[Split, list[Row]], size: int) -> Task:
    train = rows["train"]
    side = size or min(LARGEST, max(SMALLEST, int(np.median([max(row.width, row.height) for row in train]))))
    channels: Literal[1, 3] = 1 if all(row.mode in ("L", "1", "I", "I;16", "F") for row in images.rows) else 3
    return Task(height=side, width=side, channels=channels, classes=len(images.classes), samples=len(train))


def _room(task: Task, images: int) -> None:
    needed = images * task.channels * task.height * task.width
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > MEMORY_SHARE * memory:
        raise InvalidInput(
            f"{images:,} images of {task.height} x {task.width} take {needed >> 20:,} MiB decoded, over a quarter of "
            f"this machine's {memory >> 20:,} MiB; ask for a smaller size."
        )


def decoded(images: Images, rows: Sequence[Row], task: Task) -> Set:
    """In the order of the rows."""
    out = np.empty((len(rows), task.height, task.width, task.channels), np.uint8)

    def fill(at: int) -> None:
        out[at] = images.decode(rows[at], (task.height, task.width), task.channels)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        list(threads.map(fill, range(len(rows))))
    pixels = torch.from_numpy(np.ascontiguousarray(out.transpose(0, 3, 1, 2)))
    return Set(pixels, torch.tensor([row.label for row in rows]))
