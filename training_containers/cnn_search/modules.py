"""The two modules that torch.nn lacks. Their source is written into every exported file as it stands here."""

from __future__ import annotations

from torch import Tensor, nn


class Residual(nn.Module):
    """body(x) + shortcut(x), then the activation."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.activation = body, shortcut, activation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return out


class SqueezeExcite(nn.Module):
    """Each channel times a weight that `weigh` reads from the means of all."""

    def __init__(self, weigh: nn.Module) -> None:
        super().__init__()
        self.weigh = weigh

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.weigh(x)
        return out
