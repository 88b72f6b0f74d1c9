from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.bandit import REQUESTS_A_DAY
from millrace.catalogue import Entry
from millrace.contract import Tier
from millrace.errors import InvalidInput, Unavailable
from millrace.table import Table
from millrace.tenants import Kind, Tenant
from millrace.usage import (
    DAILY_USD,
    HOLD_S,
    LAPSED_S,
    Hold,
    Spending,
    Spent,
    Standing,
    Usage,
    ceiling_usd,
    expected_calls,
    savings,
)

from tests.fakes import FAULTS, FakeDynamo, Fault, Faulty, Plan, examples

ACME = Tenant("acme", Tier.BASIC)
NOON = 1_800_014_400.0
"""2027-01-15 12:00 UTC."""
DAY = date(2027, 1, 15)


class Clock:
    def __init__(self, at: float = NOON) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def _usage(dynamo: Any = None, clock: Clock | None = None) -> Usage:
    return Usage(Table(dynamo if dynamo is not None else FakeDynamo(), "t"), clock or Clock(), fresh_s=0.0)


def _day(usage: Usage) -> dict[str, Any]:
    return usage.days(ACME, DAY, 1)[0]


def test_a_call_is_counted_by_tenant_model_and_day() -> None:
    usage = _usage()
    for model, cost in (("a@1", 0.002), ("a@1", 0.001), ("b", 0.25)):
        hold = usage.reserve(ACME, 0.3)
        assert hold is not None
        usage.settle(hold, Spent(model, cost, 100, 50))

    told = _day(usage)

    assert (told["day"], told["calls"], told["cost_usd"]) == ("2027-01-15", 3, pytest.approx(0.253))
    assert told["models"][0] == {
        "model_id": "a@1",
        "calls": 2,
        "failed": 0,
        "input_tokens": 200,
        "output_tokens": 100,
        "cost_usd": pytest.approx(0.003),
    }
    assert usage.days(replace(ACME, id="other"), DAY, 1)[0]["calls"] == 0
    assert [row["day"] for row in usage.days(ACME, DAY, 3)] == ["2027-01-15", "2027-01-14", "2027-01-13"]


def test_a_reservation_binds_until_it_is_settled_or_released() -> None:
    usage = _usage()
    limit = DAILY_USD[Tier.BASIC]
    first = usage.reserve(ACME, 0.7 * limit)
    assert first is not None

    assert usage.reserve(ACME, 0.4 * limit) is None
    usage.settle(first, Spent("m", 0.1 * limit))
    second = usage.reserve(ACME, 0.9 * limit)
    assert second is not None
    assert usage.standing(ACME).left_usd == pytest.approx(0)
    usage.release(second, "m")
    standing = usage.standing(ACME)
    assert (standing.spent_usd, standing.held_usd, standing.near) == (pytest.approx(0.1 * limit), 0, False)
    assert _day(usage)["models"][0]["failed"] == 1
    assert usage.reserve(ACME, 2 * limit) is None


def test_near_the_budget_the_purse_says_so() -> None:
    usage = _usage()
    hold = usage.reserve(ACME, 0.85)
    assert hold is not None
    standing = usage.settle(hold, Spent("m", 0.85))

    assert standing.near and standing.purse is not None and standing.purse.near
    assert standing.purse.left_usd == pytest.approx(0.15)
    assert standing.purse.allowance_usd == pytest.approx(0.15 / expected_calls(1, NOON, REQUESTS_A_DAY))
    assert Standing(None, 5.0, 0.0, 3, NOON).purse is None


def test_a_tenants_own_policy_takes_the_tiers_place() -> None:
    usage = _usage()

    usage.set_policy(ACME, Spending(0.5, "claude-sonnet-5-5"))
    assert usage.policy(ACME) == Spending(0.5, "claude-sonnet-5-5")
    assert usage.reserve(ACME, 0.6) is None
    usage.set_policy(ACME, Spending(None))
    assert usage.policy(ACME).daily_usd is None
    hold = usage.reserve(ACME, 1_000.0)
    assert hold is not None
    assert usage.settle(hold, Spent("m", 900.0)).spent_usd == 900
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput):
            usage.set_policy(ACME, Spending(wrong))


