"""What an untrained network already tells: how differently it sees different images. One batch, no training.

The mark is the log-determinant of the kernel of its activation patterns, by unit count made comparable. Source: Mellor
et al. 2021, Neural Architecture Search without Training.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, nn

from .data import Set
from .train import Diverged, Prepared

BATCH: Final = 64
UNITS: Final = 20_000
"""Of one activation that are looked at; more say nothing new."""


@torch.no_grad()
def mark(model: nn.Module, train: Set, prepare: Prepared) -> float:
    """Higher is better, comparable among networks of one task. Diverged where the answers are no numbers."""
    kernel = torch.zeros(0)
    seen = 0

    def look(_: nn.Module, __: Any, out: Tensor) -> None:
        nonlocal kernel, seen
        active = (out.flatten(1)[:, :UNITS] > 0).float()
        same = active @ active.T + (1 - active) @ (1 - active.T)
        kernel = kernel + same if len(kernel) else same
        seen += active.shape[1]

    for module in model.modules():
        if isinstance(module, nn.ReLU | nn.SiLU | nn.GELU | nn.ELU | nn.Mish | nn.Hardswish | nn.LeakyReLU):
            module.register_forward_hook(look)
    model.train()
    out = model(prepare(train.images[:: max(1, len(train) // BATCH)][:BATCH]))
    if not bool(torch.isfinite(out).all()):
        raise Diverged("The untrained network's answers are not numbers.")
    if not seen:
        return 0.0
    sign, size = torch.linalg.slogdet(kernel / seen + 1e-4 * torch.eye(len(kernel)))
    return float(size) if float(sign) > 0 and math.isfinite(float(size)) else -1e9
