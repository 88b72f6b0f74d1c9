"""Each optimiser over long tensors against torch's own class over each layer's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from millrace.blocks import Recipe
from torch import Tensor, nn

from training_containers.cnn_search.optimizers import STEPS, grouped

RATES = [0.003, 0.01, 0.004, 0.001]


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2, line by line: torch has none."""

    def __init__(self, groups: Any) -> None:
        super().__init__(groups, {"lr": 1e-4, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                update = 0.9 * mean + 0.1 * p.grad
                p.copy_(p - group["lr"] * (update.sign() + group["weight_decay"] * p))
                mean.copy_(0.99 * mean + 0.01 * p.grad)


THEIRS: dict[str, Callable[[Any, Recipe], torch.optim.Optimizer]] = {
    "adam": lambda groups, recipe: torch.optim.Adam(groups, fused=True),
    "adamw": lambda groups, recipe: torch.optim.AdamW(groups, fused=True),
    "sgd": lambda groups, r: torch.optim.SGD(groups, momentum=r.momentum, nesterov=r.momentum > 0, fused=True),
    "rmsprop": lambda groups, r: torch.optim.RMSprop(groups, momentum=min(r.momentum, 0.9)),
    "lion": lambda groups, recipe: Lion(groups),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 5)
    )
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def backward(model: nn.Module, step: int) -> None:
    images = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(step))
    (model(images) ** 2).mean().backward()


def layer_by_layer(parameters: Iterable[Tensor], recipe: Recipe) -> list[dict[str, Any]]:
    """Weight decay on what is a matrix or a kernel, where the optimiser has any."""
    decay = recipe.weight_decay if recipe.optimizer not in ("adam", "rmsprop") else 0.0
    return [{"params": [p], "weight_decay": decay if p.ndim > 1 else 0.0, "lr": 0.0} for p in parameters]


def test_each_optimiser_of_a_recipe_is_compared() -> None:
    assert THEIRS.keys() == STEPS.keys()


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_step_over_long_tensors_is_that_of_torch_over_each_layers(name: Any, momentum: float) -> None:
    recipe = Recipe(optimizer=name, learning_rate=0.5, weight_decay=0.1, momentum=momentum)
    ours, plain = network(), network()
    groups = grouped(recipe, [(list(ours.parameters()), 1.0)])
    theirs = THEIRS[name](layer_by_layer(plain.parameters(), recipe), recipe)

    for step, rate in enumerate(RATES):
        theirs.zero_grad()
        for group in groups:
            group.gradient.zero_()
        backward(ours, step)
        backward(plain, step)
        with torch.no_grad():
            for group in groups:
                STEPS[name](group, rate, recipe)
        for told in theirs.param_groups:
            told["lr"] = rate
        theirs.step()

    assert len(groups) == 2
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        assert one.stride() == other.stride()


def test_a_group_has_its_share_of_the_rate_and_only_matrices_decay() -> None:
    model = network()
    body, head = list(model[:3].parameters()), list(model[3:].parameters())

    groups = grouped(Recipe(optimizer="adamw", learning_rate=0.5, weight_decay=0.1), [(body, 0.1), (head, 1.0)])

    told = [(round(group.rate, 9), group.decay, group.long.numel()) for group in groups]
    assert told == [(0.05, 0.1, 8 * 27), (0.05, 0.0, 2 * 8), (0.5, 0.1, 5 * 32), (0.5, 0.0, 5)]
