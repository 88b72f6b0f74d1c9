"""A real GGUF served by a real process, once a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cdk.local.ports import free_port
from tests.training_containers.gguf import phi3
from training_containers.common import manifest
from training_containers.gguf import converter, quantize


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random Phi-3 weights as Q8_0."""
    converter.fetch(converter.folder())
    folder = tmp_path_factory.mktemp("gguf")
    raw = converter.convert(phi3.base(folder / "hf"), folder / "raw.gguf")
    f16 = quantize.without_space_prefix(raw, folder / "f16.gguf")
    return quantize.quantize(f16, folder / "model.gguf", "Q8_0", 2)


def model_folder(root: Path, gguf: bytes, format: str = "gguf", **serving: object) -> Path:
    """root/model as the gguf step leaves it."""
    folder = root / "model"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(gguf)
    (folder / "millrace.json").write_text(json.dumps({"context": 256, "base": "random-phi3"} | serving))
    source = Path(__file__).parent
    manifest.write(folder, format=format, strategy="gguf", metrics={}, hyperparameters={}, source=source)
    return root


@dataclass(frozen=True)
class Served:
    url: str
    process: subprocess.Popen[str]
    log: Path


def serve(root: Path, log: Path, **env: str) -> subprocess.Popen[str]:
    """The container's own command line."""
    command = [sys.executable, "-m", "training_containers.common.main", "serve", "serve", "--root", str(root)]
    given = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MILLRACE_BIND_HOST": "127.0.0.1"} | env
    with log.open("w") as out:
        return subprocess.Popen(command, env=given, stdout=out, stderr=subprocess.STDOUT, text=True)


def until(true: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not true within {within_s} s"
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ping", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def served(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = model_folder(tmp_path_factory.mktemp("served"), gguf.read_bytes())
    port, log = free_port(), root / "log"
    process = serve(root, log, SAGEMAKER_BIND_TO_PORT=str(port), MILLRACE_MODEL_NAME="tiny@1")
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or answers(url))
        assert process.poll() is None, log.read_text()
        yield Served(url, process, log)
    finally:
        process.kill()
        process.wait()
