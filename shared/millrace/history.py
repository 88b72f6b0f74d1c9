"""The history of a search: what was tried, how far it came, and when a proposal is new. Pure.

`Tried` is a line of the history that a proposer reads, of results.json that a container writes, and of the search tree
that the console draws. Accuracies are of the validation split, in [0, 1].
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from .architecture import Budget, Spec, Task

Source = Literal["llm", "evolution", "retry", "baseline", "user"]


class Tried(BaseModel):
    """One candidate and how far it came: a line of the history, of results.json and of the search tree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """`architecture.digest` of the spec."""
    number: int
    """Of the trial, as the progress lines name it."""
    spec: Spec
    state: Literal["completed", "failed", "stopped"]
    """stopped: not promoted to the next rung."""
    source: Source = "evolution"
    parent: str | None = None
    round: int = 0
    epochs: int = 0
    """Trained for, at the furthest rung."""
    seed: int = 0
    accuracy: float | None = None
    loss: float | None = None
    curve: list[tuple[int, float, float]] = []
    """(epoch, training loss, validation accuracy)."""
    parameters: int = 0
    flops: int = 0
    seconds: float = 0.0
    memory_bytes: int = 0
    code: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Search:
    """What every proposal of a search is held against."""

    task: Task
    budget: Budget
    description: str = ""
    """The domain in the user's words; shown to the model as a value, never as an instruction."""


@dataclass(frozen=True)
class Proposed:
    specs: list[Spec]
    source: Source
    failures: int
    """Questions in vain up to here; hand it in again."""
    refused: list[str] = field(default_factory=list)
    """One sentence for each thing that was not taken."""
    parents: dict[str, str] = field(default_factory=dict)
    """digest -> digest of what it was made from."""
    sources: dict[str, Source] = field(default_factory=dict)
    """digest -> who proposed it, where that is not `source`."""


def best(history: Iterable[Tried]) -> list[Tried]:
    """Best validation accuracy first, among equals the one trained longer, then the smaller loss."""
    scored = [tried for tried in history if tried.accuracy is not None]
    return sorted(scored, key=lambda t: (-(t.accuracy or 0.0), -t.epochs, t.loss or math.inf, t.id))


def signature(spec: Spec) -> str:
    """Equal for proposals between which nobody would see a difference: rates within a third, widths within a sixth."""
    told = spec.model_dump(exclude={"note"})
    return json.dumps(_coarse(told), sort_keys=True)


def _coarse(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _coarse(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_coarse(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
        return value
    return round(math.log2(value) * (3 if isinstance(value, int) else 2))
