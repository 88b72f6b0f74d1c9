"""network.json: all that says how an exported network is built and fed. Data; what builds it is `build`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal

from millrace import architecture
from millrace.architecture import Budget, Plan, Spec, Task
from millrace.blocks import Closed
from millrace.container import Manifest
from millrace.errors import Corrupt
from pydantic import Field, ValidationError

from . import weights
from .backbone import Backbone
from .build import Network

NETWORK_FILE: Final = "network.json"
WEIGHTS_FILE: Final = "model.safetensors"
SOURCE_FILE: Final = "model.py"
REPORT_FILE: Final = "report.json"
SERVED: Final = Budget(parameters=200_000_000, flops=10**12, memory_bytes=1 << 50, layers=2_000, training_flops=1e30)
"""What is built from a file at the most, whoever wrote it."""


class Described(Closed):
    """One of `spec` and `backbone`; mean and std by channel, of pixels in [0, 1]."""

    format: Literal[1] = 1
    task: Task
    classes: list[str] = Field(min_length=2, max_length=10_000)
    mean: list[float] = Field(min_length=1, max_length=3)
    std: list[float] = Field(min_length=1, max_length=3)
    spec: Spec | None = None
    backbone: Backbone | None = None

    def plan(self) -> Plan:
        if self.backbone is not None:
            return self.backbone.plan(self.task)
        if self.spec is None:
            raise Corrupt(f"{NETWORK_FILE} describes no network.")
        return architecture.plan(self.spec, self.task)

    def build(self) -> Network:
        """The network with drawn weights. Corrupt where it is none, or larger than what is served."""
        if self.spec is not None and (reason := architecture.fits(self.spec, self.task, SERVED)) is not None:
            raise Corrupt(f"{NETWORK_FILE}: {reason}")
        sizes = (len(self.mean), len(self.std))
        if len(self.classes) != self.task.classes or sizes != (self.task.channels, self.task.channels):
            raise Corrupt(f"{NETWORK_FILE}: classes, mean and std do not agree with the task.")
        return Network(self.plan())


def read(folder: Path) -> Described:
    """InvalidInput never: a file that is not ours is Corrupt."""
    try:
        return Described.model_validate(json.loads((folder / NETWORK_FILE).read_bytes()))
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        raise Corrupt(f"{NETWORK_FILE} describes no network: {type(error).__name__}.") from error


def load(folder: Path) -> tuple[Described, Network]:
    """The network with its weights, in evaluation mode; both files checked."""
    described = read(folder)
    model = described.build()
    weights.put(model, weights.read(folder / WEIGHTS_FILE), WEIGHTS_FILE)
    model.eval()
    return described, model


def listed(manifest: Manifest) -> None:
    """Corrupt where the manifest is not that of a network."""
    there = {file.path for file in manifest.files}
    if manifest.format != "cnn" or not {NETWORK_FILE, WEIGHTS_FILE} <= there:
        raise Corrupt(f"The model folder holds {manifest.format!r}, no network with its weights.")
