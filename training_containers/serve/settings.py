"""What the serving process is told: environment for the machine, millrace.json for the model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from millrace import contract
from millrace.container import Manifest
from millrace.errors import Corrupt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training_containers.common import manifest
from training_containers.common.serving import Machine

MODEL_FILE: Final = "model.gguf"
SERVING_FILE: Final = "millrace.json"


@dataclass(frozen=True)
class Settings(Machine):
    """The machine's side."""

    workers: int = 0
    """Requests answered at once, each with a context of its own; 0: one a core, at most four."""
    threads: int = 0
    """Threads of one worker; 0: the cores shared out among the workers. A model under 256 MB is given one."""
    context: int = 0
    """Tokens of one context; 0: what the model's millrace.json says."""
    gpu_layers: int = 0

    VARIABLES: ClassVar[Mapping[str, str]] = {
        **Machine.VARIABLES,
        "threads": "MILLRACE_SERVE_THREADS",
        "context": "MILLRACE_SERVE_CONTEXT",
        "gpu_layers": "MILLRACE_SERVE_GPU_LAYERS",
    }

    @property
    def n_workers(self) -> int:
        return self.workers or min(4, len(os.sched_getaffinity(0)))

    @property
    def n_threads(self) -> int:
        return self.threads or max(1, len(os.sched_getaffinity(0)) // self.n_workers)


class Serving(BaseModel):
    """millrace.json: how this model wants to be asked."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instruction: str = ""
    """Stood before every source in training; put before the last user message that does not begin with it."""
    context: int = Field(default=2048, ge=16, le=1 << 20)
    stop: list[str] = Field(default=[], max_length=16)
    base: str | None = None
    quantization: str | None = None


def opened(root: Path) -> tuple[Path, Serving, Manifest]:
    """The verified model file below root/model, how to serve it, and its manifest. Corrupt for anything else."""
    folder = root / contract.MODEL
    told = manifest.read(folder)
    if told.format != "gguf":
        raise Corrupt(f"The model folder holds {told.format!r}; this container serves 'gguf'.")
    listed = {file.path for file in told.files}
    if not {MODEL_FILE, SERVING_FILE} <= listed:
        raise Corrupt(f"The manifest lists no {MODEL_FILE} with its {SERVING_FILE}: nothing here is to be served.")
    try:
        return folder / MODEL_FILE, Serving.model_validate(json.loads((folder / SERVING_FILE).read_text())), told
    except (ValidationError, ValueError) as error:
        raise Corrupt(f"{SERVING_FILE} cannot be understood: {error}") from error
