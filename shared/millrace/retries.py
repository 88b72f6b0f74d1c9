"""The one retry layer: full jitter, within the deadline, and out of a budget that a sick provider cannot blow up.

Pure but for the clock, draw and sleep that are handed in. Only `Unavailable` and `Throttled` themselves are tried
again: a refusal or a declined text comes out the same. Source: AWS Builders' Library, "Timeouts, retries and backoff
with jitter"; the budget is Finagle's.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from .errors import RETRYABLE, Throttled, Unavailable

T = TypeVar("T")


@dataclass(frozen=True)
class Policy:
    tries: int = 2
    """In all, of one model; after that another model answers sooner than this one would."""
    base_s: float = 0.25
    cap_s: float = 2.0
    least_s: float = 1.0
    """Time that must be left for a try to make sense."""


@dataclass
class Budget:
    """Retries are at most `ratio` of first calls, and `reserve` more. One for each process."""

    ratio: float = 0.1
    reserve: float = 1.0
    cap: float = 10.0
    _tokens: float = field(default=-1.0, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._tokens = self.reserve

    @property
    def left(self) -> float:
        """Retries that it still has."""
        return max(0.0, self._tokens)

    def called(self) -> None:
        with self._lock:
            self._tokens = min(self.cap, self._tokens + self.ratio)

    def take(self) -> bool:
        with self._lock:
            if self._tokens < 1.0 - 1e-9:
                return False
            self._tokens -= 1.0
            return True


def pause_s(policy: Policy, attempt: int, draw: float, retry_after_s: float | None = None) -> float:
    """Seconds before try `attempt` + 1 (attempts count from 1). `draw` in [0, 1). What was told is waited at least."""
    jittered = draw * min(policy.cap_s, policy.base_s * 2.0 ** (attempt - 1))
    return max(jittered, retry_after_s or 0.0)


def retrying(
    work: Callable[[float], T],
    deadline: float,
    budget: Budget,
    policy: Policy = Policy(),
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    draw: Callable[[], float] = random.random,
) -> T:
    """`work(seconds left)` until it returns, fails for good, or a further try would not fit. Raises its last error."""
    budget.called()
    attempt = 1
    while True:
        try:
            return work(deadline - clock())
        except Unavailable as error:
            if type(error) not in RETRYABLE or attempt >= policy.tries:
                raise
            told = error.retry_after_s if isinstance(error, Throttled) else None
            wait = pause_s(policy, attempt, draw(), told)
            if clock() + wait + policy.least_s > deadline or not budget.take():
                raise
        sleep(wait)
        attempt += 1
