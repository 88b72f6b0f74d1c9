"""The out-of-memory ladder: settings of a job that died of memory in, settings that need less out. Pure.

A container that ran out says `OutOfMemory: ...` in output/failure; whoever restarts the job takes the next
rung. Each rung gives up as little as it can: first smaller batches, accumulated so that a step still sees as many rows;
then activations computed twice instead of kept; then shorter rows. Settings that a strategy has not are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .contract import OUT_OF_MEMORY

MOST_ACCUMULATED: Final = 4096
"""What the strategies take at the most."""
SHORTEST: Final = 128
"""Tokens: rows cut below this teach something else."""


def ladder(hyperparameters: Mapping[str, Any], least_batch: int = 1) -> dict[str, Any] | None:
    """The same settings one rung lower, or None at the foot. `least_batch`: what the strategy takes at the least."""
    batch, length = hyperparameters.get("batch_size", 1), hyperparameters.get("max_length", SHORTEST)
    if batch > least_batch:
        smaller = {"batch_size": max(least_batch, (batch + 1) // 2)}
        more = {}
        if "accumulation" in hyperparameters:
            more = {"accumulation": min(MOST_ACCUMULATED, hyperparameters["accumulation"] * 2)}
        return {**hyperparameters, **smaller, **more}
    if hyperparameters.get("gradient_checkpointing") is False:
        return {**hyperparameters, "gradient_checkpointing": True}
    if length > SHORTEST:
        return {**hyperparameters, "max_length": max(SHORTEST, length // 2)}
    return None


def ran_out(sentence: str | None) -> bool:
    """Whether a container's last sentence says that memory was what it lacked."""
    return OUT_OF_MEMORY in (sentence or "")
