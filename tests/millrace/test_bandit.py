from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.bandit import (
    FEATURES,
    INTERCEPT_SD,
    LATENCY_WEIGHT,
    MOST_ARMS,
    PRICE_CAP,
    SLOPE_SD,
    Arm,
    Belief,
    Observation,
    Purse,
    State,
    features_of,
    rank,
    reward_of,
    told,
    update,
)
from millrace.complexity import PARTS, Complexity, complexity
from millrace.typed import decode, encode
from millrace.usage import expected_calls

from tests.bench import bench_routing

T0 = 1_800_000_000.0
ORDINARY = (1.0, *(0.0 for _ in PARTS))
GOOD, CHEAP, FREE = Arm("good", 0.9, 0.01), Arm("cheap", 0.72, 0.0005), Arm("rules", 0.45)
ARMS = (CHEAP, FREE, GOOD)
UNIT = st.floats(0, 1)
SEEN = st.builds(
    Observation,
    arm_id=st.sampled_from(["good", "cheap", "new"]),
    prior=UNIT,
    features=st.tuples(*[UNIT] * len(PARTS)).map(
        lambda v: features_of(Complexity(0.5, dict(zip(PARTS, v, strict=True))))
    ),
    reward=st.floats(-LATENCY_WEIGHT, 1),
    at=st.floats(T0, T0 + 1e6),
    forecast_usd=st.floats(0, 1),
    cost_usd=st.none() | st.floats(0, 10),
    allowance_usd=st.none() | st.floats(0, 1),
)


def _seen(id: str, reward: float, number: int = 0, **more: Any) -> Observation:
    given = {"prior": 0.7, "features": ORDINARY, "cost_usd": 0.0} | more
    return Observation(id, given.pop("prior"), given.pop("features"), reward, T0 + number, **given)


def _taught(state: State, id: str, reward: float, times: int, **more: Any) -> State:
    for number in range(times):
        state = update(state, _seen(id, reward, number, **more))
    return state


def test_at_first_the_priors_decide_and_no_purse_takes_the_best() -> None:
    ranked = rank(State(), ARMS, ORDINARY, None, 0.0)

    assert [row.arm_id for row in ranked] == ["good", "cheap", "rules"]
    assert ranked[0].sentence().startswith("good: expected quality 0.90 (give or take 0.12), cost $0.010000, score 0.9")
    assert not any(row.explored for row in ranked)


def test_a_dollar_must_bring_its_least_reward() -> None:
    ranked = rank(State(), ARMS, ORDINARY, None, 0.0, least_price=60.0)

    assert [row.arm_id for row in ranked] == ["cheap", "rules", "good"]
    assert ranked[2].parts["charge"] == pytest.approx(0.6)
    assert "at 60 a dollar" in ranked[2].sentence()


def test_a_weak_model_is_expected_to_be_weakest_on_a_hard_text() -> None:
    easy = features_of(complexity("We met and talked. It was fine."))
    hard = features_of(Complexity(0.9, dict.fromkeys(PARTS, 0.9)))
    gap = {}
    for name, x in (("easy", easy), ("hard", hard)):
        rows = {row.arm_id: row.parts["quality"] for row in rank(State(), ARMS, x, None, 0.0)}
        gap[name] = rows["good"] - rows["rules"]

    assert gap["hard"] > gap["easy"] + 0.2


def test_arms_below_the_floor_stand_behind_unless_the_budget_is_near_its_end() -> None:
    purse = Purse(left_usd=1.0, allowance_usd=0.0005)
    dear = replace(State(), price=1.0)

    floored = rank(dear, ARMS, ORDINARY, purse, 0.0, floor=0.8)
    near = rank(dear, ARMS, ORDINARY, replace(purse, near=True), 0.0, floor=0.8)

    assert [row.arm_id for row in floored] == ["good", "rules", "cheap"]
    assert "below the quality that this text is owed" in floored[1].sentence()
    assert near[0].arm_id == "rules" and near[-1].arm_id == "good"


def test_what_cannot_be_paid_comes_last() -> None:
    ranked = rank(State(), ARMS, ORDINARY, Purse(left_usd=0.001, allowance_usd=0.001), 0.0)

    assert [row.arm_id for row in ranked] == ["cheap", "rules", "good"]


def test_what_is_little_known_is_explored_by_a_lucky_draw_and_says_so() -> None:
    state = _taught(State(), "known", 0.8, 200)
    arms = (Arm("known", 0.7), Arm("new", 0.72))

    plain, lucky = rank(state, arms, ORDINARY, None, 0.0), rank(state, arms, ORDINARY, None, 0.9)

    assert plain[0].arm_id == "known" and not plain[0].explored
    assert lucky[0].arm_id == "new" and lucky[0].explored
    assert lucky[0].sentence().endswith("explored because little is known of it")


