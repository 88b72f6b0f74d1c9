"""Giving up in time on work that has no timeout of its own: boto's calls, name servers, imports."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def in_time(work: Callable[[], T], timeout_s: float) -> T:
    """What `work` returns or raises; TimeoutError when it takes longer. It then ends by itself, unheard."""
    done: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = done.get(timeout=max(timeout_s, 0.001))
    except Empty:
        raise TimeoutError(f"not done within {timeout_s:.1f} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]
