"""The overfit probe: a few rows must be learnable by heart before all of them are worth a machine's hours.

A wrong template, labels that are all masked, an adapter on nothing, gradients that do not flow: all show here within
seconds. The adapter and every draw are as before afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from millrace.errors import TrainingFailed

from .data import Encoded
from .packing import collate, on, packed, token_losses

ROWS, STEPS = 4, 16
ENOUGH: Final = 0.7
"""Of the first loss: the probe ends there."""
MUST: Final = 0.95
"""What is broken moves by nothing; a random base of two layers came to 0.92 in 16 steps."""
KNOWN: Final = 0.05
"""Nats a token: what the base says already, it need not learn."""


@dataclass(frozen=True)
class Probed:
    before: float
    after: float
    steps: int


def probe(model: Any, rows: Sequence[Encoded], rate: float) -> Probed:
    """Train on the shortest rows at `rate`, the one advised for this base. TrainingFailed where their loss stays."""
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    first = [weight.detach().clone() for weight in weights]
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []), packed(model) as able:
        few = sorted(rows, key=lambda row: row.length)[: ROWS if able else 1]
        losses = _losses(model, few, torch.optim.AdamW(weights, lr=rate, weight_decay=0.0))
    with torch.no_grad():
        for weight, was in zip(weights, first, strict=True):
            weight.copy_(was)
    made = Probed(losses[0], losses[-1], len(losses) - 1)
    if not made.after <= max(KNOWN, MUST * made.before):
        raise TrainingFailed(
            f"The adapter cannot learn even {len(few)} rows by heart: their loss went from {made.before:.3f} to "
            f"{made.after:.3f} nats in {made.steps} steps. The base, its template or the rows are not what they seem."
        )
    return made


def _losses(model: Any, rows: Sequence[Encoded], optimizer: torch.optim.Optimizer) -> list[float]:
    """Of the rows before each step, until they have fallen enough."""
    batch = on(model.device, collate([{"input_ids": row.ids, "labels": row.labels} for row in rows]))
    losses: list[float] = []
    while len(losses) <= STEPS and not (losses and losses[-1] <= max(KNOWN, ENOUGH * losses[0])):
        loss = token_losses(model, batch)[0].mean()
        losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    return losses
