"""Scores: ranges, known texts, and a calibration that anybody can run again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace.text import scores
from millrace.text.rules import rewrite
from millrace.text.scores import score

from tests.millrace.text import calibration
from tests.millrace.text.samples import AI_TEXTS, HUMAN_TEXTS, MACHINE_LIKE, OLD_PROSE

RANGES = {
    "readability": (-100, 121), "burstiness": (0, 50), "lexical_diversity": (0, 1), "cliche_density": (0, 100),
    "ai_likeness": (0, 1), "words": (0, math.inf), "sentences": (0, math.inf),
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_every_measure_of_any_text_is_in_its_range(text: str) -> None:
    found = score(text)

    assert set(found) == set(RANGES)
    assert all(low <= found[name] <= high for name, (low, high) in RANGES.items())


def test_flesch_agrees_with_the_formula_by_hand() -> None:
    """4 sentences, 20 words, 23 syllables (water, paper, under have two)."""
    text = "The dog ran to water. A cat sat on paper. We saw the red sun. He ate bread under trees."

    assert score(text)["readability"] == pytest.approx(206.835 - 1.015 * 5 - 84.6 * 23 / 20, abs=0.01)


@pytest.mark.parametrize(
    ("word", "count"), [("cat", 1), ("paper", 2), ("important", 3), ("communication", 5), ("a", 1)]
)
def test_syllables_of_plain_words(word: str, count: int) -> None:
    assert scores.syllables(word) == count


def test_even_sentences_have_no_burstiness_and_uneven_ones_have() -> None:
    assert score("We saw the sea. We saw the sky. We saw the sun.")["burstiness"] == 0
    assert score("No. We walked all the way to the sea that day. Yes.")["burstiness"] > 0.9


def test_diversity_of_one_word_repeated_is_one_in_fifty() -> None:
    assert score("dog " * 200)["lexical_diversity"] == pytest.approx(1 / 50)


def test_cliches_are_counted_per_hundred_words() -> None:
    assert score("In order to win we utilize a myriad of tools.")["cliche_density"] == pytest.approx(30.0)
    assert score("We won with hammers and good luck, in the end.")["cliche_density"] == 0


def test_the_weights_are_those_that_the_samples_give() -> None:
    theta = calibration.fit(*calibration.data())

    assert [*scores.WEIGHTS, scores.BIAS] == pytest.approx(list(theta), abs=0.25)


def test_left_out_errors_are_no_more_than_the_docstring_says() -> None:
    false_positives, misses = calibration.left_out()

    assert len(HUMAN_TEXTS) == 16 and len(AI_TEXTS) + len(MACHINE_LIKE) == 22
    assert (false_positives, misses) == (0, 0)
    assert "0 of 16 personal texts" in str(scores.__doc__) and "95 % bound is 17 %" in str(scores.__doc__)


def test_formal_prose_by_other_hands_is_not_taken_for_a_machines() -> None:
    assert len(OLD_PROSE) == 8
    assert [text[:30] for text in OLD_PROSE if score(text)["ai_likeness"] > 0.5] == []


@pytest.mark.parametrize("text", AI_TEXTS, ids=range(10))
def test_the_rules_lower_the_likeness_of_machine_prose(text: str) -> None:
    before, after = score(text), score(rewrite(text, "strong").text)

    assert after["ai_likeness"] < before["ai_likeness"]
    assert after["cliche_density"] < before["cliche_density"] / 2


def test_nothing_has_no_measure() -> None:
    assert set(score("").values()) == {0.0} == set(score("… 123 —").values())
