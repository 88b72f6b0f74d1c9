"""One confined process a trial, as many at once as there are cores; each killed when its time is over.

A trial is forked from a process that holds the images and has imported everything: starting one takes 20 ms. It says
JSON lines through a pipe, and at most `weights_bytes` of safetensors after the last; nothing else comes back. The
parent multiplies nothing before it forks, so no thread is lost in a child.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from millrace.errors import MillraceError

from . import sandbox

LINE_BYTES: Final = 1 << 20
TICK_S: Final = 0.2
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""Of malloc.h."""
Say = Callable[[dict[str, Any]], None]
Work = Callable[[Say], bytes | None]
"""Runs in the child: says lines, returns weights or nothing. What it raises becomes the trial's failure."""


@dataclass(frozen=True)
class Task:
    key: int
    work: Work
    timeout_s: float
    memory_bytes: int
    weights_bytes: int = 0


@dataclass
class Done:
    """How a task ended: `error` is None where it came to its end. `code`: timeout, memory, diverged, crashed ..."""

    key: int
    lines: list[dict[str, Any]]
    seconds: float
    weights: bytes | None = None
    error: str | None = None
    code: str = ""
    memory_bytes: int = 0
    cpu_s: float = 0.0


@dataclass
class _Child:
    task: Task
    pid: int
    descriptor: int
    began: float
    buffer: bytearray = field(default_factory=bytearray)
    lines: list[dict[str, Any]] = field(default_factory=list)
    wanted: int | None = None
    """Bytes of weights that were announced."""
    overrun: str = ""
    gone: bool = False
    """Its process was waited for: the number may be another's by now."""

    @property
    def answered(self) -> bool:
        """All that it has to say was heard."""
        return not self.overrun and self.wanted is not None and len(self.buffer) == self.wanted


class Pool:
    """`confinement`: what the last trial could still do of what it must not, by name."""

    def __init__(self, workers: int, forbidden: Path, devices: bool = False) -> None:
        self.workers, self._forbidden, self._devices = workers, forbidden, devices
        self.confinement: dict[str, bool] = {}
        self._leaving = list[_Child]()
        """Ended or killed, and not known to be gone."""

    def run(
        self,
        tasks: Iterable[Task],
        heard: Callable[[int, dict[str, Any]], None] = lambda key, line: None,
        enough: Callable[[Done], bool] = lambda done: False,
        deadline: float | None = None,
    ) -> list[Done]:
        """All tasks in order of their end. After `enough`, or past `deadline`, what runs is killed and left out.

        Nobody waits for the killed ones: to take a process down costs 15 to 30 ms, and what follows need not know.
        """
        waiting, running, ended = list(tasks)[::-1], list[_Child](), list[Done]()
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or running:
                    while waiting and len(running) < self.workers:
                        child = self._start(waiting.pop())
                        running.append(child)
                        selector.register(child.descriptor, selectors.EVENT_READ, child)
                    for ready, _ in selector.select(TICK_S):
                        self._read(ready.data, heard)
                    for child in list(running):
                        if (done := self._ended(child)) is None:
                            continue
                        selector.unregister(child.descriptor)
                        os.close(child.descriptor)
                        running.remove(child)
                        self._leaving.append(child)
                        ended.append(done)
                        if enough(done):
                            return ended
                    self._leaving = [child for child in self._leaving if not child.gone and _left(child) is None]
                    if deadline is not None and time.monotonic() > deadline:
                        return ended
            finally:
                for child in running:
                    os.close(child.descriptor)
                self._leaving += running
                _signal(*self._leaving)
                if self._devices:  # what a process on a GPU holds is free only when it is gone
                    self.settle()
        return ended

    def settle(self) -> None:
        """Wait until every process of trials that ended or were killed is gone."""
        _wait(*self._leaving)
        self._leaving = []

    def _start(self, task: Task) -> _Child:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._inside(task, writing)
        os.close(writing)
        os.set_blocking(reading, False)
        return _Child(task, pid, reading, time.monotonic())

    def _inside(self, task: Task, writing: int) -> None:
        """The child's whole life; it never returns."""
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            with open(writing, "wb") as out:

                def say(line: dict[str, Any]) -> None:
                    out.write(json.dumps(line).encode() + b"\n")
                    out.flush()

                try:
                    limits = sandbox.Limits(
                        task.memory_bytes, int(task.timeout_s * os.sysconf("SC_NPROCESSORS_ONLN")) + 10
                    )
                    sandbox.enter(limits, self._devices)
                    _hoard()
                    say({"type": "confined", "allowed": sandbox.require(self._forbidden)})
                    weights = task.work(say) or b""
                    usage = resource.getrusage(resource.RUSAGE_SELF)
                    spent = {"memory_bytes": usage.ru_maxrss * 1024, "cpu_s": usage.ru_utime + usage.ru_stime}
                    say({"type": "done", "weights": len(weights), **spent})
                    out.write(weights)
                except (Exception, MemoryError) as error:
                    # The border of the process: whatever broke, the parent hears one sentence of it.
                    say({"type": "failed", "code": _code(error), "error": _sentence(error)})
            status = 0
        finally:
            os._exit(status)

    def _read(self, child: _Child, heard: Callable[[int, dict[str, Any]], None]) -> None:
        try:
            while chunk := os.read(child.descriptor, 1 << 20):
                child.buffer += chunk
                if self._parse(child, heard) or child.overrun:
                    return
        except BlockingIOError:
            return

    def _parse(self, child: _Child, heard: Callable[[int, dict[str, Any]], None]) -> bool:
        while child.wanted is None and (end := child.buffer.find(b"\n")) >= 0:
            raw = bytes(child.buffer[:end])
            del child.buffer[: end + 1]
            try:
                line = json.loads(raw)
            except (ValueError, RecursionError):
                child.overrun = "It said what is no JSON."
                return False
            child.lines.append(line)
            if line["type"] == "confined":
                self.confinement = line["allowed"]
            elif line["type"] == "done":
                child.wanted = int(line["weights"])
            else:
                heard(child.task.key, line)
        most = LINE_BYTES if child.wanted is None else min(child.wanted, child.task.weights_bytes)
        if len(child.buffer) > most:
            child.overrun = "It said more than a trial may."
        return child.answered

    def _ended(self, child: _Child) -> Done | None:
        seconds = time.monotonic() - child.began
        if child.overrun:
            _kill(child)
            return Done(child.task.key, child.lines, seconds, error=child.overrun, code="crashed")
        if seconds > child.task.timeout_s:
            _kill(child)
            sentence = f"It took longer than its {child.task.timeout_s:.0f} s and was killed."
            return Done(child.task.key, child.lines, seconds, error=sentence, code="timeout")
        if child.answered and not self._devices:  # what a process on a GPU holds is free only when it is gone
            return _concluded(child, 0, seconds)
        if (status := _left(child)) is None:
            return None
        self._read(child, lambda key, line: None)
        return _concluded(child, status, seconds)