def test_free_calls_are_counted_without_a_reservation_and_leave_one_mark() -> None:
    dynamo = FakeDynamo()
    usage = _usage(dynamo)
    for _ in range(20):
        hold = usage.reserve(ACME, 0.0)
        assert hold is not None and not hold.written
        usage.settle(hold, Spent("rules", 0.0, 10, 10))
        usage.settle(hold, Spent("rules", 0.0, 10, 10))

    item = usage.table.get(ACME.pk(Kind.USAGE, DAY.isoformat()), "day") or {}
    assert item["calls:rules"] == 20
    assert sum(name.startswith("done:") for name in item) == 1


def test_a_crashed_request_gives_its_reservation_back_and_may_still_come() -> None:
    clock = Clock()
    usage = _usage(clock=clock)
    crashed = usage.reserve(ACME, 0.9)
    assert crashed is not None and usage.reserve(ACME, 0.5) is None

    clock.at += HOLD_S + 1
    assert usage.standing(ACME).left_usd == 1.0
    other = usage.reserve(ACME, 0.5)
    assert other is not None
    usage.settle(other, Spent("m", 0.4))
    usage.settle(crashed, Spent("m", 0.3))
    usage.settle(crashed, Spent("m", 0.3))

    assert _day(usage)["cost_usd"] == pytest.approx(0.7)
    assert usage.reserve(ACME, 0.31) is None
    assert usage.reserve(ACME, 0.3) is not None


def test_a_late_request_is_counted_after_several_sweeps() -> None:
    clock = Clock()
    usage = _usage(clock=clock)
    late = usage.reserve(ACME, 0.9)
    for _ in range(2):
        clock.at += HOLD_S + 1
        assert usage.reserve(ACME, 0.9) is not None
    assert late is not None

    usage.settle(late, Spent("m", 0.05))

    assert _day(usage)["cost_usd"] == pytest.approx(0.05)


def test_what_lapsed_long_ago_leaves_the_item() -> None:
    clock = Clock()
    usage = _usage(clock=clock)
    for _ in range(3):
        assert usage.reserve(ACME, 0.9) is not None
        clock.at += LAPSED_S + HOLD_S + 1
    assert usage.reserve(ACME, 0.9) is not None

    item = usage.table.get(ACME.pk(Kind.USAGE, DAY.isoformat()), "day") or {}
    assert sum(name.startswith("lapsed:") for name in item) == 1
    assert sum(name.startswith("hold:") for name in item) == 1


def test_a_hold_belongs_to_the_day_on_which_it_was_made() -> None:
    clock = Clock(NOON + 43_199)
    usage = _usage(clock=clock)
    hold = usage.reserve(ACME, 0.9)
    assert hold is not None

    clock.at += 2
    assert usage.reserve(ACME, 0.9) is not None
    usage.settle(hold, Spent("m", 0.8))

    assert _day(usage)["cost_usd"] == pytest.approx(0.8)
    assert usage.standing(ACME).spent_usd == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("limit", [1.0, None])
def test_lost_replies_and_throttles_count_nothing_twice(fault: Fault, nth: int, limit: float | None) -> None:
    dynamo, clock = FakeDynamo(), Clock()
    _usage(dynamo).set_policy(ACME, Spending(limit))
    usage = _usage(Faulty(dynamo, Plan({nth: fault})), clock)

    hold = _tried(lambda: usage.reserve(ACME, 0.5))
    assert isinstance(hold, Hold)
    _tried(lambda: usage.settle(hold, Spent("m", 0.25, 7, 3)))
    _tried(lambda: usage.settle(hold, Spent("m", 0.25, 7, 3)))

    clock.at += HOLD_S + 1  # a hold whose reply was lost for good gives itself back
    fresh = _usage(dynamo, clock)
    row = _day(fresh)["models"][0]
    assert (row["calls"], row["cost_usd"], row["input_tokens"]) == (1, 0.25, 7)
    assert fresh.standing(ACME).held_usd == 0
    _balanced(dynamo)


def _balanced(dynamo: FakeDynamo) -> None:
    """What is committed is what was spent and what is held."""
    item = _usage(dynamo).table.get(ACME.pk(Kind.USAGE, DAY.isoformat()), "day") or {}
    assert item.get("committed", 0) == sum(v for name, v in item.items() if name.startswith(("hold:", "cost:")))


