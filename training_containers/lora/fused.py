"""A linear layer with its adapter as one operation: y = x W' + s (x A') B', added in place.

PEFT writes it as four layers, and autograd then keeps, scales and adds tensors as wide as the output: on a CPU these
took longer than the products. Here x and x A' are kept and nothing else. Gradients by hand, PEFT's in the tests.
Only where it is the plain thing: one adapter, no dropout, a base of plain weights; else PEFT's own forward runs.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor


class _Adapted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        """x (n, in), weight (out, in), a (rank, in), b (out, rank) -> (n, out), in the dtype of the weight."""
        x, low_a, low_b = x.to(weight.dtype), a.to(weight.dtype), b.to(weight.dtype)
        inner = x @ low_a.t()
        ctx.save_for_backward(x, weight, low_a, low_b, inner)
        ctx.scale, ctx.kinds = scale, (a.dtype, b.dtype)
        return torch.mm(x, weight.t()).addmm_(inner, low_b.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        x, weight, a, b, inner = ctx.saved_tensors
        gradient = gradients[0].to(weight.dtype)
        of_inner = (gradient @ b) * ctx.scale
        of_b = (gradient.t() @ inner) * ctx.scale
        of_a = of_inner.t() @ x
        of_x = torch.mm(gradient, weight).addmm_(of_inner, a) if ctx.needs_input_grad[0] else None
        return of_x, None, of_a.to(ctx.kinds[0]), of_b.to(ctx.kinds[1]), None


def _forward(layer: Any, x: Tensor, *arguments: Any, **named: Any) -> Tensor:
    name = layer.active_adapters[0]
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1 or arguments or named:
        plain: Tensor = layer.unfused(x, *arguments, **named)
        return plain
    with torch.autocast(x.device.type, enabled=False):
        base, a, b = layer.base_layer, layer.lora_A[name].weight, layer.lora_B[name].weight
        out: Tensor = _Adapted.apply(x.flatten(0, -2), base.weight, a, b, layer.scaling[name])  # type: ignore[no-untyped-call]
        out = out if base.bias is None else out + base.bias
        shaped: Tensor = out.unflatten(0, x.shape[:-1])
        return shaped


def fuse(adapter: Any) -> int:
    """Let every layer with a plain adapter compute so; returns how many there are. May be called again."""
    found = 0
    for layer in adapter.modules():
        if not _plain(layer):
            continue
        if not hasattr(layer, "unfused"):
            layer.unfused = layer.forward
            layer.forward = MethodType(_forward, layer)
        found += 1
    return found


def _plain(layer: Any) -> bool:
    if not hasattr(layer, "lora_A") or type(getattr(layer, "base_layer", None)) is not torch.nn.Linear:
        return False
    odd = any(layer.use_dora.values()) or any(part.bias is not None for part in layer.lora_B.values())
    dropped = any(not isinstance(part, torch.nn.Identity) for part in layer.lora_dropout.values())
    return not odd and not dropped and not layer.base_layer.weight.requires_grad
