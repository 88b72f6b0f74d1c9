"""One call to a model as the router makes it: let through by its breaker, tried again within the budget, reported.

There is no other retry layer: SDKs' own retries are off. A model that is left alone costs nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from .breakers import Admission, Breakers, State
from .catalogue import Entry
from .clock import stamp
from .errors import LeftAlone, MillraceError, Unavailable
from .providers import PROVIDERS
from .retries import Budget, Policy, retrying

T = TypeVar("T")


def scope(entry: Entry) -> str:
    """What falls ill together: a provider's model for everybody, an endpoint for those who use it."""
    if entry.endpoint:
        return f"{entry.provider}:{entry.endpoint}"
    if PROVIDERS[entry.provider].own_url:
        return f"{entry.provider}:{entry.base_url}:{entry.wire_name}"
    return entry.id


@dataclass
class Calls:
    """One for each process: the budget is its own, the breakers are everybody's."""

    breakers: Breakers
    budget: Budget = field(default_factory=Budget)
    policy: Policy = field(default_factory=Policy)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random

    def make(self, entry: Entry, deadline: float, work: Callable[[float], T]) -> T:
        """`work(seconds left)` under breaker, budget and deadline (of `clock`). LeftAlone without a call."""
        name = scope(entry)
        # Before `retrying`, so that a model that is left alone earns no budget for retries.
        first: Admission | None = self._admitted(entry, name)

        def attempt(left_s: float) -> T:
            nonlocal first
            admission, first = first or self._admitted(entry, name), None
            return self._reported(admission, lambda: work(left_s))

        return retrying(attempt, deadline, self.budget, self.policy, self.clock, self.sleep, self.draw)

    def stream(self, entry: Entry, begin: Callable[[], Iterator[T]]) -> Iterator[T]:
        """A stream is tried once: what it said cannot be taken back. Its end or its failure is reported."""
        admission = self._admitted(entry, scope(entry))
        try:
            yield from begin()
        except GeneratorExit:  # who listened went away; that says nothing of the model
            self.breakers.report(admission)
            raise
        except MillraceError as error:
            self.breakers.report(admission, error)
            raise
        self.breakers.report(admission)

    def obstacle(self, entry: Entry) -> str | None:
        """Why this model would not be called just now, without calling it."""
        state = self.breakers.get(scope(entry))
        return None if state.callable(self.breakers.clock()) else _sentence(entry, state)

    def _admitted(self, entry: Entry, name: str) -> Admission:
        admission = self.breakers.admit(name)
        if isinstance(admission, State):
            raise LeftAlone(_sentence(entry, admission))
        return admission

    def _reported(self, admission: Admission, work: Callable[[], T]) -> T:
        try:
            result = work()
        except MillraceError as error:
            self.breakers.report(admission, error if isinstance(error, Unavailable) else None)
            raise
        self.breakers.report(admission)
        return result


def _sentence(entry: Entry, state: State) -> str:
    until = stamp(datetime.fromtimestamp(state.next_try, UTC)) if state.next_try else "its probe is back"
    return f"{entry.id} is left alone until {until} after {state.failures} failures: {state.reason}"
