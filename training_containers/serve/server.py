"""The serving process: `python -m training_containers.common.main serve serve --root DIR` serves DIR/model.

The manifest's hashes and the file's header are checked before llama.cpp opens it; SIGTERM lets running answers end.
"""

from __future__ import annotations

from pathlib import Path

from training_containers.common import serving

from .api import Server
from .engine import LlamaEngine
from .settings import Settings, opened


def main(root: Path) -> None:
    serving.serve(lambda: build(root, Settings.from_env()))


def build(root: Path, settings: Settings) -> Server:
    """The routes over the verified model below root."""
    path, model, _ = opened(root)
    engine = LlamaEngine(path, settings.context or model.context, settings.n_threads, settings.gpu_layers)
    return Server(engine, settings, model)
