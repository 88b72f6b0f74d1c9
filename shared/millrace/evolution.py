"""Evolution: the proposer that needs no machine behind it. Pure; the draw is handed in.

A first round from the prior, then children of the better ones (Real et al. 2019, with crossover), a share drawn afresh.
What is proposed fits the budget and differs from everything tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from . import blocks as b
from .architecture import Spec, Task, digest, fits
from .history import Proposed, Search, Tried, best, signature

TRIES: Final = 200
"""Draws for one novel proposal that fits, before it is left out."""
RANDOM_SHARE: Final = 0.25
"""Of the proposals of a later round that are drawn afresh, so that the search does not settle too soon."""


def evolve(search: Search, history: Sequence[Tried], n: int, draw: Random) -> Proposed:
    """`n` proposals, or fewer where nothing new that fits is found."""
    known = {signature(tried.spec) for tried in history}
    parents = [tried for tried in best(history) if tried.source != "baseline"]
    parents = parents[: max(4, len(parents) // 3)]
    specs: list[Spec] = []
    origin: dict[str, str] = {}
    for _ in range(n):
        for _ in range(TRIES):
            parent = None if len(parents) < 2 or draw.random() < RANDOM_SHARE else draw.choice(parents)
            spec = drawn(search.task, draw) if parent is None else _child(parent, parents, draw)
            if signature(spec) not in known and fits(spec, search.task, search.budget) is None:
                known.add(signature(spec))
                specs.append(spec)
                if parent is not None:
                    origin[digest(spec)] = parent.id
                break
    return Proposed(specs, "evolution", 0, [], origin)


def _child(parent: Tried, parents: Sequence[Tried], draw: Random) -> Spec:
    other = draw.choice(parents)
    spec = crossed(parent.spec, other.spec, draw) if draw.random() < 0.3 else parent.spec
    for _ in range(draw.choice((1, 1, 2, 3))):
        spec = mutated(spec, draw)
    return spec


RATES: Final[dict[str, tuple[float, float]]] = {
    "adamw": (2e-3, 3e-2),
    "adam": (1e-3, 1e-2),
    "sgd": (3e-2, 3e-1),
    "rmsprop": (5e-4, 5e-3),
    "lion": (3e-4, 3e-3),
}
"""Where each optimiser's highest rate usually lies for small networks with norms and one cycle."""


def drawn(task: Task, draw: Random) -> Spec:
    """From the prior: stages that halve the image and widen, until about 3 pixels are left."""
    width, side = draw.choice((12, 16, 24, 32)), min(task.height, task.width)
    kind = draw.choice(("conv", "conv", "residual", "separable"))
    activation = draw.choice(("relu", "relu", "silu", "gelu", "hardswish"))
    made: list[dict[str, Any]] = [{"kind": "conv", "filters": width, "activation": activation}]
    depth = draw.choice((1, 1, 2))
    while True:
        made += [{"kind": kind, "filters": width, "activation": activation} for _ in range(depth)]
        if side < 6 or len(made) > 30:
            break
        made.append({"kind": "pool", "mode": draw.choice(("max", "max", "avg"))})
        side, width = side // 2, min(256, round(width * draw.choice((1.5, 2))))
    if draw.random() < 0.25:
        made.append({"kind": "squeeze_excite"})
    head = {"pool": draw.choice(("max", "avg")), "dropout": draw.choice((0.0, 0.0, 0.1, 0.2))}
    return Spec.model_validate({"blocks": made, "head": head, "training": _recipe(task, draw).model_dump()})


def _recipe(task: Task, draw: Random) -> b.Recipe:
    optimizer = draw.choice(("adamw", "adamw", "sgd", "rmsprop", "adam", "lion"))
    moves = b.Augmentation(
        shift=draw.choice((0.0, 0.05, 0.1, 0.15)),
        rotate=draw.choice((0.0, 5.0, 10.0)),
        scale=draw.choice((0.0, 0.1, 0.15)),
        flip=task.channels == 3 and draw.random() < 0.3,
    )
    low, high = RATES[optimizer]
    return b.Recipe(
        optimizer=optimizer,  # type: ignore[arg-type]
        learning_rate=_between(low, high, draw),
        weight_decay=5e-4 if optimizer == "sgd" else draw.choice((1e-3, 1e-2, 5e-2)),
        batch_size=draw.choice((64, 64, 128)),
        epochs=draw.choice((9, 12, 18)),
        label_smoothing=draw.choice((0.0, 0.05, 0.1)),
        augmentation=moves,
    )


def _between(low: float, high: float, draw: Random) -> float:
    """Log-uniform, three digits."""
    return float(f"{math.exp(draw.uniform(math.log(low), math.log(high))):.3g}")


