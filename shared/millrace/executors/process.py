"""A container as a process of this machine: its folders, a clean environment, no network, and nothing left behind.

Every process that it starts dies with it, and all die with whoever started them (confine.py). It has this machine's
memory and processors: needs are checked against what there is, not enforced.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InvalidInput
from . import Needs, Run, confine

REPO = Path(__file__).parents[3]
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "OMP_NUM_THREADS")
"""Of the environment; no key and no setting of this shell reaches a container."""
GB = 1024**3
_starting = threading.Lock()


@dataclass
class Process:
    """A running command and everything that it started."""

    process: subprocess.Popen[str]

    def lines(self) -> Iterator[str]:
        if self.process.stdout is None:
            raise RuntimeError("A container is always started with its output piped.")
        with self.process.stdout as lines:
            yield from lines

    def wait(self, timeout_s: float | None = None) -> int | None:
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self.kill()
        return code

    def stop(self, grace_s: float) -> None:
        self.signal(signal.SIGTERM)
        if self.wait(grace_s) is None:
            self.kill()

    def kill(self) -> None:
        """Also what the process left running."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


@dataclass(frozen=True)
class Processes:
    """Runs the folders of training_containers/ as they lie here."""

    containers: Path = REPO / "training_containers"
    python: str = sys.executable
    env: Mapping[str, str] = field(default_factory=dict)
    """For every run, over the few variables that are kept."""

    def start(self, run: Run) -> Process:
        run.root.mkdir(parents=True, exist_ok=True)
        check(run.needs, run.root)
        entry = [self.python, "-m", f"{self.containers.name}.common.main", run.container, run.command]
        flags = ["--isolate"] if run.isolated else []
        command = [self.python, confine.__file__, *flags, "--", *entry, "--root", str(run.root)]
        return spawn(command, run.root, self._environment() | dict(run.env))

    def _environment(self) -> dict[str, str]:
        paths = os.pathsep.join([str(self.containers.parent), str(REPO), str(REPO / "shared")])
        return kept() | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"} | dict(self.env)


def spawn(command: list[str], folder: Path, env: Mapping[str, str]) -> Process:
    """A command in a group of its own, with its output piped."""
    with _starting:  # Popen's fork and its close of descriptors are not safe beside another's
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    return Process(process)


def kept() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def check(needs: Needs, folder: Path) -> None:
    """InvalidInput, with both figures, for more memory or disk than this machine has. A GPU is taken if it is there."""
    total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    if needs.memory_gb > total_gb:
        raise InvalidInput(f"The run needs {needs.memory_gb:g} GB of memory; this machine has {total_gb:.0f}.")
    free_gb = shutil.disk_usage(folder).free / GB
    if needs.disk_gb > free_gb:
        raise InvalidInput(f"The run needs {needs.disk_gb} GB of disk; {folder} has {free_gb:.0f} free.")
    if needs.cpus > (os.cpu_count() or 1):
        raise InvalidInput(f"The run needs {needs.cpus:g} processors; this machine has {os.cpu_count()}.")