def test_without_forgetting_a_belief_is_the_ridge_regression_of_numpy() -> None:
    draw = random.Random(3)
    state = State(at=T0)
    prior = Belief.prior(0.7, 0.0)
    precision = np.diag([INTERCEPT_SD**-2, *[SLOPE_SD**-2] * len(PARTS)])
    moment = precision @ np.array(prior.mean)
    for _ in range(60):
        x = (1.0, *(draw.uniform(-0.5, 0.5) for _ in PARTS))
        reward = 0.6 + 0.2 * x[1] - 0.1 * x[4] + draw.gauss(0, 0.05)
        noise = state.arms["m"].noise if "m" in state.arms else prior.noise
        precision += np.outer(x, x) / noise
        moment += np.array(x) * reward / noise
        state = update(state, Observation("m", 0.7, x, reward, T0))

    belief = state.arms["m"]
    assert belief.changed == ""
    assert np.allclose(belief.mean, np.linalg.solve(precision, moment), atol=1e-9)
    lower = np.linalg.inv(precision)[np.tril_indices(len(FEATURES))]
    assert np.allclose(belief.cov, lower, atol=1e-9)


def test_what_is_not_tried_is_forgotten_step_by_step_and_in_time() -> None:
    state = _taught(State(), "a", 0.9, 100)

    def sd(of: State) -> float:
        return rank(of, [Arm("a", 0.7)], ORDINARY, None, 0.0)[0].parts["sd"]

    elsewhere = _taught(state, "b", 0.5, 1_000)
    much_later = update(state, _seen("b", 0.5, 30 * 86_400))
    assert sd(state) < 0.03 < sd(elsewhere) < sd(much_later) < INTERCEPT_SD
    assert rank(much_later, [Arm("a", 0.7)], ORDINARY, None, 0.0)[0].parts["quality"] > 0.85, "but not the mean"
    soon, late = (
        update(s, _seen("a", 0.2, at)).arms["a"].mean[0] for s, at in ((state, 99), (much_later, 30 * 86_400))
    )
    assert late < 0.75 < 0.85 < soon, "what is old gives way to the first answer"


@pytest.mark.parametrize(("reward", "how"), [(0.4, "worse"), (0.95, "better")])
def test_a_sudden_change_is_noticed_within_thirty_answers_and_believed_soon_after(reward: float, how: str) -> None:
    draw = random.Random(5)
    state, noticed = State(), 0
    for number in range(300):
        state = update(state, _seen("m", 0.7 + draw.gauss(0, 0.12), number))
    assert state.arms["m"].changed == ""

    for number in range(300, 360):
        state = update(state, _seen("m", reward + draw.gauss(0, 0.12), number))
        if state.arms["m"].changed and not noticed:
            noticed = number - 299

    row = told(state)[0]
    assert 0 < noticed <= 30 and row["changed"] == how and row["changed_at"] == T0 + 299 + noticed
    assert row["quality"] == pytest.approx(reward, abs=0.07)


def test_nothing_is_noticed_where_nothing_changes() -> None:
    draw = random.Random(7)
    alarms = 0
    for _ in range(5):
        state = State()
        for number in range(2_000):
            broken = draw.random() < 0.07  # rewrites that do not verify
            state = update(state, _seen("m", 0.0 if broken else 0.8 + draw.gauss(0, 0.12), number))
        alarms += bool(state.arms["m"].changed)

    assert alarms <= 1


def test_the_price_rises_while_spending_runs_ahead_and_falls_when_it_is_behind() -> None:
    dear = _taught(State(), "good", 0.9, 100, cost_usd=0.02, allowance_usd=0.01)
    assert dear.price == pytest.approx(0.4)
    assert _taught(dear, "good", 0.9, 100, cost_usd=0.0, allowance_usd=0.01).price == pytest.approx(0.0, abs=1e-9)
    assert _taught(State(), "good", 0.9, 2_000, cost_usd=1.0, allowance_usd=0.0).price == PRICE_CAP
    assert _taught(dear, "good", 0.9, 50, cost_usd=None, allowance_usd=0.01).price == dear.price, (
        "feedback costs nothing"
    )


@pytest.mark.parametrize("calls", [300, 1_000, 4_000])
def test_pacing_alone_holds_a_budget_on_a_day_that_is_not_like_yesterday(calls: int) -> None:
    draw, state = random.Random(calls), State()
    budget, spent = 1.0, 0.0
    arms = (Arm("dear", 0.9, 0.01), Arm("middle", 0.8, 0.001), FREE)
    for number in range(calls):
        at = number / calls * 86_400.0
        left = max(0.0, budget - spent)
        purse = Purse(1e9, left / expected_calls(number, at, 1_000.0))
        first = rank(state, arms, ORDINARY, purse, draw.random())[0]
        arm = next(arm for arm in arms if arm.id == first.arm_id)
        cost = arm.cost_usd * draw.uniform(0.5, 1.5)
        spent += cost
        money = {"forecast_usd": arm.cost_usd, "cost_usd": cost, "allowance_usd": purse.allowance_usd}
        state = update(state, _seen(arm.id, arm.quality + draw.gauss(0, 0.1), prior=arm.quality, **money))

    assert 0.8 * budget <= spent <= 1.01 * budget


