"""Which candidate to train first: its chance to get far, against what its training costs. Pure; nothing is trained.

Of 324 trainings of networks from the prior with recipes drawn widely (fifteen splits of scikit-learn's digits, one
core) a logistic regression told those that reach 98.5 % without giving way (train.py) by what their recipe and size
say: how many steps there are; how far the rate lies below and above what suits the optimiser; how large the network
is; and Lion, which gets there less often. Of each split in turn, fitted on the others: what it gave less than 0.1,
0.3, 0.6 and more reached it in 3, 16, 42 and 85 of 100 cases. Elsewhere the chances are others; their order is all
that is asked for. Seconds are least squares over the same trainings, within 16 % on average. Long recipes get there
earlier on their way. A candidate is never left out for its odds, only tried later.
"""

from __future__ import annotations

import math

from millrace.architecture import Cost, Spec
from millrace.evolution import RATES

STEPS, BELOW, ABOVE, SIZE, LION, REST = 3.92, 3.02, -1.2, 2.19, -1.81, -16.73
"""Of the logarithm of the odds, by powers of ten of the steps, of the rate over the best one, of the parameters."""
FLOP_S, NUMBER_S, LAYER_S = 6.9e-12, 2.0e-9, 1.6e-4
"""A FLOP of training, a number that an image leaves behind, a layer of a step."""
SOONER = 0.65
"""The epoch that reaches it goes by this power of the recipe's epochs."""


def chance(spec: Spec, cost: Cost, samples: int) -> float:
    """That the training gets about as far as such networks do, in (0, 1)."""
    recipe = spec.training
    low, high = RATES[recipe.optimizer]
    off = math.log10(recipe.learning_rate / math.sqrt(low * high))
    told = STEPS * math.log10(recipe.epochs * steps(spec, samples)) + BELOW * min(0.0, off) + ABOVE * max(0.0, off)
    told += SIZE * math.log10(cost.parameters) + LION * (recipe.optimizer == "lion") + REST
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, told))))


def seconds(spec: Spec, cost: Cost, samples: int) -> float:
    """Of the whole training on one core."""
    epoch = samples * (3 * cost.flops * FLOP_S + cost.activations * NUMBER_S)
    return spec.training.epochs * (epoch + steps(spec, samples) * cost.layers * LAYER_S)


def steps(spec: Spec, samples: int) -> int:
    """Of one epoch."""
    return -(-samples // spec.training.batch_size)


def worth(spec: Spec, cost: Cost, samples: int) -> float:
    """Successes that a second of training may bring: what is worth more is tried earlier."""
    share = math.pow(spec.training.epochs, SOONER - 1)
    return chance(spec, cost, samples) / (share * seconds(spec, cost, samples))
