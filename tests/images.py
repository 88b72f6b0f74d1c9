"""`python -m tests.images [NAME ...]`: one run inside each built image, without network and with a read-only root.

lora trains millrace-tiny, gguf makes a GGUF of that adapter, serve answers with the GGUF, cnn_search finds a network
for the digits. Every result is held against its manifest, hash by hash. Then the twin does the same by its state
machines, with MILLRACE_EXECUTOR=docker: `twin`, which wants lora, gguf and cnn_search.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from millrace.container import Manifest
from millrace.errors import MillraceError, TrainingFailed, Unavailable
from millrace.executors import Needs, Run
from millrace.executors.docker import Engine, InImage, found
from millrace.executors.launch import Launch, launch
from millrace.strategies import strategies

from cdk.images import CONTAINERS
from cdk.local import demo
from cdk.local.__main__ import down, up
from tests.flow.digits import dataset, read_right
from tests.flow.turning import Turning, a_twin
from tests.training_containers.cnn_search.digits import channel
from training_containers.tiny.pairs import good

REPO = Path(__file__).parents[1]
BASE = REPO / "training_containers/tiny/weights"
ROWS, HELD_OUT = 60, 12
LIMIT_S = 900
TWIN = "twin"
START_S = 120.0
SEARCH: Mapping[str, Any] = {
    "proposer": "evolution", "target_accuracy": 0.9, "rounds": 1, "population": 2, "oversample": 1.0, "rungs": [1.0],
    "seeds": 1, "finalists": 1, "baselines": False, "max_epochs": 8,
}  # fmt: skip
"""As little as is still a search: proposals, confined trials, a finalist, the test images."""
GOOD_ENOUGH: Mapping[str, Any] = {
    "target_accuracy": 0.97, "rounds": 2, "population": 4, "seeds": 1, "finalists": 1, "baselines": False,
}  # fmt: skip
"""For the gate."""
ASK = """
import json, sys, urllib.request
path, body = sys.argv[1], sys.argv[2].encode() or None
request = urllib.request.Request("http://127.0.0.1:8080" + path, body, {"content-type": "application/json"})
print(urllib.request.urlopen(request, timeout=60).read().decode())
"""
"""Run in the container itself: without network its loopback is the only one that leads to it."""


@dataclass(frozen=True)
class Proof:
    """The engine, and a folder that holds what the runs are given and what they leave."""

    command: Sequence[str]
    folder: Path

    def of(self, names: Sequence[str]) -> None:
        """Run in these images. serve needs a GGUF and gguf an adapter: what they are made by is run as well."""
        wanted = set(names)
        if wanted & {"lora", "gguf", "serve"}:
            self.adapter()
        if wanted & {"gguf", "serve"}:
            self.gguf()
        if "serve" in wanted:
            self.served()
        if "cnn_search" in wanted:
            self.search()
        if TWIN in wanted:
            self.twin()

    def adapter(self) -> Manifest:
        rows = pairs()
        channels = {
            "train": written(self.folder / "rows/train", rows[HELD_OUT:]),
            "validation": written(self.folder / "rows/test", rows[:HELD_OUT]),
            "base": BASE,
        }
        return self._trained("lora-sft", {"epochs": 1, "minimum_rows": 1}, channels)

    def gguf(self) -> Manifest:
        rows = self.folder / "rows"
        channels = {"base": BASE, "model": self._model("lora-sft"), "train": rows / "train", "test": rows / "test"}
        return self._trained("gguf", {"max_new_tokens": 64}, channels)

    def search(self) -> Manifest:
        manifest = self._trained("cnn-search", SEARCH, {"train": channel(self.folder / "digits")})
        if manifest.metrics["majority_gain_low"] <= 0:
            raise TrainingFailed(f"The search found nothing better than the commonest class: {dict(manifest.metrics)}")
        return manifest

    def twin(self) -> None:
        """The demo, and a search whose network then reads digits: every training in its image."""
        began = time.monotonic()
        twin = replace(a_twin(self.folder / "home"), containers=REPO / "training_containers", slots=1)
        twin = replace(twin, executor="docker")
        turning = Turning(twin, up(twin))
        try:
            if demo.main(twin, lambda: turning.record) != 0:
                raise TrainingFailed("The demo failed; its own words stand above.")
            wanted = {"dataset_id": dataset(turning)["id"], "hyperparameters": dict(GOOD_ENOUGH)}
            job = turning.api.post("/api/training-jobs", wanted)
            turning.job(job["id"], "completed", within_s=LIMIT_S)
            right = read_right(turning)
        finally:
            down(twin)
        took_s = time.monotonic() - began
        print(f"The twin trained in the images in {took_s:.0f} s; {right} of 20 digits were read right.", flush=True)

    def served(self) -> str:
        """What the model said, asked on both ways, whole."""
        began = time.monotonic()
        run = Run(f"millrace-serve-{time.time_ns()}", "serve", self.folder / "gguf", "serve")
        running = Engine(self.command).start(run)
        try:
            self._until_up(running)
            wish = json.dumps({"messages": [{"role": "user", "content": pairs()[0][0]}], "max_tokens": 32})
            said = [self._text(running, path, wish) for path in ("/invocations", "/v1/chat/completions")]
        finally:
            running.kill()
        if not said[0] or said[0] != said[1]:
            raise TrainingFailed(f"/invocations said {said[0]!r}, /v1/chat/completions {said[1]!r}.")
        print(f"Served in the image, without network, in {time.monotonic() - began:.0f} s: {said[0]!r}", flush=True)
        return said[0]

    def _trained(self, strategy: str, hyperparameters: Mapping[str, Any], channels: Mapping[str, Path]) -> Manifest:
        began = time.monotonic()
        wanted = Launch(
            strategy=strategies()[strategy],
            hyperparameters=hyperparameters,
            channels=channels,
            out=self.folder / strategy,
            needs=Needs(max_runtime_s=LIMIT_S),
        )
        manifest = launch(Engine(self.command), wanted, lambda line: print(line, flush=True))
        took_s = time.monotonic() - began
        print(
            f"{strategy} in the image, without network, in {took_s:.0f} s: {len(manifest.files)} files as the manifest "
            f"tells, {dict(manifest.metrics)}",
            flush=True,
        )
        return manifest

    def _model(self, strategy: str) -> Path:
        return self.folder / strategy / "model"

    def _until_up(self, running: InImage) -> None:
        deadline = time.monotonic() + START_S
        while self._ask(running, "/ping").returncode != 0:
            if running.wait(0.5) is not None or time.monotonic() > deadline:
                raise Unavailable("The serve image does not answer /ping; it said: " + "".join(running.lines()))

    def _text(self, running: InImage, path: str, wish: str) -> str:
        done = self._ask(running, path, wish)
        if done.returncode != 0:
            raise Unavailable(f"{path} of the serve image does not answer: {done.stderr.strip()[-300:]}")
        return str(json.loads(done.stdout)["choices"][0]["message"]["content"])

    def _ask(self, running: InImage, path: str, body: str = "") -> subprocess.CompletedProcess[str]:
        command = [*running.engine, "exec", running.name, "python", "-c", ASK, path, body]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def pairs() -> list[tuple[str, str]]:
    """Each source once: what is held out is not trained on."""
    return list(dict(good(2 * ROWS)).items())[:ROWS]


def written(folder: Path, rows: Sequence[tuple[str, str]]) -> Path:
    lines = [{"id": str(n), "source": source, "target": target} for n, (source, target) in enumerate(rows)]
    folder.mkdir(parents=True)
    (folder / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[*CONTAINERS, TWIN], help=f"{', '.join(CONTAINERS)} or {TWIN}")
    names, command = parser.parse_args().names, found()
    if command is None:
        sys.exit("No engine with Docker's command line answers; install podman, or name yours in MILLRACE_ENGINE.")
    print(f"Runs {', '.join(names)} in the images by {shlex.join(command)}, without network.", flush=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            Proof(command, Path(folder)).of(names)
    except MillraceError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
