"""What can be trained, where, and with which hyperparameters: the containers' own strategy.json files, gathered.

Pure. `STRATEGIES` is read from files beside this module that the assets carry; a container's strategy.json is the
only place where a strategy is described.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .datapoints import check_unicode
from .errors import InvalidInput

MIN_TRAIN_PAIRS = 40
"""Fewer rows in the training split than this teach a model nothing that a gate could measure."""

LARGEST = 2**53
"""Beyond it JSON readers disagree about a number."""
MAX_CHARACTERS, MAX_ITEMS = 2_500, 100
"""SageMaker takes no longer value; it travels as JSON."""

_ROOT = Path(__file__).parents[2] / "training_containers"
_CARRIED = Path(__file__).parent / "strategies.d"
"""In an asset: <container>.json, copied there when it is built."""

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list,),
}


@dataclass(frozen=True)
class Strategy:
    name: str
    container: str
    kind: str
    """`strategy` can be asked for; `step` is a stage of the pipeline."""
    title: str
    hyperparameters: Mapping[str, Mapping[str, Any]]
    """The properties of their JSON schema: type, minimum, maximum, enum, default, description."""
    resources: Mapping[str, Any]
    data: str = "pairs"
    """What it trains on: pairs of a snapshot, or images of a dataset."""
    framework: str = "pytorch"
    """What it trains with."""
    aliases: tuple[str, ...] = ()
    """Other names that it can be asked for by."""
    needs: tuple[str, ...] = ()
    """Channels that it cannot do without."""

    def settle(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults with the user's values over them. InvalidInput names what is unknown or out of bounds."""
        unknown = sorted(set(given) - set(self.hyperparameters))
        if unknown:
            known = ", ".join(sorted(self.hyperparameters))
            raise InvalidInput(f"{self.name} has no hyperparameter {', '.join(unknown)}; it has {known}.")
        for name, value in given.items():
            _check(self.name, name, value, self.hyperparameters[name])
            if len(json.dumps(value, ensure_ascii=False)) > MAX_CHARACTERS:
                raise InvalidInput(f"{self.name}: {name} is over {MAX_CHARACTERS:,} characters as JSON.")
        defaults = {name: schema["default"] for name, schema in self.hyperparameters.items() if "default" in schema}
        return defaults | dict(given)


def _check(strategy: str, name: str, value: Any, schema: Mapping[str, Any]) -> None:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    types = tuple(t for kind in kinds for t in _TYPES.get(kind, ()))
    good = (value is None and "null" in kinds) or (
        isinstance(value, types) and (not isinstance(value, bool) or "boolean" in kinds)
    )
    if not good:
        raise InvalidInput(f"{strategy}: {name} is of type {' or '.join(kinds)}, not {value!r}.")
    if isinstance(value, (int, float)) and not _within(value, schema):
        low = schema.get("minimum", schema.get("exclusiveMinimum", -LARGEST))
        raise InvalidInput(
            f"{strategy}: {name} lies between {low} and {schema.get('maximum', LARGEST)}, not at {value}."
        )
    if isinstance(value, str):
        check_unicode(name, value)
        if len(value) > schema.get("maxLength", MAX_CHARACTERS):
            raise InvalidInput(f"{strategy}: {name} has {len(value):,} characters, over its limit.")
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", MAX_ITEMS):
            raise InvalidInput(f"{strategy}: {name} has {len(value)} items, over its limit.")
        for item in value:
            _check(strategy, f"an item of {name}", item, schema.get("items", {"type": "string"}))
    if "enum" in schema and value not in schema["enum"]:
        raise InvalidInput(f"{strategy}: {name} is one of {', '.join(map(str, schema['enum']))}, not {value!r}.")


def _within(value: float, schema: Mapping[str, Any]) -> bool:
    """JSON knows no NaN, Python's reader does: what is not finite lies nowhere."""
    if not -LARGEST <= value <= LARGEST:
        return False
    return (
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


@cache
def strategies() -> dict[str, Strategy]:
    """Every strategy and step of every container, by name."""
    files = sorted(_CARRIED.glob("*.json")) or sorted(_ROOT.glob("*/strategy.json"))
    found: dict[str, Strategy] = {}
    for path in files:
        described = json.loads(path.read_text())
        container = path.stem if path.parent == _CARRIED else path.parent.name
        for name, entry in described["strategies"].items():
            found[name] = Strategy(
                name=name,
                container=container,
                kind=entry["kind"],
                title=entry.get("title", name),
                hyperparameters=entry["hyperparameters"]["properties"],
                resources=entry["resources"],
                data=entry.get("data", "pairs"),
                framework=entry.get("framework", "pytorch"),
                aliases=tuple(entry.get("aliases", ())),
                needs=tuple(entry.get("channels", {}).get("required", ())),
            )
    return found


def find(name: str) -> Strategy:
    """By its name or an alias. InvalidInput names those there are."""
    known = strategies()
    name = next((strategy.name for strategy in known.values() if name in strategy.aliases), name)
    if name not in known or known[name].kind != "strategy":
        names = ", ".join(sorted(n for n, s in known.items() if s.kind == "strategy"))
        raise InvalidInput(f"There is no strategy {name!r}; there is {names}.")
    return known[name]


SERVED = {"lora": "serve"}
"""Container of a strategy -> the one that serves its models; any other serves its own."""


def served_by(strategy: str) -> str:
    """The container that serves a model which this strategy trained."""
    container = strategies()[strategy].container if strategy in strategies() else "lora"
    return SERVED.get(container, container)


AFTER = {"lora": ("lora-evaluate", "gguf")}
"""Container of a strategy -> the steps that follow its training."""


def following(strategy: Strategy, given: Mapping[str, Any]) -> list[Strategy]:
    """The containers that run after the strategy's first one. A search's first round is counted as that."""
    names: tuple[str, ...] = AFTER.get(strategy.container, ())
    if strategy.name == "cnn-search":
        rounds = int(given.get("rounds", strategy.hyperparameters["rounds"]["default"]))
        names = ("cnn-trials",) * (rounds - 1) + ("cnn-finish",)
    return [strategies()[name] for name in names]
