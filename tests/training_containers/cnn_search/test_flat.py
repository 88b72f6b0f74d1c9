"""Long tensors and the means of the last steps, against sums by hand."""

from __future__ import annotations

import copy

import safetensors.torch
import torch
from torch import nn

from training_containers.cnn_search import weights
from training_containers.cnn_search.flat import Means, together, with_gradients


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 5))
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def backward(model: nn.Module, step: int) -> None:
    images = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(step))
    (model(images) ** 2).mean().backward()


def test_parts_of_a_long_tensor_keep_what_they_held_and_their_layout() -> None:
    tensors = [torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), torch.randn(7)]
    before, strides = [t.clone() for t in tensors], [t.stride() for t in tensors]

    long = together(tensors)

    assert [t.stride() for t in tensors] == strides
    assert all(torch.equal(one, other) for one, other in zip(tensors, before, strict=True))
    long.zero_()
    assert not any(t.any() for t in tensors)


def test_a_mean_is_shown_for_a_look_and_kept_at_the_end() -> None:
    model = network()
    long, gradient = with_gradients(list(model.parameters()))
    means = Means(model, [long], spans=[1.5, 3])
    by_hand, share = copy.deepcopy(model.state_dict()), [1.0 * 2 / 3, 0.5, 0.4, 1 / 3, 1 / 3]

    for step in range(5):
        backward(model, step)
        long.sub_(0.1 * gradient)
        means.take()
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                by_hand[name] += share[step] * (value - by_hand[name])

    live = copy.deepcopy(model.state_dict())
    with means.shown(0):
        other = copy.deepcopy(model.state_dict())
    with means.shown(1):
        shown = copy.deepcopy(model.state_dict())
    assert all(torch.equal(value, live[name]) for name, value in model.state_dict().items())
    means.keep(1)
    for name, value in model.state_dict().items():
        assert torch.equal(value, shown[name])
        if value.is_floating_point():
            torch.testing.assert_close(value, by_hand[name])
    assert not torch.equal(shown["0.weight"], live["0.weight"])
    assert not torch.equal(shown["0.weight"], other["0.weight"])


def test_what_is_kept_are_tensors_of_their_own_that_a_file_takes() -> None:
    model = network()
    long, _ = with_gradients(list(model.parameters()))
    Means(model, [long], spans=[1]).keep(0)

    own = {value.untyped_storage().data_ptr() for value in model.state_dict().values()}

    assert len(own) == len(model.state_dict()) and all(p.grad is None for p in model.parameters())
    read = safetensors.torch.load(weights.dumps(model))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in read.items())
