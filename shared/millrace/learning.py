"""What each tenant's router has learned: one item a tenant, written a few answers at a time. AWS: DynamoDB.

Observations wait in the process for at most `every_s` (and no longer than until the next one after that), then are
applied to the state as it stands under an optimistic version. What a process takes with it when it ends, or cannot
write, is lost to learning and to nothing else: no answer ever waits or fails for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from .bandit import Observation, State, update
from .clock import fresh_id
from .errors import Conflict, MillraceError
from .table import Table, Write
from .tenants import Kind, Tenant

TRIES = 5
AT_ONCE = 64
"""Observations that are written without waiting longer."""
MOST_WAITING = 4 * AT_ONCE
_UNKNOWN = (float("-inf"), State())


@dataclass
class Learning:
    """One for each process."""

    table: Table
    clock: Callable[[], float] = time.time
    fresh_s: float = 5.0
    every_s: float = 5.0
    _states: dict[str, tuple[float, State]] = field(default_factory=dict, repr=False)
    _waiting: dict[str, list[Observation]] = field(default_factory=dict, repr=False)
    _wrote_at: dict[str, float] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def state(self, tenant: Tenant) -> State:
        """As this process knows it, read again every `fresh_s`; from the priors where the table is away."""
        read_at, known = self._states.get(tenant.id, _UNKNOWN)
        if self.clock() - read_at < self.fresh_s:
            return known
        try:
            known = _applied(self._read(tenant), self._waiting.get(tenant.id, []))
        except MillraceError:
            pass  # what was known before serves as well
        self._states[tenant.id] = (self.clock(), known)
        return known

    def observe(self, tenant: Tenant, seen: Observation) -> None:
        """This process ranks by it at once, the others after the next write."""
        read_at, known = self._states.get(tenant.id, _UNKNOWN)
        with self._lock:
            waiting = self._waiting.setdefault(tenant.id, [])
            waiting.append(seen)
            self._states[tenant.id] = (read_at, update(known, seen))
            due = self.clock() - self._wrote_at.get(tenant.id, float("-inf")) >= self.every_s
        if due or len(waiting) >= AT_ONCE:
            self.flush(tenant)

    def flush(self, tenant: Tenant) -> bool:
        """Writes what waits. False where it could not: what others kept out waits on, what may stand is forgotten."""
        with self._lock:
            waiting = self._waiting.pop(tenant.id, [])
            self._wrote_at[tenant.id] = self.clock()
        try:
            if not waiting or any(self._written(tenant, waiting) for _ in range(TRIES)):
                return True
        except MillraceError:
            return False
        with self._lock:
            self._waiting[tenant.id] = [*waiting, *self._waiting.get(tenant.id, [])][:MOST_WAITING]
        return False

    def _written(self, tenant: Tenant, waiting: Sequence[Observation]) -> bool:
        """False where somebody else wrote meanwhile."""
        before = self._read(tenant)
        after = replace(_applied(before, waiting), version=before.version + 1)
        write = Write("update", *_key(tenant), after.to_dict(), expect={"version": before.version or None})
        try:
            self.table.update(write, fresh_id("o"))
        except Conflict:
            return False
        self._states[tenant.id] = (self.clock(), after)
        return True

    def _read(self, tenant: Tenant) -> State:
        return State.from_dict(self.table.get(*_key(tenant)) or {})


def _applied(state: State, seen: Sequence[Observation]) -> State:
    for one in seen:
        state = update(state, one)
    return state


def _key(tenant: Tenant) -> tuple[str, str]:
    return tenant.pk(Kind.ROUTING), "state"
