"""What a proposed CNN is and what it costs, before anything is built. Pure Python, no torch.

`admit` takes anything at all and gives back a Spec that fits the budget, or InvalidInput with one sentence. `plan`
lowers a Spec to the layers from which the cost is added up, the network is built and its source is written, so the
three cannot differ. FLOPs are of one forward pass of one image, a multiply-add counted as two, convolutions and dense
layers only, as torch.utils.flop_counter counts them; activations are the outputs of every layer.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from . import blocks as b
from .blocks import Spec, Task
from .errors import InvalidInput

__all__ = [
    "Budget",
    "Cost",
    "Layer",
    "Plan",
    "Spec",
    "Task",
    "admit",
    "cost",
    "digest",
    "fits",
    "parse",
    "plan",
    "resnet",
]

MAX_TEXT: Final = 64_000
"""Characters of one proposal as JSON."""
REASON_CHARACTERS: Final = 300
FLOAT_BYTES: Final = 4
Shape = tuple[int, int, int]
"""Channels, height, width; a vector is (n, 1, 1)."""


@dataclass(frozen=True)
class Layer:
    """One step of the plan. `parts`: the layers inside a residual or squeeze-excite block."""

    op: str
    args: Mapping[str, Any]
    out: Shape
    parameters: int = 0
    flops: int = 0
    parts: Mapping[str, tuple[Layer, ...]] = field(default_factory=dict)

    def leaves(self) -> Iterator[Layer]:
        if not self.parts:
            yield self
        for part in self.parts.values():
            for layer in part:
                yield from layer.leaves()
        if self.op == "residual":
            yield Layer("activation", {"name": self.args["activation"]}, self.out)


@dataclass(frozen=True)
class Plan:
    """From image to class scores: what sees the image, and what decides."""

    features: tuple[Layer, ...]
    head: tuple[Layer, ...]

    def leaves(self) -> Iterator[Layer]:
        for layer in (*self.features, *self.head):
            yield from layer.leaves()


@dataclass(frozen=True)
class Cost:
    parameters: int
    flops: int
    activations: int
    """Numbers that one image leaves behind on its way through."""
    layers: int
    memory_bytes: int
    """While training: weights, their mean, gradients, two moments, each activation with its gradient, for one batch."""
    training_flops: int
    """Forward and backward, all epochs."""


@dataclass(frozen=True)
class Budget:
    """The most that a proposal may cost. The defaults suit two cores and small images."""

    parameters: int = 2_000_000
    flops: int = 400_000_000
    memory_bytes: int = 2 * 1024**3
    layers: int = 400
    training_flops: float = 2e13


def admit(raw: Any, task: Task, budget: Budget) -> Spec:
    """A Spec that can be built within the budget. InvalidInput says in one sentence why not."""
    spec = parse(raw)
    if (reason := fits(spec, task, budget)) is not None:
        raise InvalidInput(reason)
    return spec


def parse(raw: Any) -> Spec:
    """JSON text, or what was read from it, as a Spec. InvalidInput names the first field that is not one."""
    if isinstance(raw, str | bytes | bytearray):
        raw = _read(raw)
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"A proposal is a JSON object, not {_kind(raw)}.")
    if len(raw) > len(Spec.model_fields):
        raise InvalidInput(f"A proposal has the fields {', '.join(Spec.model_fields)}, not {len(raw)} of them.")
    try:
        spec = Spec.model_validate(dict(raw))
        spec.note.encode()
    except ValidationError as error:
        raise InvalidInput(_sentence(error)) from None
    except UnicodeEncodeError:
        raise InvalidInput("note: It is not valid Unicode.") from None
    return spec


def fits(spec: Spec, task: Task, budget: Budget) -> str | None:
    """None where the network can be built and trained within the budget, else one sentence."""
    try:
        costs = cost(spec, task)
    except InvalidInput as error:
        return str(error)
    for name, unit in _LIMITS.items():
        value, limit = getattr(costs, name), getattr(budget, name)
        if value > limit:
            return f"It needs {_human(value)} {unit}; the budget is {_human(limit)}."
    return None


_LIMITS: Final = {
    "parameters": "parameters",
    "flops": "FLOPs for one image",
    "layers": "layers",
    "memory_bytes": "bytes of memory to train",
    "training_flops": "FLOPs to train",
}


def cost(spec: Spec, task: Task) -> Cost:
    """What the network costs. InvalidInput where its layers do not fit the image."""
    leaves = list(plan(spec, task).leaves())
    parameters = sum(leaf.parameters for leaf in leaves)
    flops = sum(leaf.flops for leaf in leaves)
    activations = math.prod((task.channels, task.height, task.width)) + sum(math.prod(leaf.out) for leaf in leaves)
    batch, epochs = spec.training.batch_size, spec.training.epochs
    return Cost(
        parameters=parameters,
        flops=flops,
        activations=activations,
        layers=len(leaves),
        memory_bytes=FLOAT_BYTES * (5 * parameters + 2 * batch * activations),
        training_flops=3 * flops * task.samples * epochs,
    )


def digest(spec: Spec) -> str:
    """12 hexadecimal digits that stay with what is built and trained; the note does not count."""
    text = json.dumps(spec.model_dump(exclude={"note"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def resnet(width: int = 16, depth: tuple[int, ...] = (2, 2, 2), epochs: int = 12) -> Spec:
    """He et al. 2015 for small images: a stem, stages of residual blocks that halve the image, global average."""
    stages = [
        b.Residual(kind="residual", filters=width << stage, stride=2 if stage and not nth else 1)
        for stage, blocks in enumerate(depth)
        for nth in range(blocks)
    ]
    gentle = b.Augmentation(shift=0.1, rotate=8.0, scale=0.1)
    recipe = b.Recipe(optimizer="sgd", learning_rate=0.1, weight_decay=5e-4, epochs=epochs, augmentation=gentle)
    return Spec(blocks=[b.Conv(kind="conv", filters=width), *stages], training=recipe, note="ResNet")


# --- lowering ---------------------------------------------------------------------------------------------------------
def plan(spec: Spec, task: Task) -> Plan:
    """Every layer with its shape. InvalidInput where nothing of the image is left for one."""
    shape: Shape = (task.channels, task.height, task.width)
    features: list[Layer] = []
    for number, block in enumerate(spec.blocks, 1):
        features += _block(block, shape, number)
        shape = features[-1].out
    return Plan(tuple(features), tuple(_head(spec.head, shape, task.classes)))


def _block(block: b.Block, shape: Shape, number: int) -> list[Layer]:
    if isinstance(block, b.Pool):
        return [_pool(block, shape, number)]
    if isinstance(block, b.Normalise):
        return [norm_layer(block.norm, shape)]
    if isinstance(block, b.Activate):
        return [activation_layer(block.activation, shape)]
    if isinstance(block, b.Drop):
        return [Layer("dropout2d", {"rate": block.rate}, shape)]
    if isinstance(block, b.Squeeze):
        return [_squeeze(shape, block.ratio, "relu")]
    if isinstance(block, b.Residual):
        return [_residual(block, shape)]
    if isinstance(block, b.Separable):
        return _separable(block, shape)
    return _convolved(shape, block.filters, block.kernel, block.stride, 1, block.norm, block.activation)


def convolution(shape: Shape, filters: int, kernel: int, stride: int, groups: int = 1, bias: bool = False) -> Layer:
    channels, height, width = shape
    out = (filters, -(-height // stride), -(-width // stride))
    weights = filters * (channels // groups) * kernel * kernel
    args = {"in": channels, "out": filters, "kernel": kernel, "stride": stride, "groups": groups, "bias": bias}
    return Layer("conv", args, out, weights + filters * bias, 2 * weights * out[1] * out[2])


def _convolved(
    shape: Shape, filters: int, kernel: int, stride: int, groups: int, norm: b.Norm, activation: str | None
) -> list[Layer]:
    made = [convolution(shape, filters, kernel, stride, groups, bias=norm == "none")]
    if norm != "none":
        made.append(norm_layer(norm, made[0].out))
    if activation is not None:
        made.append(activation_layer(activation, made[0].out))
    return made


def _separable(block: b.Separable, shape: Shape) -> list[Layer]:
    channels = shape[0]
    deep = _convolved(shape, channels, block.kernel, block.stride, channels, block.norm, block.activation)
    return deep + _convolved(deep[-1].out, block.filters, 1, 1, 1, block.norm, block.activation)


def _residual(block: b.Residual, shape: Shape) -> Layer:
    first = _convolved(shape, block.filters, block.kernel, block.stride, 1, block.norm, block.activation)
    body = first + _convolved(first[-1].out, block.filters, block.kernel, 1, 1, block.norm, None)
    out = body[-1].out
    if block.squeeze:
        body.append(_squeeze(out, block.squeeze, block.activation))
    shortcut = [] if out == shape else _convolved(shape, block.filters, 1, block.stride, 1, block.norm, None)
    parts = {"body": tuple(body), "shortcut": tuple(shortcut)}
    return Layer("residual", {"activation": block.activation}, out, parts=parts)


def _squeeze(shape: Shape, ratio: int, activation: str) -> Layer:
    channels = shape[0]
    small = max(4, channels // ratio)
    pooled: Shape = (channels, 1, 1)
    inner = (
        Layer("global_avg", {}, pooled),
        convolution(pooled, small, 1, 1, bias=True),
        activation_layer(activation, (small, 1, 1)),
        convolution((small, 1, 1), channels, 1, 1, bias=True),
        Layer("sigmoid", {}, pooled),
    )
    return Layer("squeeze_excite", {}, shape, parts={"weigh": inner})


def _pool(block: b.Pool, shape: Shape, number: int) -> Layer:
    channels, height, width = shape
    if min(height, width) < block.size:
        raise InvalidInput(f"Block {number} pools {block.size} x {block.size} where {height} x {width} are left.")
    out = (channels, height // block.size, width // block.size)
    return Layer(f"{block.mode}_pool", {"size": block.size}, out)


def norm_layer(norm: b.Norm, shape: Shape) -> Layer:
    groups = {"layer": 1, "group": math.gcd(shape[0], 8)}.get(norm)
    args = {"channels": shape[0]} if groups is None else {"groups": groups, "channels": shape[0]}
    return Layer("batch_norm" if groups is None else "group_norm", args, shape, 2 * shape[0])


def activation_layer(name: str, shape: Shape) -> Layer:
    return Layer("activation", {"name": name}, shape)


def _head(head: b.Head, shape: Shape, classes: int) -> list[Layer]:
    made: list[Layer] = []
    if head.pool != "flatten":
        shape = (shape[0], 1, 1)
        made.append(Layer(f"global_{head.pool}", {}, shape))
    wide = math.prod(shape)
    made.append(Layer("flatten", {}, (wide, 1, 1)))
    for width in head.dense:
        made += [dense(wide, width), activation_layer(head.activation, (width, 1, 1))]
        wide = width
    if head.dropout:
        made.append(Layer("dropout", {"rate": head.dropout}, (wide, 1, 1)))
    return [*made, dense(wide, classes)]


def dense(wide: int, out: int) -> Layer:
    return Layer("linear", {"in": wide, "out": out}, (out, 1, 1), wide * out + out, 2 * wide * out)


_KINDS: Final = "kind is one of conv, separable, residual, squeeze_excite, pool, norm, activation, dropout"


# --- words ------------------------------------------------------------------------------------------------------------
def _read(text: str | bytes | bytearray) -> Any:
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"A proposal has at most {MAX_TEXT:,} characters, not {len(text):,}.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a number of 5,000 digits and bytes that are no text are ValueErrors too
        raise InvalidInput("The proposal is not JSON.") from None


def _kind(raw: Any) -> str:
    return {list: "a list", str: "text", type(None): "nothing"}.get(type(raw), f"a {type(raw).__name__}")


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong; what was given is not repeated, and a key's name is cut and escaped."""
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    place = ".".join(ascii(str(part)[:40])[1:-1] for part in first["loc"][:6])
    told = _KINDS if first["type"].startswith("union_tag") else first["msg"]
    sentence = f"{place}: {told}" if place else told
    return sentence.encode("ascii", "backslashreplace").decode()[:REASON_CHARACTERS].rstrip(".") + "."


def _human(value: float) -> str:
    for size, suffix in ((1e15, "e15"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:,.1f} {suffix}"
    return f"{value:,.0f}"
