"""From a plan to a network in torch, and to the Python that says the same. One table serves both.

Nothing of a proposal is ever evaluated: a layer's name is looked up in CALLS, and what is passed on is numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import torch
from millrace.architecture import Layer, Plan
from torch import Tensor, nn

from .modules import Residual, SqueezeExcite

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A class of torch.nn, its arguments by place, and by name."""

ACTIVATIONS: Final[Mapping[str, Call]] = {
    "relu": ("ReLU", (), {}),
    "leaky_relu": ("LeakyReLU", (0.1,), {}),
    "elu": ("ELU", (), {}),
    "gelu": ("GELU", (), {}),
    "silu": ("SiLU", (), {}),
    "mish": ("Mish", (), {}),
    "hardswish": ("Hardswish", (), {}),
}


def _conv(args: Mapping[str, Any]) -> Call:
    named = {"stride": args["stride"], "padding": args["kernel"] // 2, "groups": args["groups"], "bias": args["bias"]}
    usual = {"stride": 1, "padding": 0, "groups": 1, "bias": True}
    kept = {name: value for name, value in named.items() if value != usual[name]}
    return "Conv2d", (args["in"], args["out"], args["kernel"]), kept


CALLS: Final[Mapping[str, Callable[[Mapping[str, Any]], Call]]] = {
    "conv": _conv,
    "batch_norm": lambda args: ("BatchNorm2d", (args["channels"],), {}),
    "group_norm": lambda args: ("GroupNorm", (args["groups"], args["channels"]), {}),
    "activation": lambda args: ACTIVATIONS[args["name"]],
    "max_pool": lambda args: ("MaxPool2d", (args["size"],), {k: v for k, v in args.items() if k != "size"}),
    "avg_pool": lambda args: ("AvgPool2d", (args["size"],), {}),
    "global_avg": lambda args: ("AdaptiveAvgPool2d", (1,), {}),
    "global_max": lambda args: ("AdaptiveMaxPool2d", (1,), {}),
    "flatten": lambda args: ("Flatten", (), {}),
    "dropout": lambda args: ("Dropout", (args["rate"],), {}),
    "dropout2d": lambda args: ("Dropout2d", (args["rate"],), {}),
    "linear": lambda args: ("Linear", (args["in"], args["out"]), {}),
    "sigmoid": lambda args: ("Sigmoid", (), {}),
}


class Network(nn.Module):
    """`features` sees the image, `head` decides; the exported file has the same two."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.features = sequence(plan.features)
        self.head = sequence(plan.head)

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.features(x)
        if seen.requires_grad:
            seen.register_hook(_channels_last)  # type: ignore[no-untyped-call]
        out: Tensor = self.head(seen)
        return out


def _channels_last(gradient: Tensor) -> Tensor:
    """As the layers before it work. A mean's comes in the plain layout, which the backward pass of an activation or
    norm is 9 to 15 times as slow with: a tenth of a small network's training."""
    return gradient.contiguous(memory_format=torch.channels_last)


def sequence(layers: Iterable[Layer]) -> nn.Sequential:
    return nn.Sequential(*[module(layer) for layer in layers])


def module(layer: Layer) -> nn.Module:
    """One layer of the plan, with the weights that torch's generator draws."""
    if layer.op == "residual":
        shortcut = sequence(layer.parts["shortcut"]) if layer.parts["shortcut"] else nn.Identity()
        return Residual(sequence(layer.parts["body"]), shortcut, _made(ACTIVATIONS[layer.args["activation"]]))
    if layer.op == "squeeze_excite":
        return SqueezeExcite(sequence(layer.parts["weigh"]))
    return _made(CALLS[layer.op](layer.args))


def _made(call: Call) -> nn.Module:
    name, places, named = call
    made: nn.Module = getattr(nn, name)(*places, **named)
    return made


def source(layer: Layer, indent: int) -> str:
    """The expression that makes the layer, its lines after the first indented."""
    if layer.op == "residual":
        body = sequence_source(layer.parts["body"], indent + 4)
        none = not layer.parts["shortcut"]
        shortcut = "nn.Identity()" if none else sequence_source(layer.parts["shortcut"], indent + 4)
        parts = [body, shortcut, _said(ACTIVATIONS[layer.args["activation"]])]
        return "Residual(\n" + "".join(f"{' ' * (indent + 4)}{part},\n" for part in parts) + " " * indent + ")"
    if layer.op == "squeeze_excite":
        return f"SqueezeExcite({sequence_source(layer.parts['weigh'], indent)})"
    return _said(CALLS[layer.op](layer.args))


def sequence_source(layers: Iterable[Layer], indent: int) -> str:
    inside = "".join(f"{' ' * (indent + 4)}{source(layer, indent + 4)},\n" for layer in layers)
    return f"nn.Sequential(\n{inside}{' ' * indent})"


def _said(call: Call) -> str:
    name, places, named = call
    given = [repr(value) for value in places] + [f"{key}={value!r}" for key, value in named.items()]
    return f"nn.{name}({', '.join(given)})"