def crossed(one: Spec, other: Spec, draw: Random) -> Spec:
    """The blocks of one, the head and the training of either."""
    head, training = draw.choice((one.head, other.head)), draw.choice((one.training, other.training))
    return one.model_copy(update={"head": head, "training": training, "note": ""})


def mutated(spec: Spec, draw: Random) -> Spec:
    """One thing changed, within the schema's bounds."""
    told = spec.model_dump()
    draw.choice(_MUTATIONS)(told, draw)
    told["note"] = ""
    try:
        return Spec.model_validate(told)
    except ValueError:
        return spec  # over a bound: the caller draws again


def _learning_rate(told: dict[str, Any], draw: Random) -> None:
    recipe = told["training"]
    recipe["learning_rate"] = float(f"{min(1.0, recipe['learning_rate'] * draw.choice((0.4, 0.6, 1.6, 2.5))):.3g}")


def _optimizer(told: dict[str, Any], draw: Random) -> None:
    optimizer = draw.choice(sorted(RATES))
    told["training"] |= {"optimizer": optimizer, "learning_rate": _between(*RATES[optimizer], draw)}


def _training(told: dict[str, Any], draw: Random) -> None:
    recipe, which = told["training"], draw.randrange(4)
    if which == 0:
        recipe["batch_size"] = max(8, min(1024, round(recipe["batch_size"] * draw.choice((0.5, 2)))))
    elif which == 1:
        recipe["epochs"] = max(4, min(300, round(recipe["epochs"] * draw.choice((0.7, 1.4)))))
    elif which == 2:
        recipe["weight_decay"] = draw.choice((0.0, 5e-4, 5e-3, 2e-2, 5e-2))
    else:
        recipe["label_smoothing"] = draw.choice((0.0, 0.05, 0.1, 0.15))


def _augmentation(told: dict[str, Any], draw: Random) -> None:
    values = {"shift": (0.0, 0.05, 0.1, 0.15), "rotate": (0.0, 5.0, 10.0, 15.0), "scale": (0.0, 0.1, 0.2)}
    values |= {"noise": (0.0, 0.05, 0.1), "cutout": (0.0, 0.2, 0.3), "mixup": (0.0, 0.1, 0.2)}
    name = draw.choice(sorted(values))
    told["training"]["augmentation"][name] = draw.choice(values[name])


def _dropout(told: dict[str, Any], draw: Random) -> None:
    told["head"]["dropout"] = draw.choice((0.0, 0.1, 0.2, 0.3))


def _head(told: dict[str, Any], draw: Random) -> None:
    told["head"] |= {"pool": draw.choice(("avg", "max")), "dense": draw.choice(([], [], [64], [128]))}


def _widths(told: dict[str, Any], draw: Random) -> None:
    factor = draw.choice((0.67, 1.5))
    for block in told["blocks"]:
        if "filters" in block:
            block["filters"] = max(4, min(1024, round(block["filters"] * factor / 4) * 4))


def _one_block(told: dict[str, Any], draw: Random) -> None:
    block = draw.choice([block for block in told["blocks"] if "filters" in block] or [{}])
    change = {"kernel": draw.choice((3, 3, 5)), "activation": draw.choice(("relu", "silu", "gelu", "hardswish"))}
    name = draw.choice(sorted(change))
    if name in block:
        block[name] = change[name]


def _longer(told: dict[str, Any], draw: Random) -> None:
    at = draw.randrange(len(told["blocks"]))
    widths = [block["filters"] for block in told["blocks"][: at + 1] if "filters" in block]
    kind = draw.choice(("conv", "residual", "separable", "squeeze_excite"))
    block = {"kind": kind} if kind == "squeeze_excite" else {"kind": kind, "filters": widths[-1] if widths else 16}
    told["blocks"].insert(at + 1, block)


def _shorter(told: dict[str, Any], draw: Random) -> None:
    if len(told["blocks"]) > 2:
        del told["blocks"][draw.randrange(1, len(told["blocks"]))]


_MUTATIONS: Final = (
    *(_learning_rate, _learning_rate, _optimizer, _training, _training, _augmentation),
    *(_dropout, _head, _widths, _one_block, _longer, _shorter),
)


# --- after a failure --------------------------------------------------------------------------------------------------
def retried(spec: Spec, code: str) -> Spec | None:
    """The same network with what probably broke it changed; None where nothing is left to change."""
    recipe = spec.training
    if code == "diverged":
        changed = {"learning_rate": max(1e-5, recipe.learning_rate / 4), "warmup": max(recipe.warmup, 0.25)}
    elif code == "memory":
        changed = {"batch_size": max(8, recipe.batch_size // 2)}
    elif code == "timeout":
        changed = {"epochs": max(1, recipe.epochs // 2)}
    else:
        changed = {"learning_rate": max(1e-5, recipe.learning_rate / 2)}
    made = spec.model_copy(update={"training": recipe.model_copy(update=changed)})
    return None if digest(made) == digest(spec) else made
