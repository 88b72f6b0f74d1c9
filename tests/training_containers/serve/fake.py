"""An engine that plays words and lets the test decide when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from training_containers.serve.engine import Messages, Piece, Worker
from training_containers.serve.likelihood import Likelihood
from training_containers.serve.llama import Sampling


class FakeEngine:
    """A prompt has a token a word. `gate` holds every answer back until it is set; what was asked is recorded."""

    def __init__(
        self, says: Sequence[str] = ("Fine", " ", "day", "."), context: int = 64, error: Exception | None = None
    ):
        self.says, self.context, self.error = says, context, error
        self.gate, self.begun, self.ended = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)
        self.gate.set()
        self.messages: list[Messages] = []
        self.asked: list[tuple[int, Sampling]] = []
        self.closed = 0

    def prompt(self, messages: Messages) -> list[int]:
        self.messages.append(messages)
        return [1 for message in messages for _ in message["content"].split()]

    def opened(self, text: str) -> list[int]:
        return [0, *(1 for _ in text.split())]

    def worker(self) -> Worker:
        return _FakeWorker(self)

    def close(self) -> None:
        self.closed += 1


class _FakeWorker:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine

    def generate(
        self, prompt: Sequence[int], max_tokens: int, sampling: Sampling, stopped: Callable[[], bool]
    ) -> Iterator[Piece]:
        self.engine.asked.append((max_tokens, sampling))
        self.engine.begun.release()
        try:
            while not self.engine.gate.wait(0.005):
                if stopped():
                    return
            if self.engine.error:
                raise self.engine.error
            for word in self.engine.says[:max_tokens]:
                yield Piece(word)
                if stopped():
                    return
        finally:
            self.engine.ended.release()

    def likelihood(self, tokens: Sequence[int], stopped: Callable[[], bool]) -> Likelihood | None:
        self.engine.begun.release()
        while not self.engine.gate.wait(0.005):
            if stopped():
                return None
        if self.engine.error:
            raise self.engine.error
        return Likelihood(len(tokens) - 1, -1.5, 0.5, 0.25)

    def close(self) -> None:
        self.engine.closed += 1
