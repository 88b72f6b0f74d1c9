"""ResNets as torchvision and timm name them (He et al. 2015: 18, 34, 50, 101, 152), as a plan of our own layers.

So a network that grew elsewhere is built, trained, exported and served like any other; only its weights' names differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from millrace.architecture import Layer, Plan, Task, activation_layer, convolution, dense, norm_layer
from millrace.blocks import Closed
from millrace.errors import InvalidInput
from pydantic import Field
from torch import Tensor

from .weights import Tensors

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]


class Backbone(Closed):
    """What tells one ResNet from another."""

    block: Literal["basic", "bottleneck"]
    depth: list[Annotated[int, Field(ge=1, le=64)]] = Field(min_length=1, max_length=4)
    width: int = Field(default=64, ge=8, le=256)

    def plan(self, task: Task) -> Plan:
        """For images of the task; the last layer has the task's classes."""
        shape = (task.channels, task.height, task.width)
        stem = [convolution(shape, self.width, 7, 2)]
        stem += [norm_layer("batch", stem[0].out), activation_layer("relu", stem[0].out)]
        channels, height, width = stem[-1].out
        pooled = (channels, -(-height // 2), -(-width // 2))
        features = [*stem, Layer("max_pool", {"size": 3, "stride": 2, "padding": 1}, pooled)]
        for stage, blocks in enumerate(self.depth):
            for nth in range(blocks):
                stride = 2 if stage and not nth else 1
                features.append(self._block(features[-1].out, self.width << stage, stride))
        wide = features[-1].out[0]
        pooled = (wide, 1, 1)
        head = (Layer("global_avg", {}, pooled), Layer("flatten", {}, pooled), dense(wide, task.classes))
        return Plan(tuple(features), head)

    def _block(self, shape: tuple[int, int, int], width: int, stride: int) -> Layer:
        kernels = [(width, 3, stride), (width, 3, 1)]
        if self.block == "bottleneck":
            kernels = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
        body: list[Layer] = []
        at = shape
        for number, (filters, kernel, step) in enumerate(kernels):
            body += [convolution(at, filters, kernel, step)]
            at = body[-1].out
            body += [norm_layer("batch", at)]
            body += [activation_layer("relu", at)] if number < len(kernels) - 1 else []
        shortcut: list[Layer] = []
        if at != shape:
            shortcut = [convolution(shape, kernels[-1][0], 1, stride), norm_layer("batch", at)]
        return Layer("residual", {"activation": "relu"}, at, parts={"body": tuple(body), "shortcut": tuple(shortcut)})

    def names(self) -> Iterator[tuple[str, str]]:
        """(their name, ours) of every module with weights but the last layer."""
        yield from (("conv1", "features.0"), ("bn1", "features.1"))
        at = 4
        convolutions = 2 if self.block == "basic" else 3
        for stage, blocks in enumerate(self.depth, 1):
            for nth in range(blocks):
                theirs, ours = f"layer{stage}.{nth}", f"features.{at}"
                for i in range(convolutions):
                    yield f"{theirs}.conv{i + 1}", f"{ours}.body.{3 * i}"
                    yield f"{theirs}.bn{i + 1}", f"{ours}.body.{3 * i + 1}"
                yield from (
                    (f"{theirs}.downsample.0", f"{ours}.shortcut.0"),
                    (f"{theirs}.downsample.1", f"{ours}.shortcut.1"),
                )
                at += 1


def recognised(tensors: Tensors) -> Backbone:
    """Which ResNet the names and shapes are. InvalidInput where they are none."""
    told = tensors.described
    if "conv1.weight" not in told or "layer1.0.conv1.weight" not in told:
        raise InvalidInput(
            "The channel `base` holds no backbone that is known: a model that this service trained, or a ResNet with "
            "the names of torchvision or timm."
        )
    depth = []
    for stage in range(1, 5):
        blocks = {key.split(".")[1] for key in told if key.startswith(f"layer{stage}.")}
        depth += [len(blocks)] if blocks else []
    kind: Literal["basic", "bottleneck"] = "bottleneck" if "layer1.0.conv3.weight" in told else "basic"
    return Backbone(block=kind, depth=depth, width=told["conv1.weight"][1][0])


def renamed(theirs: dict[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """Their tensors under our names, the last layer left out."""
    found = {}
    for old, new in backbone.names():
        for key, value in theirs.items():
            if key.startswith(f"{old}."):
                found[f"{new}.{key.removeprefix(f'{old}.')}"] = value
    return found
