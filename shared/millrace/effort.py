"""How much work a container has, for its forecast: how many trainings, and how many rows each goes over. Pure.

What one row takes, `resources.forecast.row_s`, stands in each container's strategy.json. Images are reckoned at SIDE
pixels on one of the machine's processors: one training each, as many at once as there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .instances import Instance
from .strategies import Strategy

ROW_S = 0.5
"""For each row that is read, where a strategy says nothing else."""
SEEN, FEWEST, MOST = 3_200, 2, 30
"""Rows that a fine-tuning sees in all, and its epochs, where they are left to it: as lora/advice.py gives them."""
HELD_OUT = 8
"""Rows of the training split for each of the test split."""
EPOCHS = 13
"""Of a proposed network: those that evolution draws have 9 to 18."""
OWN_EPOCHS = 12
"""Of a ResNet, and about those of a network from a backbone, where the job names none."""
SIDE = 32
SIDE_OF_BACKBONE = 96
"""At which cnn_search/transfer.py trains from a backbone below base/, where no size is asked for."""
GPU_TIMES = 10
"""A GPU against one processor, for networks as small as these; an allowance, not measured."""

Given = Mapping[str, Any]
Trainings = list[tuple[int, float]]
"""So many at once, where the machine can, each over so many rows; one line after the other."""


def seconds(strategy: Strategy, given: Given, rows: int, instance: Instance) -> float:
    """`rows`: of the training split. `given`: hyperparameters of the whole job; what they lack is the default."""
    values = {**strategy.settle({}), **given}
    row_s = float(strategy.resources.get("forecast", {}).get("row_s", ROW_S))
    at_once = 1
    if strategy.data == "images":
        row_s *= (_side(strategy, values) / SIDE) ** 2 / (GPU_TIMES if instance.gpus else 1)
        most = 1 if instance.gpus else instance.vcpus
        at_once = min(int(values.get("workers") or most), most)
    trainings = _TRAININGS.get(strategy.name, _once)(values, rows)
    return row_s * sum(math.ceil(count / at_once) * each for count, each in trainings)


def _side(strategy: Strategy, values: Given) -> float:
    plain = strategy.name == "cnn-transfer" and "@" not in str(values.get("backbone", ""))
    return float(values.get("size") or (SIDE_OF_BACKBONE if plain else SIDE))


def advised_epochs(rows: int) -> int:
    return max(FEWEST, min(MOST, round(SEEN / max(1, rows))))


def _once(given: Given, rows: int) -> Trainings:
    return [(1, rows)]


def _tuned(given: Given, rows: int) -> Trainings:
    return [(1, rows * (given["epochs"] or advised_epochs(rows)))]


def _held_out(given: Given, rows: int) -> Trainings:
    return [(1, min(rows / HELD_OUT, given["max_examples"]))]


def _round(given: Given, rows: int) -> Trainings:
    """Halving: each rung trains from scratch, for its share of the epochs, those that the one before let through."""
    alive, made = int(given.get("population", 1)), Trainings()
    for share in [*sorted({share for share in given["rungs"] if 0 < share < 1}), 1.0]:
        made.append((alive, rows * share * _proposed(given)))
        alive = max(1, math.ceil(alive * given["keep"]))
    return made


def _finish(given: Given, rows: int) -> Trainings:
    """The finalists, and a ResNet with the best of the first round beside them."""
    each = rows * _proposed(given)
    return [(given["finalists"] * given["seeds"], each), (2 if given["baselines"] else 0, each)]


def _proposed(given: Given) -> int:
    return min(EPOCHS, int(given["max_epochs"]))


def _own(given: Given, rows: int) -> Trainings:
    epochs = given["epochs"] or OWN_EPOCHS
    own = rows * (epochs + given.get("frozen_epochs", 0))
    return [(given["seeds"], own), (1 if given["baselines"] else 0, rows * epochs)]


_TRAININGS: Mapping[str, Callable[[Given, int], Trainings]] = {
    "lora-sft": _tuned,
    "lora-dpo": _tuned,
    "lora-kto": _tuned,
    "lora-evaluate": _held_out,
    "gguf": _held_out,
    "cnn-search": _round,
    "cnn-trials": _round,
    "cnn-finish": _finish,
    "cnn-native": _own,
    "cnn-transfer": _own,
}
