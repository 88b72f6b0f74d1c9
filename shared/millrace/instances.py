"""Machines that a container may ask for, what they hold and what an hour costs. Pure.

Prices are SageMaker's on-demand list prices for training in us-east-1 as known in 2026-11: good for a forecast and a
cap, not for the books; AWS's bill is right. A type that is not here is refused, because nobody could say what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InvalidInput

LOCAL = "ml.local"
"""The machine that the twin runs on: free, and whatever it is."""


@dataclass(frozen=True)
class Instance:
    usd_per_h: float
    vcpus: int
    memory_gb: int
    gpus: int = 0
    gpu_memory_gb: int = 0
    """Of each."""


INSTANCES: Mapping[str, Instance] = {
    LOCAL: Instance(0.0, 1, 0),
    "ml.m5.large": Instance(0.115, 2, 8),
    "ml.m5.xlarge": Instance(0.23, 4, 16),
    "ml.m5.2xlarge": Instance(0.461, 8, 32),
    "ml.m5.4xlarge": Instance(0.922, 16, 64),
    "ml.c5.xlarge": Instance(0.204, 4, 8),
    "ml.c5.2xlarge": Instance(0.408, 8, 16),
    "ml.c5.4xlarge": Instance(0.816, 16, 32),
    "ml.c5.9xlarge": Instance(1.836, 36, 72),
    "ml.c7i.xlarge": Instance(0.214, 4, 8),
    "ml.c7i.2xlarge": Instance(0.428, 8, 16),
    "ml.c7i.4xlarge": Instance(0.857, 16, 32),
    "ml.g4dn.xlarge": Instance(0.736, 4, 16, 1, 16),
    "ml.g4dn.2xlarge": Instance(0.94, 8, 32, 1, 16),
    "ml.g5.xlarge": Instance(1.408, 4, 16, 1, 24),
    "ml.g5.2xlarge": Instance(1.515, 8, 32, 1, 24),
    "ml.g5.4xlarge": Instance(2.03, 16, 64, 1, 24),
    "ml.g5.12xlarge": Instance(7.09, 48, 192, 4, 24),
    "ml.g6.xlarge": Instance(1.006, 4, 16, 1, 24),
    "ml.g6.2xlarge": Instance(1.222, 8, 32, 1, 24),
    "ml.p3.2xlarge": Instance(3.825, 8, 61, 1, 16),
}


def known(instance_type: str) -> Instance:
    if instance_type not in INSTANCES:
        raise InvalidInput(f"No price is known for {instance_type!r}; there are {', '.join(sorted(INSTANCES))}.")
    return INSTANCES[instance_type]


def check(what: str, needs: Mapping[str, Any], instance_type: str) -> Instance:
    """InvalidInput, with both figures, where a machine holds less than a strategy's `resources` ask for."""
    instance = known(instance_type)
    if instance_type == LOCAL:
        return instance
    for name, has in (("gpus", instance.gpus), ("memory_gb", instance.memory_gb)):
        wanted = needs.get(name) or 0
        if wanted > has:
            word = "GPUs" if name == "gpus" else "GB of memory"
            raise InvalidInput(f"{what} needs {wanted} {word}; {instance_type} has {has}.")
    return instance
