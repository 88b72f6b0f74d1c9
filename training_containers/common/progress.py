"""Progress as JSON lines on stdout: the only way a container speaks while it runs."""

from __future__ import annotations

import sys
import time
from typing import Any

from millrace.container import Metrics, Progress


class Reporter:
    """Writes progress lines, at most one every `every_s` seconds but always the first and the last step."""

    def __init__(self, steps: int, every_s: float = 1.0, status: str = "training") -> None:
        self.steps = steps
        self.every_s = every_s
        self.status = status
        self._began = time.monotonic()
        self._last = -every_s
        self._first_step: int | None = None

    def step(self, step: int, *, always: bool = False, **values: Any) -> None:
        """`values`: epoch, trial, loss, accuracy, best, metrics (see container.Progress). `always`: however soon."""
        now = time.monotonic() - self._began
        if self._first_step is None:
            self._first_step = step
        if step < self.steps and now - self._last < self.every_s and not always:
            return
        self._last = now
        done = step - self._first_step
        eta_s = round(now / done * (self.steps - step), 1) if done > 0 else None
        _say(Progress(status=self.status, step=step, steps=self.steps, eta_s=eta_s, **values).model_dump_json())


def metrics(values: dict[str, float]) -> None:
    """The last line of a job that succeeded."""
    _say(Metrics(metrics=values).model_dump_json())


def _say(line: str) -> None:
    print(line, file=sys.stdout, flush=True)
