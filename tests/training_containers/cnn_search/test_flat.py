"""Long tensors and the mean of the last steps, against torch's own optimisers and sums by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import safetensors.torch
import torch
from millrace.blocks import Recipe
from torch import nn

from training_containers.cnn_search import weights
from training_containers.cnn_search.flat import Mean, together
from training_containers.cnn_search.train import OPTIMIZERS, grouped


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 5))
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def backward(model: nn.Module, step: int) -> None:
    images = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(step))
    (model(images) ** 2).mean().backward()


def layer_by_layer(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The same groups with a tensor for each layer."""
    decay = recipe.weight_decay if recipe.optimizer not in ("adam", "rmsprop") else 0.0
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "lr": recipe.learning_rate, "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim == 1], "lr": recipe.learning_rate, "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_steps_over_long_tensors_are_those_over_each_layers(name: Any) -> None:
    recipe = Recipe(optimizer=name, learning_rate=0.003, weight_decay=0.1)
    long, plain = network(), network()
    groups = grouped(recipe, [(list(long.parameters()), 1.0)])
    ours, theirs = OPTIMIZERS[name](groups, recipe), OPTIMIZERS[name](layer_by_layer(plain, recipe), recipe)

    for step in range(5):
        for group in groups:
            group["params"][0].grad.zero_()
        theirs.zero_grad()
        backward(long, step)
        backward(plain, step)
        ours.step()
        theirs.step()

    assert len(groups) == 2 and all(len(group["params"]) == 1 for group in groups)
    for one, other in zip(long.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        assert one.stride() == other.stride()


def test_parts_of_a_long_tensor_keep_what_they_held_and_their_layout() -> None:
    tensors = [torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), torch.randn(7)]
    before, strides = [t.clone() for t in tensors], [t.stride() for t in tensors]

    long = together(tensors)

    assert [t.stride() for t in tensors] == strides
    assert all(torch.equal(one, other) for one, other in zip(tensors, before, strict=True))
    long.zero_()
    assert not any(t.any() for t in tensors)


def test_the_mean_is_shown_for_a_look_and_kept_at_the_end() -> None:
    model = network()
    recipe = Recipe(optimizer="sgd", learning_rate=0.1)
    groups = grouped(recipe, [(list(model.parameters()), 1.0)])
    optimizer = OPTIMIZERS["sgd"](groups, recipe)
    last = Mean(model, [group["params"][0] for group in groups], steps=3)
    by_hand, share = copy.deepcopy(model.state_dict()), [1.0 * 2 / 3, 0.5, 0.4, 1 / 3, 1 / 3]

    for step in range(5):
        backward(model, step)
        optimizer.step()
        last.take()
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                by_hand[name] += share[step] * (value - by_hand[name])

    live = copy.deepcopy(model.state_dict())
    with last.shown():
        shown = copy.deepcopy(model.state_dict())
    assert all(torch.equal(value, live[name]) for name, value in model.state_dict().items())
    last.keep()
    for name, value in model.state_dict().items():
        assert torch.equal(value, shown[name])
        if value.is_floating_point():
            torch.testing.assert_close(value, by_hand[name])
    assert not torch.equal(shown["0.weight"], live["0.weight"])


def test_what_is_kept_are_tensors_of_their_own_that_a_file_takes() -> None:
    model = network()
    groups = grouped(Recipe(), [(list(model.parameters()), 1.0)])
    Mean(model, [group["params"][0] for group in groups], steps=1).keep()

    own = {value.untyped_storage().data_ptr() for value in model.state_dict().values()}

    assert len(own) == len(model.state_dict()) and all(p.grad is None for p in model.parameters())
    read = safetensors.torch.load(weights.dumps(model))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in read.items())
