"""Who trains next: the pure choice, and that no race hands out one place too many."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.admission import TENANT_JOBS, Admission, Limits, Place, check_priority, choose
from millrace.contract import JobState, Tier
from millrace.errors import Conflict, InvalidInput
from millrace.jobs import Job
from millrace.tenants import Kind, Tenant, system_pk

from tests.fakes import LONG, World

NOW = datetime(2026, 11, 20, tzinfo=UTC)
WIDE = Limits(100, dict.fromkeys(Tier, 100))


def _place(id: str, tenant: str = "acme", minutes: int = 0, **more: Any) -> Place:
    at = (NOW - timedelta(minutes=minutes)).isoformat()
    return Place(**{"job_id": id, "tenant": tenant, "tier": Tier.BASIC, "created_at": at, "waiting": True, **more})


def _ids(places: list[Place]) -> list[str]:
    return [place.job_id for place in places]


def test_the_tenant_whose_last_turn_is_longest_ago_comes_first_and_then_they_alternate() -> None:
    flood = [_place(f"a{n}", "acme", minutes=60 - n) for n in range(4)]
    late = [_place("b0", "beta", minutes=1), _place("b1", "beta")]

    assert _ids(choose(flood + late, {"acme": 7, "beta": 3}, WIDE, NOW)) == ["b0", "a0", "b1", "a1", "a2", "a3"]


def test_within_a_tenant_the_urgent_comes_first_but_waiting_lifts() -> None:
    places = [
        _place("new", minutes=1),
        _place("low", minutes=2, priority="low"),
        _place("high", priority="high"),
        _place("old-low", minutes=13 * 60, priority="low"),
    ]

    assert _ids(choose(places, {}, WIDE, NOW)) == ["old-low", "high", "new", "low"]


def test_a_tenant_that_calls_all_its_jobs_urgent_gains_nothing_against_another() -> None:
    places = [_place(f"a{n}", "acme", priority="high") for n in range(3)]
    places += [_place(f"b{n}", "beta", priority="low") for n in range(3)]

    chosen = choose(places, {}, Limits(4, dict.fromkeys(Tier, 4)), NOW)

    assert Counter(place.tenant for place in chosen) == {"acme": 2, "beta": 2}


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(Tier), st.booleans()), max_size=40),
    st.integers(0, 12),
)
def test_no_choice_passes_a_limit_or_leaves_a_free_place_unused(rows: list[tuple[str, Tier, bool]], total: int) -> None:
    tiers = {tenant: tier for tenant, tier, _ in rows}
    places = [_place(str(n), t * 3, tier=tiers[t], waiting=waiting) for n, (t, _, waiting) in enumerate(rows)]
    limits = Limits(total)
    before = Counter(place.tenant for place in places if not place.waiting)

    chosen = choose(places, {}, limits, NOW)
    after = before + Counter(place.tenant for place in chosen)

    assert len(set(_ids(chosen))) == len(chosen) and all(place.waiting for place in chosen)
    assert after.total() <= max(total, before.total())
    assert all(after[t * 3] <= max(TENANT_JOBS[tiers[t]], before[t * 3]) for t in tiers)
    able = [p for p in places if p.waiting and p not in chosen and after[p.tenant] < TENANT_JOBS[p.tier]]
    assert not able or after.total() >= total or len(chosen) == 20


def test_a_priority_that_there_is_not_is_named() -> None:
    with pytest.raises(InvalidInput, match="low, normal, high, not 'urgent'"):
        check_priority("urgent")


class Interleaved:
    """A client before whose calls others act: one thread, one seed, every order of calls that there can be."""

    def __init__(self, client: Any, others: Any) -> None:
        self._client, self._others = client, others

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found) or name == "exceptions":
            return found

        def called(**arguments: Any) -> Any:
            self._others()
            return found(**arguments)

        return called


class Town:
    """Tenants who begin jobs, jobs that end, and many who hand out places, in an order that a seed decides."""

    TENANTS = (
        Tenant("acme", Tier.ENTERPRISE),
        Tenant("beta", Tier.PROFESSIONAL),
        Tenant("gamma", Tier.FREE),
        Tenant("delta", Tier.PROFESSIONAL),
    )
    LIMITS = Limits(5)

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World()
        self.at = NOW
        self.depth = 0
        self.begun = 0
        self.running: list[tuple[datetime, str, Tenant]] = []
        self.worst: Counter[str] = Counter()
        self.served: list[str] = []

    def other(self) -> None:
        """Now and then somebody else acts in the middle of a call."""
        if self.depth < 3 and self.random.random() < 0.15:
            self.depth += 1
            self.random.choice((self.admit, self.admit, self.begin, self.cancel))()
            self.depth -= 1

    def admit(self) -> None:
        inner = self.world
        world = World(Interleaved(inner.dynamo, self.other), inner.s3, inner.states, inner.sagemaker)
        for id in Admission(world.jobs, self.LIMITS).admit(self.at):
            tenant = inner.jobs.owner(id)
            assert tenant is not None
            self.served.append(tenant.id)
            heapq.heappush(self.running, (self.at + timedelta(minutes=self.random.randint(1, 90)), id, tenant))
        self.look()

    def look(self) -> None:
        taken = Counter(item["tenant"] for item in self.world.jobs.active() if not item.get("waiting"))
        self.worst |= taken | Counter(all=taken.total())

    def begin(self) -> None:
        self.begun += 1
        tenant = self.random.choices(self.TENANTS, (10, 2, 2, 1))[0]
        job = Job(
            f"j{self.begun}",
            JobState.PENDING,
            "lora-sft",
            1,
            "humanizer",
            self.at.isoformat(),
            "person",
            snapshot_id="s",
        )
        assert self.world.jobs.create(tenant, job)

    def cancel(self) -> None:
        waiting = [item for item in self.world.jobs.active() if item.get("waiting")]
        if waiting and self.random.random() < 0.2:
            item = self.random.choice(waiting)
            try:
                self.world.jobs.cancel(Tenant(item["tenant"], Tier(item["tier"])), item["job_id"])
            except Conflict:
                pass

    def end_one(self) -> None:
        if self.running:
            ends, id, tenant = heapq.heappop(self.running)
            self.at = max(self.at, ends)
            job = self.world.jobs.get(tenant, id)
            if not job.state.final:
                self.world.jobs.settle(tenant, self.world.jobs.move(tenant, id, JobState.FAILED, 1))
            else:
                self.world.jobs.settle(tenant, job)


@pytest.mark.parametrize("seed", range(40 * (10 if LONG else 1)))
def test_however_calls_interleave_no_limit_is_passed_and_everybody_has_his_turn(seed: int) -> None:
    town = Town(seed)
    for _ in range(60):
        town.random.choice((town.begin, town.begin, town.admit, town.end_one, town.cancel))()
    while town.world.jobs.active():
        town.admit()
        assert town.running, "jobs wait although nothing runs"
        town.end_one()

    assert town.worst["all"] <= town.LIMITS.total
    for tenant in town.TENANTS:
        assert town.worst[tenant.id] <= TENANT_JOBS[tenant.tier]
    assert len(set(town.world.states.started)) == len(town.world.states.started) <= town.begun


def test_a_tenant_with_few_jobs_does_not_stand_behind_one_with_many() -> None:
    """Of 30 jobs of one and 3 of another, with one place, the three are among the first six."""
    world, town = World(), Town(0)
    acme, beta = Tenant("acme", Tier.ENTERPRISE), Tenant("beta", Tier.ENTERPRISE)
    town.world = world
    for n in range(33):
        tenant = beta if n >= 30 else acme
        at = (NOW + timedelta(seconds=n)).isoformat()
        assert world.jobs.create(
            tenant, Job(f"j{n:02}", JobState.PENDING, "lora-sft", 1, "humanizer", at, "person", snapshot_id="s")
        )
    order = []
    for _ in range(33):
        (id,) = Admission(world.jobs, Limits(1)).admit(NOW)
        owner = world.jobs.owner(id)
        assert owner is not None
        order.append(owner.id)
        world.jobs.settle(owner, world.jobs.move(owner, id, JobState.FAILED, 1))

    assert order[:6].count("beta") == 3


def test_two_who_hand_out_at_once_do_not_hand_out_one_place_twice() -> None:
    world = World()
    acme = Tenant("acme", Tier.FREE)
    for n in range(2):
        job = Job(f"j{n}", JobState.PENDING, "lora-sft", 1, "humanizer", NOW.isoformat(), "person", snapshot_id="s")
        assert world.jobs.create(acme, job)
    once: list[int] = []

    def rival() -> None:
        if not once:
            once.append(1)
            Admission(world.jobs, Limits(1)).admit(NOW)

    sick = World(Interleaved(world.dynamo, rival), world.s3, world.states, world.sagemaker)
    Admission(sick.jobs, Limits(1)).admit(NOW)

    held = [item for item in world.jobs.active() if not item.get("waiting")]
    assert len(held) == 1 == len(world.states.started)
    assert world.table.get(system_pk(Kind.JOB_TURN), "body")["number"] == 1  # type: ignore[index]
