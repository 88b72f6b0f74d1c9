"""A container in its image, by any engine with Docker's command line: docker, or podman without a daemon.

No network, a read-only root, no capabilities, no new privileges, limits on memory, processors and processes; the one
place it may write is its job's folder and a /tmp in memory. MILLRACE_ENGINE names the command, with its global options
where it needs some: `podman --cgroup-manager=cgroupfs`. Source: docker run and podman run reference.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import InvalidInput, Unavailable
from . import Run
from .process import Process, check, kept, spawn

PROCESSES = 4096
OPEN_FILES = 4096
TMP = "/tmp"  # noqa: S108 - in the container, where it is a file system of its own
TMP_MB = 2048
WAIT_S = 30.0
KNOWN = ("docker", "podman")
NO_ENGINE = f"No engine answers: install {' or '.join(KNOWN)}, or name yours in MILLRACE_ENGINE."


def found(env: Mapping[str, str] = os.environ) -> list[str] | None:
    """The engine's command: MILLRACE_ENGINE, else the first that answers; None where there is none."""
    if told := env.get("MILLRACE_ENGINE"):
        return shlex.split(told)
    return next(([name] for name in KNOWN if shutil.which(name) and _answers([name])), None)


def _answers(command: Sequence[str]) -> bool:
    try:
        return subprocess.run([*command, "info"], capture_output=True, timeout=WAIT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass
class InImage:
    """A run in its image: the engine's client, and the engine's own handle on it."""

    client: Process
    engine: Sequence[str]
    name: str

    def lines(self) -> Iterator[str]:
        return self.client.lines()

    def wait(self, timeout_s: float | None = None) -> int | None:
        return self.client.wait(timeout_s)

    def stop(self, grace_s: float) -> None:
        _quietly([*self.engine, "stop", "--time", str(round(grace_s)), self.name], grace_s + WAIT_S)
        self.kill()

    def kill(self) -> None:
        """The client is not the container: the engine is told, too."""
        _quietly([*self.engine, "rm", "--force", "--volumes", self.name], WAIT_S)
        self.client.kill()


@dataclass(frozen=True)
class Engine:
    """`command`: what starts the engine's client."""

    command: Sequence[str] = ()
    label: str = ""
    """Put on every container, so that leftovers are found: see `sweep`."""
    options: Sequence[str] = field(default=())
    """More for `run`: what this machine's engine needs."""
    image: str = "localhost/millrace-{container}:latest"
    """Where a run names none."""

    def start(self, run: Run) -> InImage:
        engine = list(self.command) or found()
        if engine is None:
            raise Unavailable(NO_ENGINE)
        run.root.mkdir(parents=True, exist_ok=True)
        check(run.needs, run.root)
        if run.needs.gpus and not any(option.startswith("--gpus") for option in self.options):
            raise InvalidInput(f"The run needs {run.needs.gpus} GPUs; give the engine's option for them.")
        image = run.image or self.image.format(container=run.container)
        client = spawn([*engine, *self.arguments(run, image)], run.root, kept() | _engines_own())
        return InImage(client, engine, run.name)

    def arguments(self, run: Run, image: str) -> list[str]:
        """Everything after the engine's name."""
        needs, limits = run.needs, []
        if needs.memory_gb:
            limits += ["--memory", f"{needs.memory_gb:g}g", "--memory-swap", f"{needs.memory_gb:g}g"]
        if needs.cpus:
            limits += ["--cpus", f"{needs.cpus:g}"]
        env = {"HOME": TMP, **run.env}
        return [
            "run",
            "--rm",
            *("--name", run.name),
            *(("--label", self.label) if self.label else ()),
            *("--network", "none" if run.isolated else "host"),
            "--read-only",
            *("--tmpfs", f"{TMP}:rw,size={TMP_MB}m,mode=1777"),
            *("--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges"),
            *("--ulimit", f"nofile={OPEN_FILES}:{OPEN_FILES}"),
            *("--ulimit", f"nproc={PROCESSES}:{PROCESSES}"),
            *limits,
            *("--user", f"{os.getuid()}:{os.getgid()}"),  # so that what it writes is ours
            *("--volume", f"{run.root.resolve()}:/opt/ml"),
            *(part for name, value in env.items() for part in ("--env", f"{name}={value}")),
            *self.options,
            image,
            run.command,
        ]

    def obstacle(self, containers: Sequence[str]) -> str | None:
        """What stands in the way of running these: no engine, or an image that is not built."""
        engine = list(self.command) or found()
        if engine is None:
            return NO_ENGINE
        images = [self.image.format(container=name) for name in containers]
        absent = [image for image in images if not _has(engine, image)]
        return f"{engine[0]} has no image {', '.join(absent)}: `make images` builds them." if absent else None

    def sweep(self) -> int:
        """Remove every container that bears our label; how many there were."""
        engine = list(self.command) or found()
        if engine is None or not self.label:
            return 0
        listed = _quietly([*engine, "ps", "--all", "--quiet", "--filter", f"label={self.label}"], WAIT_S)
        for id in listed.split():
            _quietly([*engine, "rm", "--force", "--volumes", id], WAIT_S)
        return len(listed.split())


def _has(engine: Sequence[str], image: str) -> bool:
    try:
        return subprocess.run([*engine, "image", "inspect", image], capture_output=True, timeout=WAIT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _engines_own() -> dict[str, str]:
    """What an engine's client finds its daemon and its storage by."""
    prefixes = ("DOCKER_", "CONTAINER", "XDG_RUNTIME_DIR", "STORAGE_")
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}


def _quietly(command: Sequence[str], timeout_s: float) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
