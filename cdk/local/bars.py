"""A training job on the screen: a bar for each stage, and one that pulses while no container is at work."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

STAGES = {"train": "LoRA training", "evaluate": "evaluation", "gguf": "GGUF, quantization, parity"}
WAITING = "waiting for the container"


class Bars:
    """Used as a context; where the console is no terminal it draws nothing."""

    def __init__(self, console: Console) -> None:
        self.began_s: dict[str, float] = {}
        """Stage -> seconds from the first look at the job to the first word of the stage."""
        self._began = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(30),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
            console=console,
            transient=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._waiting: TaskID | None = None

    def __enter__(self) -> Bars:
        self._progress.start()
        self._wait(True, "")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: dict[str, Any]) -> None:
        """Move the bars to where the job stands now."""
        self._move(job.get("progress") or {})
        self._wait(not self._at_work(job), str(job.get("state", "")))

    def end(self, job: dict[str, Any]) -> None:
        """The last look: nothing is waited for any more."""
        self._move(job.get("progress") or {})
        self._wait(False, "")

    def _move(self, progress: dict[str, Any]) -> None:
        stage = progress.get("stage")
        if stage not in STAGES:
            return
        if stage not in self._tasks:
            self._wait(False, "")
            self._tasks[stage] = self._progress.add_task(STAGES[stage], total=None, told="")
            self.began_s[stage] = round(time.monotonic() - self._began, 1)
        self._progress.update(
            self._tasks[stage],
            completed=progress.get("step", 0),
            total=progress.get("steps") or None,
            told=_told(progress),
        )

    def _at_work(self, job: dict[str, Any]) -> bool:
        progress = job.get("progress") or {}
        task = self._tasks.get(progress.get("stage", ""))
        return task is not None and not self._progress.tasks[self._progress.task_ids.index(task)].finished

    def _wait(self, waiting: bool, told: str) -> None:
        """The pulsing bar is always the last one, and its clock starts with every wait."""
        if waiting and self._waiting is None:
            self._waiting = self._progress.add_task(WAITING, total=None, told=told)
        elif waiting and self._waiting is not None:
            self._progress.update(self._waiting, told=told)
        elif self._waiting is not None:
            self._progress.remove_task(self._waiting)
            self._waiting = None


def _told(progress: dict[str, Any]) -> str:
    loss = progress.get("loss")
    return f"loss {loss:.3f}" if loss is not None else str(progress.get("status") or "")
