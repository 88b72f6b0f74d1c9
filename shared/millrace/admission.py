"""Whose turn it is to train: limits for each tenant and for all, priorities within a tenant, fairness between them.

AWS: DynamoDB, and Step Functions through jobs. A waiting job holds no place; an admitted one holds it until it is
settled, so the places that are taken are the active items that do not wait. Whoever hands out places counts what is
taken under the number of the last turn and writes only while that number stands: of two who hand out at once one
begins again. Between the count and the write places can only become free, so no limit is ever passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .clock import fresh_id, now
from .contract import Tier
from .errors import Conflict, InvalidInput, NotFound, Unavailable
from .jobs import Jobs
from .table import Item, Write
from .tenants import Kind, Tenant, system_pk

PRIORITIES: Mapping[str, int] = {"low": 0, "normal": 1, "high": 2}
"""Among the jobs of one tenant: nobody gets before another tenant by calling all that he does important."""
LIFT_H = 6.0
"""Hours of waiting that are worth one step of priority, so that the least important job has its turn too."""
TENANT_JOBS: Mapping[Tier, int] = {Tier.FREE: 1, Tier.BASIC: 1, Tier.PROFESSIONAL: 2, Tier.ENTERPRISE: 4}
AT_ONCE = 20
"""Places that one turn hands out at most."""
REMEMBERED = 500
"""Tenants whose last turn is known."""
_TRIES = 25


@dataclass(frozen=True)
class Limits:
    total: int
    of_tier: Mapping[Tier, int] = field(default_factory=lambda: TENANT_JOBS)


@dataclass(frozen=True)
class Place:
    """A job that is not settled: it waits for its turn, or holds one of the places."""

    job_id: str
    tenant: str
    tier: Tier
    created_at: str = "1970-01-01T00:00:00.000Z"
    priority: str = "normal"
    waiting: bool = False

    @classmethod
    def of(cls, item: Item) -> Place:
        given = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        return cls(**{**given, "tier": Tier(item["tier"])})


def check_priority(priority: str) -> str:
    if priority not in PRIORITIES:
        raise InvalidInput(f"A priority is {', '.join(PRIORITIES)}, not {priority!r}.")
    return priority


def choose(places: Iterable[Place], served: Mapping[str, int], limits: Limits, at: datetime) -> list[Place]:
    """Who is next, in order: the tenant whose last turn is longest ago, and of its jobs the most urgent. Pure."""
    places = list(places)
    taken = Counter(place.tenant for place in places if not place.waiting)
    waiting = sorted((place for place in places if place.waiting), key=lambda place: _urgency(place, at))
    turns, chosen = dict(served), list[Place]()
    while taken.total() < limits.total and len(chosen) < AT_ONCE:
        able = [place for place in waiting if taken[place.tenant] < limits.of_tier[place.tier]]
        if not able:
            break
        # `waiting` is in order of urgency and `min` keeps the first: the tenant's own order decides within it.
        following = min(able, key=lambda place: turns.get(place.tenant, 0))
        waiting.remove(following)
        chosen.append(following)
        taken[following.tenant] += 1
        turns[following.tenant] = max(turns.values(), default=0) + 1
    return chosen


def _urgency(place: Place, at: datetime) -> tuple[float, str, str]:
    waited_h = (at - datetime.fromisoformat(place.created_at)).total_seconds() / 3600
    return -(PRIORITIES.get(place.priority, 1) + waited_h // LIFT_H), place.created_at, place.job_id


@dataclass(frozen=True)
class Admission:
    jobs: Jobs
    limits: Limits

    def admit(self, at: datetime | None = None) -> list[str]:
        """Give every free place away and start who got one; the ids. What cannot be started, the sweeper starts."""
        for _ in range(_TRIES):
            try:
                chosen = self._hand_out(at or now())
            except Conflict:
                continue  # somebody handed out meanwhile, or a waiting job was cancelled
            for place in chosen:
                self._start(place)
            return [place.job_id for place in chosen]
        return []  # others hand out as fast as they can; the sweeper comes every minute

    def _hand_out(self, at: datetime) -> list[Place]:
        table, pk = self.jobs.table, system_pk(Kind.JOB_TURN)
        turn = table.get(pk, "body") or {}
        served = turn.get("served", {})
        chosen = choose(map(Place.of, self.jobs.active()), served, self.limits, at)
        if not chosen:
            return []
        number = turn.get("number", 0)
        for place in chosen:
            number += 1
            served = {**served, place.tenant: number}
        lately = dict(sorted(served.items(), key=lambda turn: turn[1])[-REMEMBERED:])
        writes = [
            Write("update", pk, "body", {"number": number, "served": lately}, expect={"number": turn.get("number")})
        ]
        for place in chosen:
            active = system_pk(Kind.ACTIVE_JOB)
            writes.append(Write("update", active, place.job_id, {"waiting": None}, expect={"waiting": True}))
        table.transact(writes, op=fresh_id("turn-"))
        return chosen

    def _start(self, place: Place) -> None:
        tenant = Tenant(place.tenant, place.tier)
        try:
            self.jobs.start(tenant, self.jobs.get(tenant, place.job_id))
        except (Unavailable, NotFound):
            return
