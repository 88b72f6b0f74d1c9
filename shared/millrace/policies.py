"""When new data starts a training by itself: past a threshold, on a schedule or on drift. AWS: DynamoDB.

A tenant's policy is an item; where there is none the stage's threshold holds. One with a schedule stands in the list of
what is due as well, in the order of time, so that whoever looks every minute reads what is due and nothing else.

However a training is begun, it claims what is new in the transaction that makes its job: none begins twice for one
snapshot. A month's number of trainings is counted before one begins and given back when none did; a crash in between
costs one of them and never lets one too many begin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from . import schedules
from .clock import fresh_id, now, stamp
from .contract import Tier
from .errors import Conflict, InvalidInput, MillraceError
from .gate import check_bounds
from .jobs import Job
from .strategies import find
from .table import INSERTS, Item, Table, Write
from .tenants import Kind, Tenant, system_pk
from .training import Training

MOST_PER_MONTH = 1_000
AGAIN = timedelta(minutes=10)
"""When a schedule that could not fire is due again; until then it is in nobody's way."""
_DUE = "due"


@dataclass(frozen=True)
class TrainingPolicy:
    threshold: int
    """New usable pairs since the last training that start the next; 0 never does."""
    strategy: str = "lora-sft"
    schedule: str = ""
    """When all that is new is trained on however little it is, as `schedules` says it; empty is never."""
    on_drift: bool = False
    """Whether drift starts a training on what is new."""
    max_per_month: int = 100
    """Trainings that the policy itself begins in a calendar month (UTC)."""
    gate: Mapping[str, float] = field(default_factory=dict)
    """Bounds of the gate that take the place of its own, by metric."""
    version: int = 0
    """Counts the changes of the policy."""

    def checked(self) -> TrainingPolicy:
        """InvalidInput for what could never begin a training."""
        strategy = find(self.strategy)
        if strategy.data == "images":
            raise InvalidInput(f"{strategy.name} trains on images; what comes in by itself are pairs.")
        check_bounds(strategy.data, self.gate)
        schedules.check(self.schedule)
        if self.threshold < 0 or not 0 <= self.max_per_month <= MOST_PER_MONTH:
            raise InvalidInput(f"A threshold is 0 or more, and max_per_month 0 to {MOST_PER_MONTH}.")
        return self


def set_training_policy(table: Table, tenant: Tenant, policy: TrainingPolicy) -> None:
    """For tools: whatever stood before, and without a schedule's place in the list."""
    table.put({"pk": tenant.pk(Kind.POLICY), "sk": "training", **asdict(policy)})


@dataclass(frozen=True)
class Collection:
    """New data, and what follows from it."""

    table: Table
    training: Training
    threshold: int
    """The stage's, for who has no policy."""

    def policy(self, tenant: Tenant) -> TrainingPolicy:
        item = self.table.get(tenant.pk(Kind.POLICY), "training")
        if item is None:
            return TrainingPolicy(self.threshold)
        return TrainingPolicy(**{name: item[name] for name in TrainingPolicy.__dataclass_fields__ if name in item})

    def set(self, tenant: Tenant, policy: TrainingPolicy, at: datetime | None = None) -> TrainingPolicy:
        """The policy as it stands then. Conflict where another version than `policy.version` stood."""
        policy.checked()
        values = asdict(policy) | {"version": policy.version + 1}
        expect = {"version": policy.version or None}
        write = Write("update", tenant.pk(Kind.POLICY), "training", values, expect=expect)
        self.table.transact([write, self._listed(tenant, policy, at or now())], op=fresh_id("policy-"))
        return TrainingPolicy(**values)

    def on_new(self, tenant: Tenant) -> Job | None:
        """After new data: the training that it started, if it was enough."""
        policy = self.policy(tenant)
        return self._begin(tenant, policy, policy.threshold) if policy.threshold else None

    def on_drift(self, tenant: Tenant) -> Job | None:
        """After drift was found: the training on what is new, where the policy wants one."""
        policy = self.policy(tenant)
        return self._begin(tenant, policy, 1) if policy.on_drift else None

    def on_time(
        self, at: datetime, failed: Callable[[str, MillraceError], object] = lambda tenant, error: None
    ) -> dict[str, str | None]:
        """Every schedule that is due: tenant -> the job that it began, if anything was new. Some INSERTS a call.

        One that cannot fire is told to `failed` and due again after AGAIN; the others fire.
        """
        items, _ = self.table.page(system_pk(Kind.POLICY), INSERTS, between=("0", f"{stamp(at)}$"))
        begun: dict[str, str | None] = {}
        for item in items:
            try:
                begun[item["tenant"]] = self._fire(item, at)
            except MillraceError as error:
                failed(item["tenant"], error)
                self._put_off(item, at + AGAIN)
        return begun

    def _put_off(self, item: Item, until: datetime) -> None:
        values = {"list_sk": f"{stamp(until)}#{item['tenant']}"}
        write = Write("update", item["pk"], _DUE, values, expect={"list_sk": item["list_sk"]})
        try:
            self.table.update(write, op=fresh_id("later-"))
        except MillraceError:
            return  # it is due again with the next look

    def _fire(self, item: Item, at: datetime) -> str | None:
        """First the training, which is begun once, then the next time: a crash between them does no harm."""
        tenant = Tenant(item["tenant"], Tier(item["tier"]))
        policy = self.policy(tenant)
        job = self._begin(tenant, policy, 1) if policy.schedule else None
        listed = self._listed(tenant, policy, at)
        try:
            self.table.update(Write(**vars(listed) | {"expect": {"list_sk": item["list_sk"]}}), op=fresh_id("fired-"))
        except Conflict:
            pass  # the policy was changed, or another looked at the same minute
        return job.id if job else None

    def _begin(self, tenant: Tenant, policy: TrainingPolicy, threshold: int) -> Job | None:
        if self.training.corpus.counts(tenant).fresh < threshold:
            return None
        month = Write("update", tenant.pk(Kind.POLICY), f"month:{stamp()[:7]}", add={"begun": 1})
        try:
            self.table.update(_at_most(month, policy.max_per_month - 1), op=fresh_id("begin-"))
        except Conflict:
            return None
        job = None
        try:
            job = self.training.begin_if_due(tenant, threshold, policy.strategy, policy.gate)
        finally:
            if job is None:
                self._give_back(month)
        return job

    def _give_back(self, month: Write) -> None:
        try:
            self.table.update(Write(**vars(month) | {"add": {"begun": -1}}), op=fresh_id("unbegun-"))
        except MillraceError:
            return  # one fewer this month

    def _listed(self, tenant: Tenant, policy: TrainingPolicy, at: datetime) -> Write:
        """The tenant's place in the list of what is due; without a schedule none."""
        due = f"{stamp(schedules.next_after(policy.schedule, at))}#{tenant.id}" if policy.schedule else None
        values: dict[str, Any] = {
            "tenant": tenant.id,
            "tier": str(tenant.tier),
            "list_pk": system_pk(Kind.POLICY) if due else None,
            "list_sk": due,
        }
        return Write("update", system_pk(Kind.POLICY, tenant.id), _DUE, values)


def _at_most(write: Write, most: int) -> Write:
    return Write(**vars(write) | {"at_most": {"begun": most}, "expect": {} if most >= 0 else {"never": True}})