def test_a_cost_that_is_always_over_its_forecast_is_expected() -> None:
    state = _taught(State(), "good", 0.9, 60, forecast_usd=0.01, cost_usd=0.02)

    assert rank(state, [GOOD], ORDINARY, None, 0.0)[0].parts["cost_usd"] == pytest.approx(0.02, rel=0.01)


def test_feedback_is_a_second_look_at_the_same_answer() -> None:
    seen = Observation.from_dict(json.loads(json.dumps(asdict(_seen("good", 0.9, cost_usd=0.02, allowance_usd=0.01)))))
    state = update(State(), seen)

    after = update(state, seen.rated(0.0, T0 + 60))

    assert after.arms["good"].mean[0] < state.arms["good"].mean[0] and after.arms["good"].count == 2
    assert after.price == state.price > 0


def test_a_reward_is_quality_less_the_time_it_took() -> None:
    assert reward_of(0.9, 0.0, 25.0) == 0.9
    assert reward_of(0.9, 12.5, 25.0) == pytest.approx(0.9 - LATENCY_WEIGHT / 2)
    assert reward_of(0.0, 99.0, 25.0) == -LATENCY_WEIGHT
    assert reward_of(7.0, -1.0, 25.0) == 1.0


@given(st.lists(SEEN, max_size=40), st.floats(0, 1), UNIT, st.none() | st.builds(Purse, UNIT, UNIT, st.booleans()))
def test_whatever_is_seen_beliefs_stay_sound_and_survive_the_table(
    seen: list[Observation], draw: float, floor: float, purse: Purse | None
) -> None:
    state = State()
    for one in seen:
        state = update(state, one)
    again = State.from_dict(decode(encode(json.loads(json.dumps(state.to_dict())))))

    assert 0 <= state.price <= PRICE_CAP and state.clock >= 0
    for belief in state.arms.values():
        matrix = np.zeros((len(FEATURES), len(FEATURES)))
        matrix[np.tril_indices(len(FEATURES))] = belief.cov
        values = np.linalg.eigvalsh(matrix)
        assert -1e-6 < values[0] and values[-1] < SLOPE_SD**2 + 1e-6
        assert all(math.isfinite(value) for value in (*belief.mean, belief.noise, belief.cost_ratio))
    for x in (ORDINARY, features_of(Complexity(0.9, dict.fromkeys(PARTS, 1.0)))):
        one, other = rank(state, ARMS, x, purse, draw, floor), rank(again, ARMS, x, purse, draw, floor)
        assert sorted(row.arm_id for row in one) == sorted(arm.id for arm in ARMS)
        scores = {row.arm_id: row.score for row in other}
        assert all(row.score == pytest.approx(scores[row.arm_id], rel=1e-2, abs=1e-2) for row in one)
        assert one == rank(state, ARMS, x, purse, draw, floor)


def test_a_tenants_state_is_one_small_item() -> None:
    state = State()
    draw = random.Random(1)
    for number in range(3 * MOST_ARMS):
        x = (1.0, *(draw.uniform(-0.5, 0.5) for _ in PARTS))
        for _ in range(3):
            state = update(state, _seen(f"a-model-with-a-long-name@{number}", draw.random(), number, features=x))

    assert len(state.arms) == MOST_ARMS
    assert f"a-model-with-a-long-name@{3 * MOST_ARMS - 1}" in state.arms
    assert len(json.dumps(state.to_dict())) < 14_000
    assert State.from_dict({}) == State()
    assert State.from_dict({"arms": {"old": {"mean": [0.5], "cov": [0.1]}}, "price": 0.5}) == State(price=0.5)


@pytest.fixture(scope="module")
def simulated() -> dict[str, Any]:
    return bench_routing.run(seeds=(1, 2))


def test_on_changing_traffic_it_comes_near_the_oracle_and_far_ahead_of_fixed_policies(
    simulated: dict[str, Any],
) -> None:
    policies = simulated["summary"]

    assert policies["oracle"]["regret"] == 0.0
    assert policies["learning"]["regret"] <= 0.045
    assert policies["learning"]["regret_last_half_day"] <= 0.03
    for fixed in ("cheapest that fits", "always cheapest", "always best"):
        assert policies[fixed]["regret"] >= 2.5 * policies["learning"]["regret"], fixed


def test_the_budget_holds_to_one_percent_by_pacing_alone_and_is_used(simulated: dict[str, Any]) -> None:
    policies = simulated["summary"]

    assert policies["learning"]["overshoot"] <= 0.0
    assert policies["learning, pacer alone"]["overshoot"] <= 0.01
    assert policies["learning"]["used"] >= 0.8


def test_a_price_cut_a_regression_and_a_new_model_are_noticed(simulated: dict[str, Any]) -> None:
    seen = [round["noticed"] for round in simulated["rounds"]]

    for change, within in (("regression", 300), ("price_cut", 375), ("newcomer", 142)):
        steps = [row[change] for row in seen if row[change] is not None]
        assert all(step <= within for step in steps), (change, steps)
    assert all(row["regression"] is not None and row["newcomer"] is not None for row in seen)
    assert any(row["price_cut"] is not None for row in seen)
    assert sum(round["false_alarms"] for round in simulated["rounds"]) <= 2
