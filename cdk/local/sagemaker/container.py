"""A container image run as a process: what an image means, starting it, stopping it, leaving nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..settings import REPO, Twin, clean_env, python
from . import confine
from .errors import invalid

MARK = "MILLRACE_TWIN_STATE"
"""In the environment of everything that a twin's containers start: how leftovers are found."""


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


@dataclass
class Container:
    """A running process and everything that it started."""

    process: subprocess.Popen[str]

    @property
    def output(self) -> IO[str]:
        if self.process.stdout is None:
            raise RuntimeError("A container is always started with its output piped.")
        return self.process.stdout

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Exit status, or None when the time is over first."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self.kill()
        return code

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Also what the process left running."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, grace_s: float) -> None:
        """SIGTERM, time to put things in order, SIGKILL."""
        self.terminate()
        if self.wait(grace_s) is None:
            self.kill()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


_starting = threading.Lock()


def start(twin: Twin, name: str, command: str, root: Path, env: dict[str, str], *, isolated: bool) -> Container:
    """Run `<containers>.common.main NAME COMMAND --root ROOT` in a group, environment and network of its own."""
    entry = [python(), "-m", f"{twin.containers.name}.common.main", name, command, "--root", str(root)]
    flags = ["--isolate"] if isolated else []
    paths = os.pathsep.join([str(twin.containers.parent), str(REPO), str(REPO / "shared")])
    root.mkdir(parents=True, exist_ok=True)
    given = clean_env(PYTHONPATH=paths, PYTHONUNBUFFERED="1", **{MARK: str(twin.state)}) | env
    with _starting:
        process = subprocess.Popen(
            [python(), confine.__file__, *flags, "--", *entry],
            cwd=root,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    return Container(process)


def kill_leftovers(twin: Twin) -> int:
    """Kill what an earlier run of this twin left; how many there were. Linux only: elsewhere the watchdogs suffice."""
    mark = f"{MARK}={twin.state}".encode()
    count = 0
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                os.kill(int(entry.parent.name), signal.SIGKILL)
                count += 1
    return count
