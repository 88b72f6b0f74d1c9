"""The schema and its cost: against torch, against 10^5 random and hostile proposals, and against escapes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import torch
from millrace import blocks
from millrace.architecture import Budget, Spec, Task, admit, cost, digest, fits, parse, plan, resnet
from millrace.errors import InvalidInput
from millrace.evolution import drawn, mutated
from torch.utils.flop_counter import FlopCounterMode

from tests.fakes import LONG
from tests.millrace.escapes import ESCAPES
from training_containers.cnn_search.build import CALLS, Network
from training_containers.cnn_search.modules import Residual, SqueezeExcite

TASK = Task(height=8, width=8, channels=1, classes=10, samples=1_000)
COLOUR = Task(height=20, width=13, channels=3, classes=4, samples=500)
EVERYTHING: list[dict[str, Any]] = [
    {"kind": "conv", "filters": 12, "kernel": 5, "norm": "none", "activation": "silu"},
    {"kind": "separable", "filters": 16, "stride": 2, "norm": "group"},
    {"kind": "residual", "filters": 20, "stride": 2, "squeeze": 4, "activation": "hardswish"},
    {"kind": "residual", "filters": 20, "norm": "layer"},
    {"kind": "squeeze_excite", "ratio": 8},
    {"kind": "norm", "norm": "layer"},
    {"kind": "activation", "activation": "mish"},
    {"kind": "dropout", "rate": 0.2},
    {"kind": "pool", "mode": "avg", "size": 2},
]
WHOLE = {"blocks": EVERYTHING, "head": {"pool": "max", "dense": [32, 16], "dropout": 0.3}, "note": "all of it"}


def specs() -> Iterator[tuple[Spec, Task]]:
    yield parse(WHOLE), COLOUR
    yield parse({"blocks": EVERYTHING[:3], "head": {"pool": "flatten"}}), COLOUR
    yield resnet(), TASK
    draw = Random(0)
    for _ in range(25):
        yield mutated(mutated(drawn(TASK, draw), draw), draw), TASK


@pytest.mark.parametrize(("spec", "task"), list(specs()))
def test_the_cost_is_what_torch_counts(spec: Spec, task: Task) -> None:
    costs, model = cost(spec, task), Network(plan(spec, task)).eval()
    seen: list[int] = []
    for module in model.modules():
        if not any(module.children()) and not isinstance(module, torch.nn.Identity):
            module.register_forward_hook(lambda _, __, out: seen.append(out.numel()))
    with FlopCounterMode(display=False) as counter:
        out = model(torch.zeros(1, task.channels, task.height, task.width))

    assert out.shape == (1, task.classes)
    assert costs.parameters == sum(p.numel() for p in model.parameters())
    assert costs.flops == counter.get_total_flops()
    assert costs.activations == task.channels * task.height * task.width + sum(seen)
    assert costs.layers == len(seen)


def test_training_takes_no_more_memory_than_was_said() -> None:
    """Everything that autograd keeps, and the weights with their gradients and moments."""
    spec = parse({"blocks": EVERYTHING, "training": {"batch_size": 32}})
    model = Network(plan(spec, COLOUR)).train()
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.zeros(32, 3, 20, 13)).sum()

    weights = sum(p.numel() * 4 for p in model.parameters())
    assert sum(kept.values()) + 3 * weights <= cost(spec, COLOUR).memory_bytes


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("nothing", "not JSON"),
        ("[" * 50_000, "not JSON"),
        ('{"blocks": ' + "9" * 6_000 + "}", "not JSON"),
        ("x" * 70_000, "at most 64,000 characters"),
        ("[]", "not a list"),
        ("null", "not nothing"),
        ({}, "blocks: Field required."),
        ({"blocks": []}, "blocks: List should have at least 1 item"),
        ({"blocks": [{"kind": "conv"}] * 49}, "at most 48 items"),
        ({"blocks": [{"kind": "conv", "filters": "64"}]}, r"blocks\.0\.conv\.filters: Input should be a valid integer"),
        ({"blocks": [{"kind": "conv", "filters": True}]}, "valid integer"),
        ({"blocks": [{"kind": "conv", "filters": 8.5}]}, "valid integer"),
        ({"blocks": [{"kind": "conv", "filters": 10**30}]}, "less than or equal to 1024"),
        ({"blocks": [{"kind": "conv", "filters": 8, "code": "x"}]}, "Extra inputs are not permitted"),
        ({"blocks": [{"kind": "lambda"}]}, "kind is one of conv, separable"),
        ({"blocks": [{"kind": "pool"}], "training": {"learning_rate": math.nan}}, "finite number"),
        ({"blocks": [{"kind": "pool"}], "training": {"learning_rate": math.inf}}, "finite number"),
        ({"blocks": [{"kind": "pool"}], "note": "\ud800"}, "note: "),
        ({str(n): n for n in range(1_000)}, "not 1000 of them"),
    ],
)
def test_what_is_no_proposal_is_refused_with_one_sentence(raw: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as told:
        parse(raw)
    assert len(str(told.value)) <= 330 and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"blocks": [{"kind": "pool"}] * 4}, "Block 4 pools 2 x 2 where 1 x 1 are left."),
        ({"blocks": [{"kind": "conv", "filters": 1024, "kernel": 7}] * 40}, "2.0 G parameters; the budget is 2.0 M"),
        ({"blocks": [{"kind": "conv", "filters": 200}] * 5}, "FLOPs for one image|parameters"),
        ({"blocks": [{"kind": "residual", "filters": 4, "squeeze": 2}] * 48}, "layers; the budget is 400"),
        ({"blocks": [{"kind": "conv", "filters": 64}], "training": {"batch_size": 1024}}, None),
    ],
)
def test_what_does_not_fit_is_refused_with_the_figure_and_the_limit(raw: Any, said: str | None) -> None:
    if said is None:
        assert fits(parse(raw), TASK, Budget()) is None
        return
    with pytest.raises(InvalidInput, match=said):
        admit(raw, TASK, Budget(flops=10_000_000))


@pytest.mark.parametrize("escape", ESCAPES)
def test_an_escape_in_any_field_is_data_or_refused(escape: str) -> None:
    """In the note it is kept as it is and built by nothing; everywhere else it is no value, and as a key no field."""
    assert len(ESCAPES) == len(set(ESCAPES)) == 60
    whole = parse(WHOLE).model_dump()
    for hurt in _hurt(whole, escape):
        if hurt["note"] == escape:
            spec = admit(hurt, COLOUR, Budget())
            assert spec.note == escape and digest(spec) == digest(parse(WHOLE))
            continue
        with pytest.raises(InvalidInput) as told:
            admit(hurt, COLOUR, Budget())
        assert str(told.value).isprintable()


def _hurt(value: Any, escape: str) -> Iterator[Any]:
    """Copies with one value, or one key, replaced."""
    if isinstance(value, dict):
        yield value | {escape: 1}
        for key, inner in value.items():
            yield from ({**value, key: made} for made in _hurt(inner, escape))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], made, *value[at + 1 :]] for made in _hurt(inner, escape))
    else:
        yield escape


def test_random_and_hostile_proposals_are_admitted_and_fit_or_are_refused_with_a_reason() -> None:
    """10^5 in the long form, of which a sample is built: every one that was admitted keeps within its budget."""
    draw, budget = Random(1), Budget()
    admitted, refused = [], 0
    for _ in range(100_000 if LONG else 3_000):
        raw = _anything(draw)
        try:
            admitted.append(admit(raw, TASK, budget))
        except InvalidInput as error:
            refused += 1
            assert 10 < len(str(error)) < 400
    assert len(admitted) > 300 and refused > 300
    for spec in draw.sample(admitted, 1_000 if LONG else 30):
        model = Network(plan(spec, TASK))
        assert sum(p.numel() for p in model.parameters()) == cost(spec, TASK).parameters <= budget.parameters
        assert model.eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


_ODD: tuple[Any, ...] = (None, -1, 0, 10**9, 10**400, 1e308, math.nan, math.inf, "", "8", [], {}, True, "\ud800", [[]])


def _anything(draw: Random) -> Any:
    """A drawn proposal, grown or not, and two times in three with something odd in it."""
    blocks_ = [_block(draw) for _ in range(draw.choice((1, 2, 4, 8, 20, 48, 60)))]
    raw: dict[str, Any] = {"blocks": blocks_, "training": {"batch_size": draw.choice((8, 64, 1024))}}
    if draw.random() < 0.3:
        raw["head"] = {"pool": draw.choice(("avg", "flatten")), "dense": [draw.choice((4, 64, 2048))]}
    for _ in range(draw.choice((0, 1, 2))):
        _spoil(raw, draw)
    return json.dumps(raw) if draw.random() < 0.3 else raw


def _block(draw: Random) -> dict[str, Any]:
    kind = draw.choice(("conv", "separable", "residual", "pool", "squeeze_excite", "norm", "activation", "dropout"))
    if kind in ("conv", "separable", "residual"):
        filters = draw.choice((4, 8, 16, 32, 64, 1024))
        return {"kind": kind, "filters": filters, "kernel": draw.choice((1, 3, 5, 7)), "stride": draw.choice((1, 1, 2))}
    return {"kind": kind}


def _spoil(value: Any, draw: Random) -> None:
    while isinstance(value, dict | list) and value:
        key = draw.choice(sorted(value)) if isinstance(value, dict) else draw.randrange(len(value))
        if draw.random() < 0.4 or not isinstance(value[key], dict | list):
            value[key] = draw.choice((*_ODD, *ESCAPES))
            return
        value = value[key]


def test_the_digest_stays_with_what_is_built() -> None:
    one = parse(WHOLE)

    assert digest(one) == digest(parse(json.dumps(WHOLE | {"note": "other"}))) == digest(parse(one.model_dump()))
    assert digest(one) != digest(one.model_copy(update={"head": blocks.Head()}))


def test_what_torch_lacks_is_all_that_modules_adds() -> None:
    kinds = {type(module) for module in Network(plan(parse(WHOLE), COLOUR)).modules()} - {
        Network,
        Residual,
        SqueezeExcite,
    }
    assert all(kind.__module__.startswith("torch.nn.modules.") for kind in kinds)
    assert {layer.op for layer in plan(parse(WHOLE), COLOUR).leaves()} <= set(architecture_ops())


def architecture_ops() -> set[str]:

    return set(CALLS)


def test_no_torch_is_imported_to_know_the_cost() -> None:
    code = "import sys, millrace.architecture, millrace.proposals; print({'torch', 'numpy'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
