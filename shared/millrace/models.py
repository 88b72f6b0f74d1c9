"""A model version and its legal moves. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .contract import ModelState
from .errors import InvalidInput
from .table import Item

NAME = re.compile(r"^[a-z][a-z0-9-]{1,31}$")
RESERVED = frozenset({"auto", "rules"})

LEGAL: dict[ModelState, frozenset[ModelState]] = {
    ModelState.DRAFT: frozenset({ModelState.QUEUED, ModelState.READY, ModelState.FAILED}),
    ModelState.QUEUED: frozenset({ModelState.TRAINING, ModelState.READY, ModelState.FAILED, ModelState.CANCELLED}),
    ModelState.TRAINING: frozenset({ModelState.READY, ModelState.FAILED, ModelState.CANCELLED}),
    ModelState.READY: frozenset({ModelState.ACTIVE, ModelState.FAILED, ModelState.CANCELLED}),
    ModelState.ACTIVE: frozenset({ModelState.READY, ModelState.FAILED}),
    ModelState.FAILED: frozenset(),
    ModelState.CANCELLED: frozenset(),
}


def may_become(state: ModelState) -> tuple[str, ...]:
    return tuple(str(before) for before, after in LEGAL.items() if state in after)


def version_id(name: str, version: int) -> str:
    """The catalogue id of a trained model."""
    return f"{name}@{version}"


def check_name(name: str) -> str:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise InvalidInput(
            f"A model's name is 2 to 32 of a-z, 0-9 and '-', begins with a letter and is not auto or rules: {name!r}."
        )
    return name


@dataclass(frozen=True)
class Model:
    id: str
    name: str
    version: int
    state: ModelState
    strategy: str
    created_at: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: list[Mapping[str, Any]] = field(default_factory=list)
    fit: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained on, so that the router knows where it holds."""
    endpoint: str | None = None
    error: str | None = None
    updated_at: str | None = None

    @classmethod
    def from_item(cls, item: Item) -> Model:
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        return cls(**{**known, "state": ModelState(item["state"])})

    def shown(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"state": str(self.state)}
