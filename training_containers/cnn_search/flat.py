"""A network's numbers in a few long tensors, and their mean over the last steps, which is what is looked at and kept.

An optimiser takes one step over a long tensor where it would take one for each layer: of a network with a dozen layers
that is a tenth of a training step. The mean of the last steps' weights answers as those of a smaller rate would, so it
is right sooner than they are. Sources: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima; Polyak and
Juditsky 1992.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def together(tensors: list[Tensor]) -> Tensor:
    """One long tensor of which each of them becomes a part, in the layout that it has."""
    size, at = sum(t.numel() for t in tensors), 0
    long = torch.empty(size, dtype=tensors[0].dtype, device=tensors[0].device)
    for tensor in tensors:
        part = _part(long, at, tensor)
        part.copy_(tensor)
        tensor.data = part
        at += tensor.numel()
    return long


def with_gradients(parameters: list[nn.Parameter]) -> Tensor:
    """One long parameter whose gradient is those of all of them: backward adds to it, so it is set to 0 before."""
    long, at = together([p.data for p in parameters]), 0
    gradient = torch.zeros_like(long)
    for parameter in parameters:
        parameter.data, parameter.grad = _part(long, at, parameter), _part(gradient, at, parameter)
        at += parameter.numel()
    long.requires_grad_().grad = gradient
    return long


def _part(long: Tensor, at: int, like: Tensor) -> Tensor:
    """A view with the shape and the strides of a tensor that is dense."""
    return long.detach().as_strided(like.shape, like.stride(), at)


class Mean:
    """Of the parameters and of what the norms remember, over about the last `steps`, of fewer at the beginning."""

    def __init__(self, model: nn.Module, parameters: Iterable[Tensor], steps: float) -> None:
        remembered = [b for b in model.buffers() if b.is_floating_point()]
        self._model, self._steps, self._taken = model, steps, 0
        self._live = [*(p.detach() for p in parameters), *([together(remembered)] if remembered else [])]
        self._mean = [live.clone() for live in self._live]

    def take(self) -> None:
        """After a step."""
        self._taken += 1
        share = min(1.0, max(1 / self._steps, 2 / (2 + self._taken)))
        torch._foreach_lerp_(self._mean, self._live, share)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The network is the mean of itself meanwhile."""
        live = [one.clone() for one in self._live]
        torch._foreach_copy_(self._live, self._mean)
        try:
            yield
        finally:
            torch._foreach_copy_(self._live, live)

    def keep(self) -> None:
        """The network becomes it, each of its tensors on its own again."""
        torch._foreach_copy_(self._live, self._mean)
        for parameter in self._model.parameters():
            parameter.data, parameter.grad = parameter.data.clone(), None
        for buffer in self._model.buffers():
            buffer.data = buffer.data.clone()
