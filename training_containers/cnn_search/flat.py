"""A network's numbers in a few long tensors, and their means over the last steps: what is looked at, and kept.

An optimiser takes one step over a long tensor where it would take one for each layer: of a network with a dozen layers
that is a tenth of a training step. The mean of the last steps' weights answers as those of a smaller rate would, so it
is right sooner than they are. Sources: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima; Polyak and
Juditsky 1992.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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


def with_gradients(parameters: list[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """All of them as one long tensor, and their gradients: backward adds to those, so they are set to 0 before."""
    long, at = together([p.data for p in parameters]), 0
    gradient = torch.zeros_like(long)
    for parameter in parameters:
        parameter.data, parameter.grad = _part(long, at, parameter), _part(gradient, at, parameter)
        at += parameter.numel()
    return long, gradient


def _part(long: Tensor, at: int, like: Tensor) -> Tensor:
    """A view with the shape and the strides of a tensor that is dense."""
    return long.detach().as_strided(like.shape, like.stride(), at)


class Means:
    """Of the parameters and of what the norms remember, over about the last so many steps, of fewer at the beginning.

    One for each of `spans`, steps; they are numbered as those are.
    """

    def __init__(self, model: nn.Module, parameters: Iterable[Tensor], spans: Sequence[float]) -> None:
        remembered = [b for b in model.buffers() if b.is_floating_point()]
        self._model, self._spans, self._taken, self.n = model, spans, 0, len(spans)
        self._live = [*(p.detach() for p in parameters), *([together(remembered)] if remembered else [])]
        self._means = [[live.clone() for live in self._live] for _ in spans]

    def take(self) -> None:
        """After a step."""
        self._taken += 1
        for mean, span in zip(self._means, self._spans, strict=True):
            torch._foreach_lerp_(mean, self._live, min(1.0, max(1 / span, 2 / (2 + self._taken))))

    @contextmanager
    def shown(self, which: int) -> Iterator[None]:
        """The network is the mean of itself meanwhile."""
        live = [one.clone() for one in self._live]
        torch._foreach_copy_(self._live, self._means[which])
        try:
            yield
        finally:
            torch._foreach_copy_(self._live, live)

    def keep(self, which: int) -> None:
        """The network becomes it, each of its tensors on its own again."""
        torch._foreach_copy_(self._live, self._means[which])
        for parameter in self._model.parameters():
            parameter.data, parameter.grad = parameter.data.clone(), None
        for buffer in self._model.buffers():
            buffer.data = buffer.data.clone()
