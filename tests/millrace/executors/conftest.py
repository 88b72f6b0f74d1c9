from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from millrace.executors import Needs
from millrace.executors.launch import Launch
from millrace.strategies import find

IMAGES = Path(__file__).parent / "fake_images"


@pytest.fixture
def wanted(tmp_path: Path) -> Callable[..., Launch]:
    """A launch whose container does what `deed` says."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"source": "a", "target": "b"}\n')

    def make(deed: str, out: Path | None = None, **needs: Any) -> Launch:
        return Launch(
            strategy=find("lora-sft"),
            hyperparameters={"instruction": deed},
            channels={"train": rows},
            out=out or tmp_path / "job",
            needs=Needs(**{"max_runtime_s": 30, **needs}),
            isolated=False,
        )

    return make


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def gone(pids: list[int], within_s: float = 5.0) -> bool:
    """Whether all of them end; a killed process may take a moment to be buried."""
    deadline = time.monotonic() + within_s
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return not any(alive(pid) for pid in pids)