def _tried(call: Any) -> Any:
    for _ in range(3):
        try:
            return call()
        except Unavailable:
            pass
    return call()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "release", "crash", "wait"]),
        st.integers(1, 60),
        st.floats(0, 1),
        st.dictionaries(st.integers(1, 9), st.sampled_from(["lost", "twice"]), max_size=2),
    ),
    max_size=40,
)


@examples(150)
@given(STEPS)
def test_whatever_happens_the_books_balance_and_the_limit_holds(steps: list[tuple[str, int, float, Any]]) -> None:
    dynamo, clock = FakeDynamo(), Clock(NOON - 40_000)
    held: list[Hold] = []
    spent = 0
    for kind, cents, share, faults in steps:
        usage = _usage(Faulty(dynamo, Plan(faults)), clock)
        if kind == "wait":
            clock.at += cents * 10
        elif kind == "reserve":
            hold = _tried(lambda usage=usage, cents=cents: usage.reserve(ACME, cents / 100))
            held += [hold] if hold else []
        elif held:
            hold = held.pop(int(share * (len(held) - 1)))
            if kind == "crash" or clock.at >= hold.until:
                continue
            cost = round(hold.nanos * share) if kind == "settle" else 0
            spent += cost
            _tried(lambda usage=usage, hold=hold, cost=cost: usage.settle(hold, Spent("m", cost / 1e9)))

    standing = _usage(dynamo, clock).standing(ACME)

    assert round(standing.spent_usd * 1e9) == spent <= 1e9
    assert standing.spent_usd + standing.held_usd <= 1.0 + 1e-9
    _balanced(dynamo)


@pytest.mark.usefixtures("embedded")
def test_a_parallel_race_spends_at_most_the_budget_and_one_request(embedded: dict[str, str]) -> None:
    from millrace import aws

    table = Table(aws.dynamodb(), embedded["MILLRACE_TABLE"])
    limit, ceiling = 0.05, 0.004
    Usage(table).set_policy(ACME, Spending(limit))
    clock = Clock()
    fleet = [Usage(table, clock) for _ in range(8)]
    spent: list[float] = []

    def request(number: int) -> bool:
        draw = random.Random(number)
        usage = fleet[number % 8]
        hold = usage.reserve(ACME, ceiling)
        if hold is None:
            return False
        cost = ceiling * draw.uniform(0.3, 1.0)
        spent.append(cost)
        usage.settle(hold, Spent("m", cost))
        return True

    with ThreadPoolExecutor(16) as pool:
        served = list(pool.map(request, range(64)))

    assert sum(served) == len(spent) >= limit / ceiling and not all(served)
    assert sum(spent) <= limit + ceiling, "overspend of at most one request"
    assert limit - ceiling <= sum(spent), "nor is much of it left lying"
    told = Usage(table, clock).days(ACME, DAY, 1)[0]
    assert (told["calls"], told["cost_usd"]) == (len(spent), pytest.approx(sum(spent), abs=1e-6))


def test_expected_calls_follow_yesterday_at_first_and_today_later() -> None:
    midnight = NOON - 43_200

    assert expected_calls(0, midnight, 1_000) == pytest.approx(1_000)
    assert expected_calls(500, NOON, 1_000) == pytest.approx(500)
    assert expected_calls(5_000, NOON, 1_000) > 3_000
    assert expected_calls(10**6, midnight + 86_399.9, 1_000) >= 1.0


def test_savings_are_what_the_same_tokens_would_have_cost() -> None:
    usage = _usage()
    hold = usage.reserve(ACME, 0.5)
    assert hold is not None
    usage.settle(hold, Spent("cheap", 0.001, 1_000, 500))
    baseline = Entry("gpt-4o", "openai", input_usd=2.5, output_usd=10.0)

    told = savings(usage.days(ACME, DAY, 2), baseline)

    assert told["baseline_usd"] == pytest.approx(ceiling_usd(baseline, 1_000, 500)) == pytest.approx(0.0075)
    assert told["saved_usd"] == pytest.approx(0.0065) and told["saved_share"] == pytest.approx(0.8667, abs=1e-4)
    assert savings([], baseline)["saved_share"] == 0.0
    with pytest.raises(InvalidInput):
        usage.days(ACME, DAY, 1_000)
