"""Costs before anything is begun: forecasts, caps of a job and of a month, machines that are too small."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.clock import stamp
from millrace.contract import JobState, Tier
from millrace.effort import advised_epochs
from millrace.errors import Conflict, Forbidden, InvalidInput
from millrace.forecast import Forecast, Part, forecast, spent_usd, within
from millrace.instances import INSTANCES, check
from millrace.strategies import find, following, strategies
from millrace.tenants import Tenant
from millrace.training import DATASET_FILE, Training, channel_key
from millrace.training_budget import MONTHLY_USD, TrainingBudget

from tests.fakes import World
from tests.millrace.test_training import _collected

ACME = Tenant("acme", Tier.ENTERPRISE)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PARTS = st.builds(
    lambda price, limit, share: Part("s", "ml.m5.large", price, limit * share, limit),
    st.floats(0.01, 50),
    st.integers(60, 100_000).map(float),
    st.floats(0, 1),
)


def test_every_strategys_machine_is_known_and_holds_what_it_needs() -> None:
    for strategy in strategies().values():
        check(strategy.name, strategy.resources, str(strategy.resources["instance_type"]))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("ml.m5.2xlarge", "lora-sft needs 1 GPUs; ml.m5.2xlarge has 0"),
        ("ml.x", "No price is known for 'ml.x'"),
    ],
)
def test_a_machine_that_does_not_do_is_refused_with_both_figures(kind: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        check("lora-sft", {"gpus": 1}, kind)


def test_a_forecast_is_seconds_times_price_part_by_part() -> None:
    wanted = [(find("lora-sft"), "ml.g5.2xlarge"), *[(s, None) for s in following(find("lora-sft"), {})]]

    told = forecast(wanted, rows=1_000)

    by_hand = sum(part.expected_s * INSTANCES[part.instance_type].usd_per_h / 3600 for part in told.parts)
    assert told.expected_usd == pytest.approx(by_hand) and told.parts[0].instance_type == "ml.g5.2xlarge"
    assert told.expected_usd <= told.at_most_usd() and Forecast.of(told.to_dict()).parts == list(told.parts)
    assert forecast(wanted, 1_000, "ml.local").at_most_usd() == 0


def _seconds(name: str, rows: int, kind: str | None = None, **given: Any) -> list[float]:
    """Of each container, start and limit left out."""
    strategy = find(name)
    values = strategy.settle(given)
    wanted = [(strategy, kind), *[(step, None) for step in following(strategy, values)]]
    return [part.expected_s - 240 for part in forecast(wanted, rows, given=values).parts]


@pytest.mark.parametrize(
    ("name", "given", "times"),
    [
        ("lora-sft", {"epochs": 8}, 4),
        ("cnn-native", {"epochs": 24}, 2),
        ("cnn-native", {"seeds": 16}, 1.5),
        ("cnn-native", {"size": 64}, 4),
        ("cnn-native", {"workers": 1, "seeds": 8}, 4.5),
        ("cnn-transfer", {"epochs": 26, "frozen_epochs": 0}, 52 / 28),
        ("cnn-search", {"population": 16}, 1.68 / 1.34),
        ("cnn-search", {"rungs": [1.0]}, 1 / 1.34),
        ("cnn-search", {"max_epochs": 6}, 6 / 13),
    ],
)
def test_what_is_asked_for_is_what_is_counted(name: str, given: dict[str, Any], times: float) -> None:
    """J5: rows, epochs, seeds, candidates and the size of the images, as the machine's processors share them."""
    before, after = ({"epochs": 2} if name == "lora-sft" else {}), given
    assert _seconds(name, 1_000, **after)[0] == pytest.approx(times * _seconds(name, 1_000, **before)[0])
    assert _seconds(name, 2_000, **after)[0] == pytest.approx(2 * _seconds(name, 1_000, **after)[0])


def test_a_search_counts_its_rounds_and_its_end() -> None:
    three, one = _seconds("cnn-search", 1_000), _seconds("cnn-search", 1_000, rounds=1)

    assert len(three) == 4 and len(one) == 2 and three[0] == three[1] == three[2] == one[0]
    assert _seconds("cnn-search", 1_000, seeds=8)[-1] > three[-1] > _seconds("cnn-search", 1_000, baselines=False)[-1]


