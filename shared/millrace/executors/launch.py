"""One container by hand: a folder with its inputs, a run on any executor, a checked result or a sentence why not."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from pydantic import ValidationError

from .. import contract
from ..container import Manifest
from ..errors import Corrupt, InvalidInput, TrainingFailed
from ..recovery import read
from ..strategies import Strategy
from . import Executor, Needs, Run, Running

GRACE_S = 10.0
POLL_S = 0.2


@dataclass(frozen=True)
class Launch:
    """What is run and with what."""

    strategy: Strategy
    hyperparameters: Mapping[str, Any]
    channels: Mapping[str, Path]
    """Name -> file or folder of this machine."""
    out: Path
    """Folder of the job; its model/ holds the result."""
    needs: Needs
    image: str = ""
    isolated: bool = True

    def prepare(self) -> Run:
        """Lay the folder out. InvalidInput for values, channels or a folder that cannot work."""
        values = self.strategy.settle(self.hyperparameters) | {contract.STRATEGY: self.strategy.name}
        unknown = sorted(set(self.channels) - {*contract.CHANNELS, "evaluation"})
        missing = [str(path) for path in self.channels.values() if not path.exists()]
        if unknown or missing:
            raise InvalidInput(f"Not a channel: {', '.join(unknown)}." if unknown else f"Not there: {missing[0]}.")
        if (self.out / contract.MODEL).exists() and any((self.out / contract.MODEL).iterdir()):
            raise InvalidInput(f"{self.out} holds a result already; name another folder.")
        config = self.out / contract.HYPERPARAMETERS
        for folder in (config.parent, self.out / contract.MODEL, self.out / "output", self.out / contract.CHECKPOINTS):
            folder.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps({name: json.dumps(value) for name, value in values.items()}))
        for name, path in self.channels.items():
            _lay(path, self.out / contract.DATA / name)
        digest = hashlib.sha256(f"{self.out.resolve()}{time.time_ns()}".encode()).hexdigest()[:10]
        name = f"millrace-{self.strategy.name}-{digest}"
        return Run(name, self.strategy.container, self.out, "train", self.image, {}, self.needs, self.isolated)


def _lay(path: Path, channel: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, channel, dirs_exist_ok=True)
    else:
        channel.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, channel / path.name)


def launch(executor: Executor, wanted: Launch, say: Callable[[str], None]) -> Manifest:
    """Run to the end; every line goes to `say`. TrainingFailed or Corrupt with a sentence where it came to nothing."""
    run = wanted.prepare()
    running = executor.start(run)
    try:
        code = _watched(running, run.needs.max_runtime_s, say)
    except BaseException:
        running.kill()  # a person pressed Ctrl-C, or we broke: nothing goes on alone
        raise
    if code is None:
        raise TrainingFailed(f"The container was stopped: it ran for longer than {run.needs.max_runtime_s} s.")
    if code != 0:
        raise TrainingFailed(sentence(run.root, code))
    return result(run.root)


def _watched(running: Running, limit_s: float, say: Callable[[str], None]) -> int | None:
    """Exit status; None where its time was over and it was stopped."""
    reader = Thread(target=_read, args=(running, say), daemon=True)
    reader.start()
    deadline = time.monotonic() + limit_s
    while (code := running.wait(POLL_S)) is None:
        if time.monotonic() > deadline:
            running.stop(GRACE_S)
            return None
    reader.join(timeout=5)
    return code


def _read(running: Running, say: Callable[[str], None]) -> None:
    for line in running.lines():
        say(line.rstrip("\n"))


def sentence(root: Path, code: int) -> str:
    """What a container left in output/failure, or what its exit status says."""
    failure = root / contract.FAILURE
    said = failure.read_text(errors="replace").strip() if failure.is_file() else ""
    return read({"Cause": json.dumps({"FailureReason": f"AlgorithmError: {said}, exit code: {code}"})}).text


def result(root: Path) -> Manifest:
    """The manifest, every file held against it."""
    model = root / contract.MODEL
    try:
        manifest = Manifest.model_validate_json((model / contract.MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise TrainingFailed(f"The container ended without a {contract.MANIFEST}.") from error
    except ValidationError as error:
        raise Corrupt(f"The container's {contract.MANIFEST} is not one: {error}") from error
    for file in manifest.files:
        path = (model / file.path).resolve()
        if model.resolve() not in path.parents or not path.is_file():
            raise Corrupt(f"The container's {contract.MANIFEST} lists {file.path}, which is not there.")
        with path.open("rb") as body:
            if hashlib.file_digest(body, "sha256").hexdigest() != file.sha256:
                raise Corrupt(f"The container's {contract.MANIFEST} gives {file.path} a SHA-256 that it has not.")
    return manifest