def _concluded(child: _Child, status: int, seconds: float) -> Done:
    done = Done(child.task.key, child.lines, seconds)
    last = child.lines[-1] if child.lines else {}
    if last.get("type") == "failed":
        done.error, done.code = str(last["error"])[:500], str(last["code"])
    elif child.wanted is None or len(child.buffer) != child.wanted:
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        done.error, done.code = f"Its process ended with {how} before it had finished.", "crashed"
        if status in (-signal.SIGKILL, -signal.SIGXCPU):
            done.code = "memory" if status == -signal.SIGKILL else "timeout"
    else:
        done.weights = bytes(child.buffer) or None
        done.memory_bytes, done.cpu_s = int(last["memory_bytes"]), float(last["cpu_s"])
    return done


def _hoard() -> None:
    """Keep what a tensor leaves for the next: pages given back to the kernel come anew, 5 us each, 3 % of a training.

    With glibc; elsewhere nothing is done.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 256 << 20)


def _left(child: _Child) -> int | None:
    """How its process ended, if it did."""
    pid, status = os.waitpid(child.pid, os.WNOHANG)
    if pid == 0:
        return None
    child.gone = True
    return os.waitstatus_to_exitcode(status)


def _signal(*children: _Child) -> None:
    """They run no line more, and are gone some milliseconds later."""
    for child in children:
        if not child.gone:
            os.kill(child.pid, signal.SIGKILL)


def _wait(*children: _Child) -> None:
    for child in children:
        if not child.gone:
            os.waitpid(child.pid, 0)
            child.gone = True


def _kill(child: _Child) -> None:
    """Gone when this returns."""
    _signal(child)
    _wait(child)


def _code(error: BaseException) -> str:
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return "memory"
    return error.code if isinstance(error, MillraceError) else "crashed"


def _sentence(error: BaseException) -> str:
    if _code(error) == "memory":
        return "It needed more memory than a trial may take."
    if isinstance(error, MillraceError):
        return str(error)
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