def test_an_evaluation_reads_no_more_than_it_reads() -> None:
    """J5: the held-out pairs, 500 at most, however many are trained on."""
    assert _seconds("lora-sft", 800)[1:] == [50, 50]
    assert _seconds("lora-sft", 400_000)[1:] == [250, 100]


@given(st.integers(1, 100_000))
def test_epochs_that_are_left_to_the_training_are_those_that_it_will_take(rows: int) -> None:
    from training_containers.lora.advice import advise

    assert advised_epochs(rows) == advise(rows, 3_072).epochs


def test_the_images_of_a_dataset_are_what_is_counted(world: World) -> None:
    for id, samples in (("d1", 1_000), ("d2", 50_000)):
        told = {"classes": ["a", "b"], "samples": samples}
        world.store.put_json(channel_key(ACME, id) + DATASET_FILE, told)

    few, many = (_paid(world).forecast(ACME, strategy="cnn-native", dataset_id=id) for id in ("d1", "d2"))

    assert few["expected_usd"] < many["expected_usd"] <= many["at_most_usd"]


@given(st.lists(PARTS, min_size=1, max_size=4), st.floats(0.001, 5_000))
def test_within_a_cap_it_stays_below_it_or_is_refused(parts: list[Part], cap: float) -> None:
    told = Forecast(parts)
    try:
        limit_s = within(told, cap)
    except Forbidden:
        assert told.expected_usd > cap
        return
    assert told.at_most_usd(limit_s or float("inf")) <= cap or limit_s == 1
    if limit_s is not None:
        assert told.at_most_usd(limit_s + 1) > cap, "it may run as long as the cap allows"


def test_time_is_counted_from_the_first_work_of_each_attempt() -> None:
    runs = [
        {"started_at": stamp(NOW), "ended_at": stamp(NOW + timedelta(hours=1))},
        {"state": "queued"},
        {"started_at": stamp(NOW + timedelta(hours=2))},
    ]
    assert spent_usd(runs, 2.0, NOW + timedelta(hours=3)) == pytest.approx(4.0)


def _paid(world: World) -> Training:
    return replace(world.training, instance_type="")


@pytest.fixture
def world() -> World:
    world = World()
    _collected(world, 0, 80)
    return world


def test_a_cap_below_the_expected_cost_is_refused_with_the_figures_and_nothing_is_begun(world: World) -> None:
    for ask in (
        lambda: _paid(world).begin(ACME, "j1", max_cost_usd=0.01),
        lambda: _paid(world).forecast(ACME, max_cost_usd=0.01),
    ):
        with pytest.raises(Forbidden, match=r"expected to cost 0\.\d\d USD, and its cap is 0\.01 USD"):
            ask()
    assert not world.jobs.page(ACME, 10, None)[0] and world.corpus.counts(ACME).fresh == 80


def test_a_cap_shortens_what_each_container_may_run(world: World) -> None:
    job = _paid(world).begin(ACME, "j1", max_cost_usd=1.0)

    told = Forecast.of(job.forecast)
    assert job.max_runtime_s and told.at_most_usd(job.max_runtime_s) <= 1.0 < told.at_most_usd()
    committed = TrainingBudget(world.table).committed_usd(ACME, datetime.fromisoformat(job.created_at))
    assert committed == pytest.approx(told.at_most_usd(job.max_runtime_s), abs=1e-5)


def test_the_months_money_is_refused_in_words_and_comes_back_with_a_cancel(world: World) -> None:
    basic = Tenant("acme", Tier.BASIC)
    first = _paid(world).begin(basic, "j1")
    _paid(world).begin(basic, "j2")

    with pytest.raises(
        Forbidden, match=r"of the 25\.00 USD that this tenant's trainings may cost in \w+ \d{4} \d\.\d\d"
    ):
        _paid(world).begin(basic, "j3")
    _paid(world).cancel(basic, first.id)

    assert _paid(world).begin(basic, "j3").id == "j3"


def test_however_many_begin_at_once_the_month_is_never_overspent(world: World) -> None:
    basic = Tenant("acme", Tier.BASIC)

    def begin(n: int) -> str:
        try:
            return str(_paid(world).begin(basic, f"j{n}").id)
        except (Conflict, Forbidden) as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(12)))

    held = sum(job.forecast["at_most_usd"] for job in world.jobs.page(basic, 100, None)[0])
    assert 0 < held <= MONTHLY_USD[Tier.BASIC]


