"""Which candidate to train first: its chance to get far, against what its training costs. Pure; nothing is trained.

Fitted to 504 networks of the prior with recipes drawn widely (21 splits of scikit-learn's digits, one core), of which
199 reach 98.5 % without giving way (train.py). A logistic regression tells those by what their recipe and size say,
and least squares the epochs that they take, by the same features; of each split in turn, fitted on the others: what it
gave less than 0.1, 0.3, 0.6 and more reached it in 1, 21, 67 and 91 of 100 cases, and the epochs were within 21 % for
half of them. Seconds are least squares over the same trainings, within 17 % on average. Elsewhere chances and epochs
are others; their order is all that is asked for. A candidate is never left out for its odds, only tried later.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from millrace.architecture import Cost, Spec
from millrace.evolution import RATES


class Features(NamedTuple):
    """Of a candidate, and a weight for each. Sizes are powers of ten."""

    one: float
    steps: float
    below: float
    above: float
    """The rate under and over the middle of those that suit the optimiser."""
    size: float
    """Parameters."""
    lion: float
    separable: float
    far_below: float
    far_above: float
    """Their squares."""
    per_epoch: float
    """Steps."""
    shift: float
    """Of the augmentation, share of the side."""


CHANCE: Final = Features(-11.1, 3.38, 2.34, 0.52, 1.22, -1.92, -1.82, -0.33, -0.8, 0.44, -5.9)
"""Of the logarithm of the odds."""
EPOCHS: Final = Features(3.44, 0.48, -0.32, 0.0, -0.34, 0.62, 0.24, 0.13, 0.04, -1.35, 2.5)
"""Of the logarithm of the epochs until it is there."""
GIVES_WAY: Final = 0.25
"""Share of its epochs that one which does not get there costs."""
START_S, STEP_S, LAYER_S, FLOP_S, NUMBER_S = 0.05, 4.3e-4, 2.0e-4, 1.6e-11, 2.4e-9
"""A training, a step, a layer of a step, a FLOP of training, a number that an image leaves behind."""


def features(spec: Spec, cost: Cost, samples: int) -> Features:
    recipe, per_epoch = spec.training, steps(spec, samples)
    low, high = RATES[recipe.optimizer]
    off = math.log10(recipe.learning_rate / math.sqrt(low * high))
    below, above = min(0.0, off), max(0.0, off)
    return Features(
        one=1.0,
        steps=math.log10(recipe.epochs * per_epoch),
        below=below,
        above=above,
        size=math.log10(cost.parameters),
        lion=float(recipe.optimizer == "lion"),
        separable=float(any(block.kind == "separable" for block in spec.blocks)),
        far_below=below**2,
        far_above=above**2,
        per_epoch=math.log10(per_epoch),
        shift=recipe.augmentation.shift,
    )


def _sum(weights: Features, of: Features) -> float:
    return sum(weight * value for weight, value in zip(weights, of, strict=True))


def chance(spec: Spec, cost: Cost, samples: int) -> float:
    """That the training gets about as far as such networks do, in (0, 1)."""
    told = _sum(CHANCE, features(spec, cost, samples))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, told))))


def epochs(spec: Spec, cost: Cost, samples: int) -> float:
    """That it takes until it is there, if it gets there: at most those of its recipe."""
    return min(spec.training.epochs, math.exp(_sum(EPOCHS, features(spec, cost, samples))))


def seconds(spec: Spec, cost: Cost, samples: int, epochs: float) -> float:
    """Of so many epochs on one core."""
    step = STEP_S + cost.layers * LAYER_S
    return START_S + epochs * (
        steps(spec, samples) * step + samples * (3 * cost.flops * FLOP_S + cost.activations * NUMBER_S)
    )


def steps(spec: Spec, samples: int) -> int:
    """Of one epoch."""
    return -(-samples // spec.training.batch_size)


def worth(spec: Spec, cost: Cost, samples: int) -> float:
    """Successes that a second of training may bring: what is worth more is tried earlier."""
    gets_there = chance(spec, cost, samples)
    expected = gets_there * epochs(spec, cost, samples) + (1 - gets_there) * GIVES_WAY * spec.training.epochs
    return gets_there / seconds(spec, cost, samples, expected)
