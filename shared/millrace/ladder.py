"""The out-of-memory ladder: settings of a job that died of memory in, settings that need less out. Pure.

A container that ran out says `OutOfMemory: ...` in output/failure; whoever restarts the job takes the next
rung. Each rung gives up as little as it can: first smaller batches, accumulated so that a step still sees as many rows;
then activations computed twice instead of kept; then shorter rows. Settings that a strategy has not are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .contract import OUT_OF_MEMORY

SHORTEST: Final = 128
"""Tokens: rows cut below this teach something else."""


def ladder(hyperparameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same settings one rung lower, or None at the foot."""
    batch, length = hyperparameters.get("batch_size", 1), hyperparameters.get("max_length", SHORTEST)
    if batch > 1:
        smaller = {"batch_size": (batch + 1) // 2}
        more = {"accumulation": hyperparameters["accumulation"] * 2} if "accumulation" in hyperparameters else {}
        return {**hyperparameters, **smaller, **more}
    if hyperparameters.get("gradient_checkpointing") is False:
        return {**hyperparameters, "gradient_checkpointing": True}
    if length > SHORTEST:
        return {**hyperparameters, "max_length": max(SHORTEST, length // 2)}
    return None


def ran_out(sentence: str | None) -> bool:
    """Whether a container's last sentence says that memory was what it lacked."""
    return OUT_OF_MEMORY in (sentence or "")