def test_what_a_training_cost_takes_the_place_of_what_was_held_once(world: World) -> None:
    job = _paid(world).begin(ACME, "j1")
    world.jobs.move(ACME, "j1", JobState.RUNNING, 1)
    ended = world.jobs.move(ACME, "j1", JobState.FAILED, 1)

    for _ in range(2):
        world.jobs.settle(ACME, ended)

    spent = TrainingBudget(world.table).committed_usd(ACME, datetime.fromisoformat(job.created_at))
    assert 0 <= spent < 0.01 < job.forecast["at_most_usd"]


def test_a_policy_does_not_begin_what_the_month_cannot_pay(world: World) -> None:
    free = Tenant("acme", Tier.FREE)
    assert _paid(world).begin_if_due(free, 60) is None and world.corpus.counts(free).fresh == 80


def test_a_retry_that_the_cap_has_no_room_for_is_not_begun(world: World) -> None:
    from tests.millrace.test_recovery import OUT, _pipeline

    begun = _paid(world).begin(ACME, "j1", hyperparameters={"batch_size": 4})
    pipeline = _pipeline(world)
    pipeline.plan(ACME, "j1", 1)
    hours = begun.forecast["at_most_usd"] / begun.forecast["usd_per_h"]
    pk, long_ago = ACME.pk("job", "j1"), stamp(datetime.now(UTC) - timedelta(hours=hours))  # type: ignore[arg-type]
    world.table.put({**world.table.get(pk, "attempt#001"), "started_at": long_ago})  # type: ignore[dict-item]

    job: Any = pipeline.conclude(ACME, "j1", 1, "failed", OUT)

    assert job.state is JobState.FAILED and job.attempt == 1


def _began(world: World, attempt: int, hours_ago: float) -> None:
    pk, at = ACME.pk("job", "j1"), stamp(datetime.now(UTC) - timedelta(hours=hours_ago))  # type: ignore[arg-type]
    world.table.put({**world.table.get(pk, f"attempt#{attempt:03}"), "started_at": at})  # type: ignore[dict-item]


def test_each_attempt_is_counted_once_against_the_first_cap(world: World) -> None:
    """An attempt's cost was taken off again at each recovery, as the limit that it had lowered was the next cap."""
    from tests.millrace.test_recovery import OUT, _pipeline

    begun = _paid(world).begin(ACME, "j1", hyperparameters={"batch_size": 4}, max_cost_usd=1.0)
    pipeline, told, attempts = _pipeline(world), Forecast.of(begun.forecast), 3
    share = (1.0 - told.expected_usd) / (attempts + 1)

    for attempt in range(1, attempts + 1):
        pipeline.plan(ACME, "j1", attempt)
        _began(world, attempt, share / begun.forecast["usd_per_h"])
        assert pipeline.conclude(ACME, "j1", attempt, "failed", OUT).attempt == attempt + 1

    limit_s = world.jobs.get(ACME, "j1").max_runtime_s
    assert limit_s and told.at_most_usd(limit_s) == pytest.approx(1.0 - attempts * share, abs=0.01)


def test_a_lost_attempt_is_not_begun_again_past_the_cap(world: World) -> None:
    from tests.millrace.test_recovery import _pipeline

    begun = _paid(world).begin(ACME, "j1", max_cost_usd=1.0)
    _pipeline(world).plan(ACME, "j1", 1)
    _began(world, 1, 1.0 / begun.forecast["usd_per_h"])
    world.states.end("j1-1", "TIMED_OUT")

    assert world.jobs.sweep_one(ACME, "j1") == "failed"

    job = world.jobs.get(ACME, "j1")
    assert job.attempt == 1 and "ended as TIMED_OUT without a result. Another attempt would pass" in str(job.error)
    assert not world.jobs.active() and world.states.started == ["j1-1"]


def test_a_lost_attempt_leaves_the_next_one_what_it_did_not_spend(world: World) -> None:
    from tests.millrace.test_recovery import _pipeline

    begun = _paid(world).begin(ACME, "j1", max_cost_usd=1.0)
    _pipeline(world).plan(ACME, "j1", 1)
    _began(world, 1, 0.2 / begun.forecast["usd_per_h"])
    world.states.end("j1-1", "TIMED_OUT")

    assert world.jobs.sweep_one(ACME, "j1") == "restarted"

    limit_s = world.jobs.get(ACME, "j1").max_runtime_s
    assert limit_s and Forecast.of(begun.forecast).at_most_usd(limit_s) == pytest.approx(0.8, abs=0.01)
