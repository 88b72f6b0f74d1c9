"""Worker threads behind a bounded queue. A full queue says so at once; nobody waits for longer than the caller does."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final, Literal

from millrace.errors import MillraceError

from .engine import Engine, Worker
from .likelihood import Likelihood
from .llama import Sampling


class Full(MillraceError):
    """Every worker is busy and the queue is full."""

    status = 429
    code = "queue-full"

    def __init__(self, waiting: int, retry_after_s: int) -> None:
        super().__init__(f"{waiting} requests are waiting already; try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Done:
    """The last event of a task that was answered."""

    finish_reason: Literal["stop", "length"]
    completion_tokens: int
    queue_ms: float
    predicted_ms: float

    @property
    def tokens_per_s(self) -> float:
        return self.completion_tokens / max(self.predicted_ms / 1000, 1e-9)


@dataclass(frozen=True)
class Broken:
    """The last event of a task that failed."""

    error: Exception


@dataclass(frozen=True)
class Judged:
    """The only event of a task that was to say how likely a text is."""

    likelihood: Likelihood


Event = Text | Done | Broken | Judged


@dataclass
class Task:
    """One answer to write, or a text to judge. `emit` is called on a worker's thread."""

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling
    stop: Sequence[str]
    emit: Callable[[Event], None]
    judge: bool = False
    """The prompt is a text whose likelihood is asked for; nothing is written."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    queued_at: float = field(default_factory=time.monotonic)


@dataclass
class Counters:
    """What GET /health tells. Written under the pool's lock."""

    requests: int = 0
    answered: int = 0
    cancelled: int = 0
    refused: int = 0
    errors: int = 0
    active: int = 0
    completion_tokens: int = 0
    predicted_s: float = 0.0
    busy_s: float = 0.0
    """Of workers, with what was answered: written or judged."""


class Pool:
    """`workers` threads with a context each, and room for `queue` more tasks."""

    def __init__(self, engine: Engine, workers: int, queue: int) -> None:
        self.counters, self._lock = Counters(), threading.Lock()
        self._size, self._room = workers, workers + queue
        self._pending = 0
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._stopping = threading.Event()
        ready = [engine.worker() for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(w,), name=f"worker-{i}") for i, w in enumerate(ready)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """Tasks that wait for a worker."""
        return max(0, self._pending - self.counters.active)

    def submit(self, task: Task) -> None:
        with self._lock:
            self.counters.requests += 1
            if self._pending >= self._room or self._stopping.is_set():
                self.counters.refused += 1
                raise Full(self.depth, self._retry_after_s())
            self._pending += 1
        self._tasks.put(task)

    def close(self) -> None:
        """End what runs, answer nothing more, free the contexts."""
        self._stopping.set()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _retry_after_s(self) -> int:
        done = max(1, self.counters.answered)
        return max(1, math.ceil(self.counters.busy_s / done * self._pending / self._size))

    def _work(self, worker: Worker) -> None:
        try:
            while (task := self._tasks.get()) is not None:
                self._count(active=1)
                try:
                    self._answer(worker, task)
                finally:
                    with self._lock:
                        self._pending -= 1
                        self.counters.active -= 1
        finally:
            worker.close()

    def _answer(self, worker: Worker, task: Task) -> None:
        began = time.monotonic()
        if task.cancelled.is_set():
            return self._count(cancelled=1)
        tokens, stops = 0, StopAt(task.stop)
        stopped = lambda: task.cancelled.is_set() or self._stopping.is_set()  # noqa: E731
        try:
            if task.judge:
                return self._judged(worker, task, stopped)
            for piece in worker.generate(task.prompt, task.max_tokens, task.sampling, stopped):
                tokens += piece.tokens
                if text := stops.add(piece.text):
                    task.emit(Text(text))
                if stops.found:
                    break
            if rest := stops.end():
                task.emit(Text(rest))
        except Exception as error:
            # The border of the thread: whatever broke, the caller hears of it and the worker lives on.
            self._count(errors=1)
            return task.emit(Broken(error))
        took_s = time.monotonic() - began
        if task.cancelled.is_set():
            return self._count(cancelled=1)
        self._count(answered=1, completion_tokens=tokens, predicted_s=took_s, busy_s=took_s)
        reason: Final = "length" if tokens >= task.max_tokens and not stops.found else "stop"
        return task.emit(Done(reason, tokens, (began - task.queued_at) * 1000, took_s * 1000))

    def _judged(self, worker: Worker, task: Task, stopped: Callable[[], bool]) -> None:
        began = time.monotonic()
        found = worker.likelihood(task.prompt, stopped)
        if found is None:
            return self._count(cancelled=1)
        self._count(answered=1, busy_s=time.monotonic() - began)
        return task.emit(Judged(found))

    def _count(self, **more: float) -> None:
        with self._lock:
            for name, value in more.items():
                setattr(self.counters, name, getattr(self.counters, name) + value)


class StopAt:
    """Cuts a stream of text before the first stop string; what might begin one is held back until it is clear."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False

    def add(self, text: str) -> str:
        self._held += text
        cuts = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if cuts:
            self.found = True
            out, self._held = self._held[: min(cuts)], ""
            return out
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        out, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return out

    def end(self) -> str:
        """What was held back and turned out to be no stop string."""
        out, self._held = self._held, ""
        return out


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
