"""The verdict over a rewrite, held against hand-made cases, a brute-force replay and scipy."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace import evaluation
from millrace.evaluation import Judged, changes, content_share, content_words, edited, judge, summarise, words
from scipy.stats import bootstrap

SOURCE = "Moreover, the team does not utilize 3.5 GB on Mondays."
TARGET = "The team doesn't use 3.5 GB on Mondays."


def test_the_target_itself_is_kept_edited_and_exact() -> None:
    assert judge(SOURCE, TARGET, TARGET, 0) == Judged(kept=True, edited=True, exact=True)


def test_a_copy_of_the_source_is_not_edited() -> None:
    assert not edited(SOURCE, TARGET, SOURCE)


@pytest.mark.parametrize(
    "output",
    [
        "the team doesn't use 3.5 GB on Mondays.",
        "The team does not use 3.5 GB on Mondays.",
        "The team doesn't utilize 3.5 GB on Mondays.",
        "Moreover, the team doesn't use 3.5 GB on Mondays.",
    ],
    ids=["case left", "contraction left", "word left", "opener left"],
)
def test_one_change_left_out_is_not_edited(output: str) -> None:
    assert not edited(SOURCE, TARGET, output)


def test_a_further_change_elsewhere_leaves_it_edited_but_not_exact() -> None:
    output = "The team doesn't use 3.5 GB on Tuesdays."

    verdict = judge(SOURCE, TARGET, output, 0)

    assert verdict.edited and not verdict.exact


def test_a_violation_or_a_lost_tenth_of_the_content_words_is_not_kept() -> None:
    assert not judge(SOURCE, TARGET, TARGET, 1).kept
    assert not judge(SOURCE, TARGET, "The team doesn't use GB on Mondays.", 0).kept


def test_a_pair_without_a_change_is_edited_only_by_an_output_without_one() -> None:
    assert edited("All is well.", "All is well.", "All is well.")
    assert not edited("All is well.", "All is well.", "All was well.")


def test_content_words_leave_out_function_words_and_their_contractions() -> None:
    assert content_words("They don’t, can't and won't; it's the 10:30 train to York.") == ["10:30", "train", "york"]


def test_repeated_content_words_count_as_often_as_they_stand() -> None:
    assert content_share("red red blue green", "red blue green") == 0.75


@given(st.lists(st.sampled_from("a B c, d. don't".split())), st.lists(st.sampled_from("a B c, d. don't".split())))
def test_the_changes_replayed_on_the_source_give_the_target(before: list[str], after: list[str]) -> None:
    source, target = " ".join(before), " ".join(after)

    replayed = words(source)
    for change in sorted(changes(source, target), key=lambda c: (c.start, c.end), reverse=True):
        replayed[change.start : change.end] = change.words

    assert replayed == words(target)


def test_the_interval_of_the_gain_agrees_with_scipy() -> None:
    draw = numpy.random.default_rng(7)
    candidate, base = draw.random(80) < 0.6, draw.random(80) < 0.1
    gains = candidate.astype(float) - base.astype(float)

    low, high = evaluation.gain_interval(candidate.tolist(), base.tolist(), 3)
    theirs = bootstrap((gains,), numpy.mean, method="percentile", random_state=3).confidence_interval

    assert low == pytest.approx(theirs.low, abs=0.03) and high == pytest.approx(theirs.high, abs=0.03)


def test_the_summary_is_the_same_for_the_same_seed_and_zero_gain_for_equal_arms() -> None:
    arm = [Judged(True, index % 2 == 0, False) for index in range(40)]

    assert summarise(arm, arm, 1) == summarise(arm, arm, 1)
    assert (summarise(arm, arm, 1)["edit_gain_low"], summarise(arm, arm, 1)["edit_gain_high"]) == (0.0, 0.0)


def test_arms_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 verdicts of the candidate against 1"):
        summarise([Judged(True, True, True)] * 2, [Judged(True, True, True)], 0)
