"""Waiting for a model, no longer than there is time and than anybody waits for its answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .errors import Abandoned, MillraceError, Unavailable
from .providers import Completion

_LOOK_S = 0.05
"""How often a call of a stream looks whether anybody still waits."""


def within(
    limit_s: float, call: Callable[[], Completion], who: str, stopped: Callable[[], bool] | None = None
) -> Completion:
    """What `call` returns or raises, Unavailable after `limit_s`, or Abandoned once `stopped`.

    The thread it runs in is left to end by itself.
    """
    results: list[Completion] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # the border of the thread: whoever waits is told, whatever it is
            failures.append(error)

    worker = threading.Thread(target=run, daemon=True, name=f"ask-{who}")
    worker.start()
    until = time.monotonic() + limit_s
    while stopped is not None and not stopped() and worker.is_alive() and time.monotonic() < until:
        worker.join(max(0.0, min(_LOOK_S, until - time.monotonic())))
    if stopped is None:
        worker.join(max(0.0, limit_s))
    if failures and isinstance(failures[0], MillraceError):
        raise failures[0]
    if failures:
        raise Unavailable(f"{who} failed with {type(failures[0]).__name__}.") from failures[0]
    if not results and stopped is not None and stopped():
        raise Abandoned(f"{who} was left: nobody waits for its answer any more.")
    if not results:
        raise Unavailable(f"{who} did not answer within {limit_s:.1f} s.")
    return results[0]


def alone(call: Callable[[], Completion], who: str) -> Completion:
    """As `within`, for a call that ends by itself in time."""
    try:
        return call()
    except MillraceError:
        raise
    except Exception as error:  # the same border, without the thread
        raise Unavailable(f"{who} failed with {type(error).__name__}.") from error
