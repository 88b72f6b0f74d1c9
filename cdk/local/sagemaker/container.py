"""A container image run on this machine: what an image means, starting it, leaving nothing behind.

As a process, or where the setting MILLRACE_EXECUTOR says so in the image itself, by a Docker-compatible engine.
Endpoints are processes in either case: their network is a namespace that the twin's SageMaker steps into.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

from millrace.executors import Executor, Run, Running
from millrace.executors.docker import Engine
from millrace.executors.process import Process, Processes

from ..settings import Twin, python
from .errors import invalid

MARK = "MILLRACE_TWIN_STATE"
"""In the environment, or the label, of everything that a twin's containers start: how leftovers are found."""
Container = Process


def images_file(twin: Twin) -> Path:
    """{image tag: container name}; written by `deploy` from the assembly."""
    return twin.state / "images.json"


def name_of(twin: Twin, image: str) -> str:
    """The folder of training_containers/ that an image was built from."""
    known = json.loads(images_file(twin).read_text()) if images_file(twin).is_file() else {}
    tag = image.rsplit(":", 1)[-1]
    if tag not in known:
        raise invalid(f"The twin has no image {image!r}; it knows {', '.join(sorted(set(known.values()))) or 'none'}.")
    return str(known[tag])


def processes(twin: Twin) -> Processes:
    return Processes(twin.containers, python(), {MARK: str(twin.state)})


def engine(twin: Twin) -> Engine:
    return Engine(label=f"{MARK}={twin.state}")


def executor(twin: Twin) -> Executor:
    """Of training jobs."""
    return engine(twin) if twin.executor == "docker" else processes(twin)


def train(twin: Twin, job: str, name: str, root: Path, env: dict[str, str], *, isolated: bool) -> Running:
    return executor(twin).start(Run(job, name, root, "train", env=env, isolated=isolated))


def serve(twin: Twin, endpoint: str, name: str, root: Path, env: dict[str, str], *, isolated: bool) -> Process:
    return processes(twin).start(Run(endpoint, name, root, "serve", env=env, isolated=isolated))


def kill_leftovers(twin: Twin) -> int:
    """Kill what an earlier run of this twin left; how many there were. Linux only: elsewhere the watchdogs suffice."""
    mark = f"{MARK}={twin.state}".encode()
    count = engine(twin).sweep() if twin.executor == "docker" else 0
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                os.kill(int(entry.parent.name), signal.SIGKILL)
                count += 1
    return count
