"""A sick provider is left alone: one circuit breaker for each model, its state shared in the table and visible.

The rules are pure: a state, a time, a draw and an outcome in, a state out. A failure adds 1 to a score, a success takes
`CREDIT` off it and time halves it, so a breaker opens when more than a third of the calls fail, not only at an
unbroken row. AWS: DynamoDB, in `Breakers` alone; a healthy model costs no write, and one read a process every 2 s.

Powertools' circuit breaker was weighed: its item can have our keys, but its clock is the machine's, it counts only
consecutive failures of one process, knows no Retry-After and waits equally long each time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from random import random
from typing import Any

from .clock import fresh_id
from .errors import Conflict, Declined, MillraceError, ProviderRefused, Throttled, Unavailable
from .table import Item, Table, Write
from .tenants import Kind, system_pk

OPEN_AT = 4.0
ROW_AT = 5
"""Failures in a row that open it however slowly they come."""
CREDIT = 0.5
HALF_LIFE_S = 60.0
WAIT_S = 5.0
"""First wait of an open breaker; doubled at each failed probe."""
WAIT_CAP_S = 120.0
REFUSED_WAIT_S = 60.0
"""First wait after a refusal, which only a person mends."""
REFUSED_CAP_S = 600.0
PROBE_S = 30.0
"""A probe that is not heard of for so long is lost, and another may be made."""


class Phase(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True)
class State:
    name: str
    phase: Phase = Phase.CLOSED
    score: float = 0.0
    scored_at: float = 0.0
    """Unix seconds, as all times here."""
    failures: int = 0
    """In a row."""
    opened_at: float | None = None
    next_try: float | None = None
    waits: int = 0
    """Waits in a row; each is twice the last."""
    reason: str = ""
    version: int = 0

    def now(self, at: float) -> float:
        """The score at a time."""
        return float(self.score * 0.5 ** (max(0.0, at - self.scored_at) / HALF_LIFE_S))

    def callable(self, at: float) -> bool:
        """Whether a call may be made, as a probe if the breaker is not closed."""
        return self.phase is Phase.CLOSED or self.next_try is None or at >= self.next_try


@lru_cache(maxsize=1_024)
def _never_failed(name: str) -> State:
    return State(name)


def probing(state: State, at: float) -> State:
    """The state while one probe is out; nobody else calls until it is heard of or lost."""
    return replace(state, phase=Phase.PROBING, next_try=at + PROBE_S)


def succeeded(state: State, at: float) -> State:
    if state.phase is not Phase.CLOSED:
        return State(state.name, version=state.version)
    return replace(state, score=max(0.0, state.now(at) - CREDIT), scored_at=at, failures=0)


def failed(state: State, at: float, error: Exception, draw: float) -> State:
    """`draw` in [0, 1) spreads the waits of many processes. What Declined says is about the text, not the model."""
    if isinstance(error, Declined):
        return state if state.phase is not Phase.PROBING else succeeded(state, at)
    score = state.now(at) + 1.0
    grown = replace(state, score=score, scored_at=at, failures=state.failures + 1, reason=str(error)[:300])
    told = error.retry_after_s if isinstance(error, Throttled) else None
    at_once = isinstance(error, ProviderRefused) or told is not None or state.phase is not Phase.CLOSED
    if not at_once and score < OPEN_AT and grown.failures < ROW_AT:
        return grown
    wait_s = _wait_s(state.waits, error, told, draw)
    opened_at = state.opened_at if state.opened_at is not None else at
    return replace(grown, phase=Phase.OPEN, opened_at=opened_at, next_try=at + wait_s, waits=state.waits + 1)


def _wait_s(waits: int, error: Exception, told: float | None, draw: float) -> float:
    refused = isinstance(error, ProviderRefused)
    first, cap = (REFUSED_WAIT_S, REFUSED_CAP_S) if refused else (WAIT_S, WAIT_CAP_S)
    grown = min(cap, first * 2.0 ** min(waits, 16)) * (0.75 + 0.5 * draw)
    return grown if told is None else max(told, grown if waits else 0.0)


@dataclass(frozen=True)
class Admission:
    """Leave to call, to be given back with the outcome."""

    name: str
    probe: bool


@dataclass
class Breakers:
    """The shared states. A table that cannot be read or written never stops a call: then only this process knows."""

    table: Table
    clock: Callable[[], float] = time.time
    draw: Callable[[], float] = random
    fresh_s: float = 2.0
    _known: dict[str, State] = field(default_factory=dict, repr=False)
    _read_at: float = field(default=float("-inf"), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def states(self) -> list[State]:
        """All that have ever failed, for people to see."""
        self._refresh()
        return sorted(self._known.values(), key=lambda state: state.name)

    def get(self, name: str) -> State:
        self._refresh()
        return self._known.get(name) or _never_failed(name)

    def admit(self, name: str) -> Admission | State:
        """Leave to call, or the state that forbids it. Of all processes one gets the probe of an open breaker."""
        state = self.get(name)
        at = self.clock()
        if state.phase is Phase.CLOSED:
            return Admission(name, probe=False)
        if not state.callable(at):
            return state
        won = self._write(probing(state, at), state)
        return Admission(name, probe=True) if won else self._known.get(name, state)

    def report(self, admission: Admission, error: MillraceError | None = None) -> State:
        """The outcome of an admitted call. Only a change that matters is written."""
        for _ in range(3):
            state = self.get(admission.name)
            at = self.clock()
            if error is None or not isinstance(error, Unavailable):
                healthy = state.phase is Phase.CLOSED and not state.failures and state.now(at) < 0.05
                late = state.phase is Phase.OPEN and not admission.probe
                if healthy or late:
                    return state
                after = succeeded(state, at)
            elif state.phase is not Phase.CLOSED and not admission.probe:
                return state  # a call from before it opened
            else:
                after = failed(state, at, error, self.draw())
            if after == state or self._write(after, state):
                break
        return self._known.get(admission.name, State(admission.name))

    def _write(self, after: State, before: State) -> bool:
        """Put the new state unless somebody else changed it since; then theirs is read."""
        after = replace(after, version=before.version + 1)
        values = {k: v for k, v in asdict(after).items() if k != "name"} | {"phase": str(after.phase)}
        expect = {"version": before.version or None}
        write = Write("update", system_pk(Kind.BREAKER), after.name, values=values, expect=expect)
        try:
            self.table.update(write, fresh_id("o"))
        except Conflict:
            self._known.pop(after.name, None)
            self._refresh(force=True)
            return False
        except MillraceError:
            after = replace(after, version=before.version)  # this process still knows
        with self._lock:
            self._known[after.name] = after
        return True

    def _refresh(self, force: bool = False) -> None:
        if not force and self.clock() - self._read_at < self.fresh_s:
            return
        self._read_at = self.clock()
        try:
            items = self.table.query(system_pk(Kind.BREAKER))
        except MillraceError:
            return
        with self._lock:
            for item in items:
                state = _state(item)
                if state.version >= self._known.get(state.name, state).version:
                    self._known[state.name] = state


def _state(item: Item) -> State:
    known: dict[str, Any] = {name: item[name] for name in State.__dataclass_fields__ if name in item}
    return State(**{**known, "name": item["sk"], "phase": Phase(item["phase"])})
