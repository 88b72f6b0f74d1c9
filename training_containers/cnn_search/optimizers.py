"""The recipes' optimisers, each a step over a group's long tensor (flat.py): torch's kernels, called directly.

The classes of torch.optim come to the same numbers, but look through groups, hooks and states at every step: 0.1 ms of
a training step that takes 3, and 0.25 of RMSprop's, for which they have no fused kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from millrace.blocks import Recipe
from torch import Tensor, nn

from .flat import with_gradients


@dataclass(frozen=True)
class Group:
    """Parameters as one long tensor that share a rate and a decay, and what their optimiser remembers of them."""

    long: Tensor
    gradient: Tensor
    rate: float
    """The highest."""
    decay: float
    taken: Tensor
    """Steps so far, ()."""
    first: Tensor
    second: Tensor
    """By kind: moving means of gradients, of their squares; both start at 0."""


def grouped(recipe: Recipe, rates: list[tuple[list[nn.Parameter], float]]) -> list[Group]:
    """Weight decay on matrices and kernels only; norms and biases are left alone. Adam and RMSprop have none.

    Through their second moments it is no decay, and with much of it they fail. Source: Loshchilov and Hutter 2019.
    """
    decays = recipe.weight_decay if recipe.optimizer not in ("adam", "rmsprop") else 0.0
    groups: list[Group] = []
    for parameters, share in rates:
        for decay, chosen in (
            (decays, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            if chosen:
                long, gradient = with_gradients(chosen)
                zeros = (torch.zeros((), device=long.device), torch.zeros_like(long), torch.zeros_like(long))
                groups.append(Group(long, gradient, recipe.learning_rate * share, decay, *zeros))
    return groups


Step = Callable[[Group, float, Recipe], None]
"""Of one group, at a rate."""


def adam(group: Group, rate: float, recipe: Recipe) -> None:
    """With a decay AdamW: there it is apart from the gradient. Source: Loshchilov and Hutter 2019, algorithm 2."""
    group.taken.add_(1)
    torch._fused_adamw_(
        *([group.long], [group.gradient], [group.first], [group.second], [], [group.taken]),
        lr=rate,
        beta1=0.9,
        beta2=0.999,
        weight_decay=group.decay,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    )


def sgd(group: Group, rate: float, recipe: Recipe) -> None:
    """With Nesterov's momentum, if with any."""
    torch._fused_sgd_(
        *([group.long], [group.gradient], [group.first] if recipe.momentum else []),
        weight_decay=group.decay,
        momentum=recipe.momentum,
        lr=rate,
        dampening=0.0,
        nesterov=recipe.momentum > 0,
        maximize=False,
        is_first_step=False,
    )


def rmsprop(group: Group, rate: float, recipe: Recipe) -> None:
    """Source: Hinton 2012, lecture 6e; momentum as torch has it, 0.9 at the most."""
    group.second.mul_(0.99).addcmul_(group.gradient, group.gradient, value=0.01)
    spread = group.second.sqrt().add_(1e-8)
    group.first.mul_(min(recipe.momentum, 0.9)).addcdiv_(group.gradient, spread)
    group.long.add_(group.first, alpha=-rate)


def lion(group: Group, rate: float, recipe: Recipe) -> None:
    """The sign of a moving mean. Source: Chen et al. 2023, algorithm 2."""
    group.long.mul_(1 - rate * group.decay)
    group.long.add_(torch.lerp(group.first, group.gradient, 0.1).sign_(), alpha=-rate)
    group.first.lerp_(group.gradient, 0.01)


STEPS: Final[dict[str, Step]] = {"adam": adam, "adamw": adam, "sgd": sgd, "rmsprop": rmsprop, "lion": lion}
