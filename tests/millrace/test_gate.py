from __future__ import annotations

import math
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.errors import InvalidInput
from millrace.gate import NOT_WORSE_BY, THRESHOLDS, Subject, check_bounds, judge

SUBJECTS = get_args(Subject)
GOOD = {
    "examples": 40.0,
    "content_kept_rate": 0.9,
    "edit_rate": 0.7,
    "edit_gain_low": 0.1,
    "loss_ratio": 0.5,
    "parity_passed": 1.0,
    "test_accuracy": 0.98,
    "test_examples": 270.0,
    "majority_gain_low": 0.8,
    "worst_class_recall": 0.95,
}
FIGURES = st.fixed_dictionaries({name: st.floats(-2, 2) | st.just(40.0) for name in GOOD})


@pytest.mark.parametrize("subject", SUBJECTS)
def test_good_figures_pass_without_a_reason(subject: Subject) -> None:
    verdict = judge(subject, GOOD)
    assert verdict.passed and verdict.reasons == [] and len(verdict.findings) == len(THRESHOLDS[subject])


@pytest.mark.parametrize(("subject", "metric"), [(s, t.metric) for s in SUBJECTS for t in THRESHOLDS[s]])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_was_not_measured_or_is_no_number_refuses(subject: Subject, metric: str, value: float | None) -> None:
    figures = {name: good for name, good in GOOD.items() if name != metric}
    verdict = judge(subject, figures | ({} if value is None else {metric: value}))

    assert not verdict.passed
    assert [reason["code"] for reason in verdict.reasons] == [f"gate.{metric}"]
    assert ("was not measured" in verdict.reasons[0]["text"]) == (value is None)


@pytest.mark.parametrize(("subject", "metric"), [(s, t.metric) for s in SUBJECTS for t in THRESHOLDS[s]])
def test_each_bound_lies_where_it_says(subject: Subject, metric: str) -> None:
    (threshold,) = (t for t in THRESHOLDS[subject] if t.metric == metric)
    for bound, worse in ((threshold.minimum, -1), (threshold.maximum, 1), (threshold.above, -1)):
        if bound is None:
            continue
        assert judge(subject, GOOD | {metric: bound}).passed == (threshold.above is None)
        assert not judge(subject, GOOD | {metric: bound + worse * 1e-9}).passed


BETTER = {"loss_ratio": -1}


@given(st.sampled_from(SUBJECTS), FIGURES, st.dictionaries(st.sampled_from(sorted(GOOD)), st.floats(0, 3)))
def test_better_figures_never_turn_a_pass_into_a_refusal(
    subject: Subject, figures: dict[str, float], gains: dict[str, float]
) -> None:
    better = {name: value + BETTER.get(name, 1) * gains.get(name, 0.0) for name, value in figures.items()}

    assert judge(subject, figures).passed <= judge(subject, better).passed


@given(FIGURES, FIGURES)
def test_an_incumbent_never_makes_it_easier_and_holds_within_its_slack(
    mine: dict[str, float], its: dict[str, float]
) -> None:
    alone, against = judge("adapter", mine), judge("adapter", mine, its)

    assert against.passed <= alone.passed
    within = all(mine[metric] >= its[metric] - slack for metric, slack in NOT_WORSE_BY.items())
    assert against.passed == (alone.passed and within)


@pytest.mark.parametrize(("minimum", "passes"), [(0.65, True), (0.75, False), (math.nan, False)])
def test_a_minimum_can_be_set_for_a_tenant(minimum: float, passes: bool) -> None:
    assert judge("adapter", GOOD, bounds={"edit_rate": minimum}).passed == passes


@pytest.mark.parametrize(("subject", "metric"), [(s, t.metric) for s in SUBJECTS for t in THRESHOLDS[s]])
def test_every_bound_can_be_moved_and_lies_there_then(subject: Subject, metric: str) -> None:
    """J9: a minimum, a maximum, and what is to be strictly above."""
    (threshold,) = (t for t in THRESHOLDS[subject] if t.metric == metric)
    better = BETTER.get(metric, 1)
    beyond, at = GOOD[metric] + better, judge(subject, GOOD, bounds={metric: GOOD[metric]})

    assert at.passed == (threshold.above is None)
    assert not judge(subject, GOOD, bounds={metric: beyond}).passed
    assert judge(subject, GOOD | {metric: beyond + better}, bounds={metric: beyond}).passed
    assert f"{beyond:g}" in judge(subject, GOOD, bounds={metric: beyond}).reasons[0]["text"]


def test_a_bound_that_no_gate_looks_at_is_refused() -> None:
    check_bounds("pairs", {"edit_rate": 0.1, "loss_ratio": 0.9, "parity_passed": 1})
    with pytest.raises(InvalidInput, match="no threshold edit_rte for pairs; it has content_kept_rate, edit_gain_low"):
        check_bounds("pairs", {"edit_rte": 0.1})
    with pytest.raises(InvalidInput, match="no threshold edit_rate for images"):
        check_bounds("images", {"edit_rate": 0.1})
    with pytest.raises(InvalidInput, match="edit_rate is a number, not nan"):
        check_bounds("pairs", {"edit_rate": math.nan})


def test_the_verdict_tells_every_figure_with_its_bound() -> None:
    told = judge("adapter", GOOD | {"edit_rate": 0.25}).to_dict()

    assert [finding["metric"] for finding in told["findings"]] == [t.metric for t in THRESHOLDS["adapter"]]
    assert told["reasons"] == [
        {
            "code": "gate.edit_rate",
            "text": "edit_rate (answers that make the asked-for edit) is 0.25; asked for: >= 0.5",
        }
    ]


def test_every_combination_of_missed_bounds_is_told_whole() -> None:
    names = [threshold.metric for threshold in THRESHOLDS["gguf"]]
    for mask in product([True, False], repeat=len(names)):
        missing = {name for name, here in zip(names, mask, strict=True) if not here}
        verdict = judge("gguf", {name: value for name, value in GOOD.items() if name not in missing})
        assert {reason["code"] for reason in verdict.reasons} == {f"gate.{name}" for name in missing}
