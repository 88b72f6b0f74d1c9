"""One container job: SageMaker's /opt/ml as a dataclass. `root` puts it anywhere.

Source of the layout: SageMaker's "toolkit contract" for training images.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from millrace import contract


@dataclass(frozen=True)
class Job:
    """Folders and settings of the job that runs in this process."""

    root: Path = Path(contract.CONTAINER_ROOT)

    @cached_property
    def hyperparameters(self) -> dict[str, Any]:
        """Decoded values. A value that is not JSON is taken as the text it is."""
        raw: dict[str, str] = json.loads((self.root / contract.HYPERPARAMETERS).read_text())
        return {name: _decode(value) for name, value in raw.items()}

    def channel(self, name: str) -> Path:
        """Folder of an input channel; it may not exist when the job has no such channel."""
        return self.root / contract.DATA / name

    def has(self, name: str) -> bool:
        return self.channel(name).is_dir()

    @property
    def model(self) -> Path:
        return self._made(contract.MODEL)

    @property
    def checkpoints(self) -> Path:
        return self._made(contract.CHECKPOINTS)

    def fail(self, sentence: str) -> None:
        """Leave the one sentence that the job ends with. SageMaker cuts at 1,024 characters."""
        path = self.root / contract.FAILURE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(" ".join(sentence.split())[:1024])

    def _made(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def _decode(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
