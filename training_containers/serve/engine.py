"""What the HTTP side needs of an inference library, and llama.cpp as one. Another library is another Engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .likelihood import Likelihood
from .llama import Aborted, Context, Model, Sampling, Utf8

Messages = Sequence[dict[str, str]]


@dataclass(frozen=True)
class Piece:
    """What one generated token added to the text; it may be nothing yet."""

    text: str
    tokens: int = 1
    """0 for what the decoder held back until the end."""


class Worker(Protocol):
    """Answers one prompt at a time, on one thread, and keeps nothing of it."""

    def generate(
        self, prompt: Sequence[int], max_tokens: int, sampling: Sampling, stopped: Callable[[], bool]
    ) -> Iterator[Piece]:
        """One Piece a token until the model ends its turn; ends at once when `stopped` turns true."""
        ...

    def likelihood(self, tokens: Sequence[int], stopped: Callable[[], bool]) -> Likelihood | None:
        """How likely tokens are that fit the context, the first of them given; None when `stopped` turns true."""
        ...

    def close(self) -> None: ...


class Engine(Protocol):
    """A loaded model. `context` is the tokens that prompt and answer share."""

    context: int

    def prompt(self, messages: Messages) -> list[int]: ...

    def opened(self, text: str) -> list[int]:
        """Tokens of a plain text, after one that begins it."""
        ...

    def worker(self) -> Worker: ...

    def close(self) -> None: ...


class LlamaEngine:
    """llama.cpp: one set of weights, a context a worker."""

    def __init__(self, path: Path, context: int, threads: int, gpu_layers: int = 0) -> None:
        self._model = Model(path, gpu_layers)
        self.context, self._threads = context, threads

    def prompt(self, messages: Messages) -> list[int]:
        return self._model.prompt(messages)

    def opened(self, text: str) -> list[int]:
        return self._model.opened(text)

    def worker(self) -> Worker:
        return LlamaWorker(self._model, Context(self._model, self.context, self._model.threads(self._threads)))

    def close(self) -> None:
        self._model.close()


class LlamaWorker:
    def __init__(self, model: Model, context: Context) -> None:
        self._model, self._context = model, context

    def generate(
        self, prompt: Sequence[int], max_tokens: int, sampling: Sampling, stopped: Callable[[], bool]
    ) -> Iterator[Piece]:
        letters, first = Utf8(), True
        self._context.stop = stopped
        try:
            for token in self._context.generate(prompt, max_tokens, sampling):
                yield Piece(letters.add(self._model.piece(token, first)))
                first = False
                if stopped():
                    return
            if rest := letters.add(b"", last=True):
                yield Piece(rest, tokens=0)
        except Aborted:
            return
        finally:
            self._context.reset()

    def likelihood(self, tokens: Sequence[int], stopped: Callable[[], bool]) -> Likelihood | None:
        self._context.stop = stopped
        try:
            return self._context.likelihood(tokens)
        except Aborted:
            return None
        finally:
            self._context.reset()

    def close(self) -> None:
        self._context.close()
