"""What was spent, by whom, on which model, on which day; and leave to spend that holds under a race. AWS: DynamoDB.

One item a tenant and day (`<tenant>#usage#<day>`, sk `day`) holds the counters of every model, what is committed and
each open hold, so that reserving and settling are one conditional write each: no transaction, no retry of our own.
A hold is an attribute that bears its id and its end. Whoever repeats a write whose reply was lost finds the hold
standing or gone and knows that it was done. A hold past its end (its request crashed) is given back by the next
caller who finds no room; should its request still come, it settles all the same. Amounts are whole nano-dollars.

Spending stays within the limit if calls cost at most what was reserved (`ceiling_usd`); what one costs more is over
by that. A tenant's item takes about 1,000 writes a second, that is 500 calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from .bandit import REQUESTS_A_DAY, Purse
from .catalogue import Entry
from .clock import fresh_id
from .contract import Tier
from .errors import Conflict, InvalidInput
from .table import Item, Table, Write
from .tenants import Kind, Tenant

NANO = 1_000_000_000
NEAR = 0.8
"""Share of the limit from which on the router steps down."""
HOLD_S = 120.0
"""A request is over long before; after that its hold is given back."""
LAPSED_S = 3_600.0
"""How long a lapsed hold can still be settled."""
MARK_S = 3_600.0
DAY_S = 86_400.0
HEAD_START = 0.25
"""Days of yesterday's traffic that today's is mixed with, before it is believed."""
DAILY_USD: Mapping[Tier, float] = {Tier.FREE: 0.0, Tier.BASIC: 1.0, Tier.PROFESSIONAL: 10.0, Tier.ENTERPRISE: 100.0}
BASELINE = "gpt-4o"
"""What savings are stated against unless a tenant names another: the model most people began with."""
MAX_DAYS = 92
_COUNTS = ("calls", "failed", "input_tokens", "output_tokens", "cost")


@dataclass(frozen=True)
class Spending:
    """A tenant's policy. None is no limit."""

    daily_usd: float | None
    baseline: str = BASELINE


@dataclass(frozen=True)
class Spent:
    """One call, as the provider counted it."""

    model_id: str
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    failed: bool = False


@dataclass(frozen=True)
class Hold:
    """Leave to spend up to an amount. Not `written`: nothing had to be reserved (no limit, or free)."""

    tenant: Tenant
    day: date
    id: str
    nanos: int
    until: int
    """Unix seconds."""
    written: bool

    @property
    def name(self) -> str:
        return f"{'hold' if self.written else 'done'}:{self.until}:{self.id}"

    @property
    def lapsed(self) -> str:
        return f"lapsed:{self.until}:{self.id}"


@dataclass(frozen=True)
class Standing:
    """Where a tenant's day stands."""

    limit_usd: float | None
    spent_usd: float
    held_usd: float
    calls: int
    at: float
    """Unix seconds."""
    typical: float = REQUESTS_A_DAY
    """Calls of the day before."""

    @property
    def left_usd(self) -> float | None:
        return None if self.limit_usd is None else max(0.0, self.limit_usd - self.spent_usd - self.held_usd)

    @property
    def near(self) -> bool:
        return self.left_usd is not None and self.left_usd <= (1.0 - NEAR) * (self.limit_usd or 0.0)

    @property
    def purse(self) -> Purse | None:
        """For the router; None without a limit."""
        if self.left_usd is None:
            return None
        return Purse(self.left_usd, self.left_usd / expected_calls(self.calls, self.at, self.typical), self.near)

    def to_dict(self) -> dict[str, Any]:
        return {
            "limit_usd": self.limit_usd,
            "spent_usd": self.spent_usd,
            "held_usd": self.held_usd,
            "left_usd": self.left_usd,
            "near": self.near,
            "calls": self.calls,
        }


def expected_calls(calls: int, at: float, typical: float) -> float:
    """How many are still to come until midnight (UTC), at least 1: today's rate, mixed with yesterday's."""
    gone = (at % DAY_S) / DAY_S
    rate = (calls + typical * HEAD_START) / (gone + HEAD_START)
    return max(1.0, rate * (1.0 - gone))


def ceiling_usd(entry: Entry, input_tokens: int, most_output_tokens: int) -> float:
    """The most a call can cost by its row: to be reserved. `most_output_tokens`: the limit that the request bears."""
    return entry.cost_usd(input_tokens, most_output_tokens)


