"""Where a training container runs: one small file each, one interface, one container contract.

A container finds its job in a folder laid out like SageMaker's /opt/ml (contract.py), says what it does on stdout and
leaves model/manifest.json or output/failure. The cloud's pipeline runs containers by the state machine; everything
here runs one by hand, and the twin's SageMaker runs its jobs by `process` or `docker`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ..errors import InvalidInput


@dataclass(frozen=True)
class Needs:
    """What a run may use, and for how long. 0: as much as there is."""

    cpus: float = 0
    memory_gb: float = 0
    gpus: int = 0
    disk_gb: int = 0
    max_runtime_s: int = 24 * 3600
    instance_type: str = ""
    """SageMaker's."""

    @classmethod
    def of(cls, resources: Mapping[str, Any]) -> Needs:
        """From a strategy's `resources`."""
        return cls(
            memory_gb=resources.get("memory_gb", 0),
            gpus=resources.get("gpus", 0),
            disk_gb=resources.get("volume_gb", 0),
            max_runtime_s=resources["max_runtime_s"],
            instance_type=resources["instance_type"],
        )


@dataclass(frozen=True)
class Run:
    """One container's work."""

    name: str
    """a-z, 0-9 and '-', at most 63: unique for this executor."""
    container: str
    """Folder of training_containers/ whose entry runs."""
    root: Path
    """Folder laid out like /opt/ml; inputs are there, results come there."""
    command: str = "train"
    image: str = ""
    """Of executors that run images."""
    env: Mapping[str, str] = field(default_factory=dict)
    needs: Needs = field(default_factory=Needs)
    isolated: bool = True
    """No network but its own loopback."""


class Running(Protocol):
    """A started run. Whoever holds it ends it: `stop` or `kill` leaves nothing of it behind."""

    def lines(self) -> Iterator[str]:
        """What it says, as it says it, to its end."""
        ...

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Exit status, or None when the time is over first. Results lie in the run's root afterwards."""
        ...

    def stop(self, grace_s: float) -> None:
        """Ask it to end, give it time to put things in order, end it."""
        ...

    def kill(self) -> None: ...


class Executor(Protocol):
    """Starts runs where it knows how to. InvalidInput for needs that it has not, before anything is started."""

    def start(self, run: Run) -> Running: ...


EXECUTORS: Mapping[str, str] = {
    "process": "process:Processes",
    "docker": "docker:Engine",
    "kubernetes": "kubernetes:Cluster",
    "sagemaker": "sagemaker:SageMaker",
}
"""Name -> module and class below this package; imported when it is asked for, since some want an extra."""


def executor(name: str, **settings: Any) -> Executor:
    """The executor of this name with its own settings. InvalidInput names those there are."""
    if name not in EXECUTORS:
        raise InvalidInput(f"There is no executor {name!r}; there are {', '.join(EXECUTORS)}.")
    module, _, kind = EXECUTORS[name].partition(":")
    made: Callable[..., Executor] = getattr(import_module(f"{__name__}.{module}"), kind)
    return made(**settings)
