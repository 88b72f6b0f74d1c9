"""What both templates read: a CSV of numbers with a column `label`, and its split into train and held out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from millrace.errors import InvalidInput
from numpy.typing import NDArray

LABEL = "label"


@dataclass(frozen=True)
class Table:
    """features: (rows, columns) float32. labels: (rows,) int64, places in `classes`."""

    columns: tuple[str, ...]
    classes: tuple[str, ...]
    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def rows(self, which: NDArray[np.int64]) -> Table:
        return Table(self.columns, self.classes, self.features[which], self.labels[which])


def read(channel: Path, classes: Sequence[str] = ()) -> Table:
    """data.csv of a channel. InvalidInput names the line that does not fit."""
    path = channel / "data.csv"
    if not path.is_file():
        raise InvalidInput(f"The channel `{channel.name}` has no data.csv.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = tuple(name for name in reader.fieldnames or () if name != LABEL)
        if LABEL not in (reader.fieldnames or ()) or not columns:
            raise InvalidInput(f"data.csv of the channel `{channel.name}` needs a column `{LABEL}` and one of numbers.")
        read = [(_numbers(row, columns, reader.line_num), str(row[LABEL])) for row in reader]
    known = tuple(classes) or tuple(sorted({label for _, label in read}))
    if len(read) < 2 or len(known) < 2:
        raise InvalidInput(f"data.csv has {len(read)} rows of {len(known)} labels; two of each are the least.")
    if strange := sorted({label for _, label in read} - set(known)):
        raise InvalidInput(f"The label {strange[0]!r} of the channel `{channel.name}` is not among those trained on.")
    features = np.array([numbers for numbers, _ in read], dtype=np.float32)
    return Table(columns, known, features, np.array([known.index(label) for _, label in read], dtype=np.int64))


def divided(table: Table, share: float, seed: int) -> tuple[Table, Table]:
    """(train, held out), drawn by seed; at least one row on each side."""
    order = np.random.default_rng(seed).permutation(len(table.labels))
    held = min(len(order) - 1, max(1, round(share * len(order))))
    return table.rows(order[held:]), table.rows(order[:held])


def scaling(table: Table) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and spread of each column, of the training rows alone; part of the model."""
    spread = table.features.std(axis=0)
    return table.features.mean(axis=0), np.where(spread > 0, spread, 1).astype(np.float32)


def _numbers(row: dict[str, str], columns: Sequence[str], line: int) -> list[float]:
    try:
        found = [float(row[name]) for name in columns]
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"Line {line} of data.csv holds what is no number.") from error
    if not np.isfinite(found).all():
        raise InvalidInput(f"Line {line} of data.csv holds a number that is not finite.")
    return found