@dataclass
class Usage:
    """One for each process: what it read is kept for `fresh_s`, only to be shown and to rank by."""

    table: Table
    clock: Callable[[], float] = time.time
    fresh_s: float = 2.0
    _standing: dict[str, Standing] = field(default_factory=dict, repr=False)
    _marks: dict[str, str] = field(default_factory=dict, repr=False)
    _typical: dict[str, float] = field(default_factory=dict, repr=False)
    _policies: dict[str, tuple[float, Spending]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def policy(self, tenant: Tenant) -> Spending:
        read_at, known = self._policies.get(tenant.id, (float("-inf"), None))
        if known is None or self.clock() - read_at >= self.fresh_s:
            item = self.table.get(tenant.pk(Kind.POLICY), "spending") or {}
            limit = None if item.get("unlimited") else item.get("daily_usd", DAILY_USD[tenant.tier])
            known = Spending(limit, item.get("baseline", BASELINE))
            self._policies[tenant.id] = (self.clock(), known)
        return known

    def set_policy(self, tenant: Tenant, spending: Spending) -> None:
        if spending.daily_usd is not None and not 0 <= spending.daily_usd <= 1e6:
            raise InvalidInput(f"A daily budget lies between $0 and $1,000,000, not {spending.daily_usd}.")
        row = asdict(spending) | {"unlimited": spending.daily_usd is None}
        self.table.put({"pk": tenant.pk(Kind.POLICY), "sk": "spending", **row})
        self._policies.pop(tenant.id, None)

    def standing(self, tenant: Tenant) -> Standing:
        """As of at most `fresh_s` ago."""
        known = self._standing.get(tenant.id)
        now = self.clock()
        if known is None or now - known.at >= self.fresh_s or _day(known.at) != _day(now):
            today = _day(now)
            known = self._seen(tenant, self.table.get(_pk(tenant, today), "day") or {}, today)
        return known

    def reserve(self, tenant: Tenant, amount_usd: float) -> Hold | None:
        """Leave to spend up to this much, None where the day's budget has no room for it."""
        limit_usd = self.policy(tenant).daily_usd
        now = self.clock()
        hold = Hold(tenant, _day(now), fresh_id(""), _nanos(amount_usd), int(now + HOLD_S), written=True)
        if limit_usd is None or hold.nanos == 0:
            return Hold(tenant, hold.day, hold.id, 0, int(now + MARK_S), written=False)
        room = _nanos(limit_usd) - hold.nanos
        if room < 0:
            return None
        return hold if self._reserved(hold, room) or (self._swept(hold) and self._reserved(hold, room)) else None

    def settle(self, hold: Hold, spent: Spent) -> Standing:
        """The hold becomes what was spent, once, however often this is called."""
        item = self._settled(hold, _counting(spent), hold.name, _nanos(spent.cost_usd) - hold.nanos)
        if hold.written and item.get(hold.lapsed) is not None:
            item = self._settled(hold, _counting(spent), hold.lapsed, _nanos(spent.cost_usd))
        return self._seen(hold.tenant, item, hold.day)

    def release(self, hold: Hold, model_id: str = "") -> Standing:
        """The call did not come about or failed without a cost; nothing is charged."""
        return self.settle(hold, Spent(model_id, failed=True))

    def days(self, tenant: Tenant, last: date, count: int) -> list[dict[str, Any]]:
        """Usage of `count` days up to `last`, newest first: calls, cost and each model's counters."""
        if not 1 <= count <= MAX_DAYS:
            raise InvalidInput(f"Usage is told for 1 to {MAX_DAYS} days at once, not {count}.")
        days = [last - timedelta(days=back) for back in range(count)]
        return [told(day, self.table.get(_pk(tenant, day), "day") or {}) for day in days]

    def _reserved(self, hold: Hold, room: int) -> bool:
        write = Write(
            "update",
            _pk(hold.tenant, hold.day),
            "day",
            {hold.name: hold.nanos},
            add={"committed": hold.nanos},
            expect={hold.name: None},
            at_most={"committed": room},
        )
        try:
            item = self.table.update(write, op=hold.id)
        except Conflict:
            item = self.table.get(write.pk, write.sk) or {}
            self._seen(hold.tenant, item, hold.day)
        return hold.name in item  # and where it stands is seen when it is settled, which is soon

    def _swept(self, hold: Hold) -> bool:
        """Gives back what crashed requests held. Whether there was any of it, whoever gave it back."""
        pk, now = _pk(hold.tenant, hold.day), self.clock()
        item = self.table.get(pk, "day") or {}
        ended = {name: item[name] for name in item if name.startswith("hold:") and _until(name) <= now}
        if not ended:
            return False
        values: dict[str, Any] = {name: None for name in ended}
        values |= {name.replace("hold:", "lapsed:", 1): nanos for name, nanos in ended.items()}
        values |= {name: None for name in item if name.startswith("lapsed:") and _until(name) + LAPSED_S <= now}
        write = Write("update", pk, "day", values, add={"committed": -sum(ended.values())}, expect=ended)
        try:
            self.table.update(write, op=fresh_id("sweep-"))
        except Conflict:
            pass  # somebody else gave some of them back; there may be room now
        return True

    def _settled(self, hold: Hold, counts: Mapping[str, int], name: str, committed: int) -> Item:
        """`name` goes and the counters grow, or both have been done before. Free calls leave a mark in its stead."""
        pk = _pk(hold.tenant, hold.day)
        values: dict[str, Any] = {name: None} if hold.written else {name: 1, **self._old_mark(pk)}
        expect = {name: hold.nanos if hold.written else None}
        write = Write("update", pk, "day", values, add={**counts, "committed": committed}, expect=expect)
        try:
            item = self.table.update(write, op=hold.id + name[0])
        except Conflict:
            return self.table.get(pk, "day") or {}
        if not hold.written:
            self._marks[pk] = name
        return item

    def _old_mark(self, pk: str) -> dict[str, None]:
        """A mark of this process that nobody will ask for any more: its reply has come."""
        with self._lock:
            old = self._marks.pop(pk, None)
        return {old: None} if old else {}

    def _seen(self, tenant: Tenant, item: Item, day: date) -> Standing:
        now = self.clock()
        held = sum(item[name] for name in item if name.startswith("hold:") and _until(name) > now)
        standing = Standing(
            limit_usd=self.policy(tenant).daily_usd,
            spent_usd=sum(_of(item, "cost").values()) / NANO,
            held_usd=held / NANO,
            calls=sum(_of(item, "calls").values()),
            at=now,
            typical=self._yesterday(tenant, day),
        )
        if day == _day(now):
            self._standing[tenant.id] = standing
        return standing

    def _yesterday(self, tenant: Tenant, today: date) -> float:
        key = _pk(tenant, today - timedelta(days=1))
        if key not in self._typical:
            calls = sum(_of(self.table.get(key, "day") or {}, "calls").values())
            self._typical[key] = float(calls) or REQUESTS_A_DAY
        return self._typical[key]


def told(day: date, item: Item) -> dict[str, Any]:
    """One day's item for people. Pure."""
    columns = {name: _of(item, name) for name in _COUNTS}
    models = sorted({model for column in columns.values() for model in column})
    rows: list[dict[str, Any]] = []
    for model in models:
        counts = {name: columns[name].get(model, 0) for name in _COUNTS}
        cost_usd = counts.pop("cost") / NANO
        rows.append({"model_id": model, **counts, "cost_usd": cost_usd})
    return {
        "day": day.isoformat(),
        "calls": sum(row["calls"] for row in rows),
        "cost_usd": sum(columns["cost"].values()) / NANO,
        "models": rows,
    }


def savings(days: Iterable[Mapping[str, Any]], baseline: Entry) -> dict[str, Any]:
    """What the same tokens would have cost at the baseline's prices. Pure.

    Known error: another model counts and writes other tokens for the same text (10 to 30 % apart), and of calls
    that were escalated each counts.
    """
    rows = [row for day in days for row in day["models"]]
    cost = sum(row["cost_usd"] for row in rows)
    would = sum(baseline.cost_usd(row["input_tokens"], row["output_tokens"]) for row in rows)
    share = (would - cost) / would if would else 0.0
    return {
        "baseline": baseline.id,
        "cost_usd": cost,
        "baseline_usd": would,
        "saved_usd": would - cost,
        "saved_share": share,
    }


def _counting(spent: Spent) -> dict[str, int]:
    amounts = {
        "calls": int(not spent.failed),
        "failed": int(spent.failed),
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "cost": _nanos(spent.cost_usd),
    }
    return {f"{name}:{spent.model_id}": amount for name, amount in amounts.items() if amount and spent.model_id}


def _of(item: Item, name: str) -> dict[str, int]:
    """Counter by model."""
    start = f"{name}:"
    return {key.removeprefix(start): value for key, value in item.items() if key.startswith(start)}


def _pk(tenant: Tenant, day: date) -> str:
    return tenant.pk(Kind.USAGE, day.isoformat())


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def _until(name: str) -> int:
    return int(name.split(":", 2)[1])


def _nanos(usd: float) -> int:
    return max(0, round(usd * NANO))
