"""Each part of the quality answers to its own cause, and says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.quality import WEIGHTS, assess

from tests.fakes import examples

GOOD = (
    "Moreover, it is important to note that we utilize 3 servers in hall 7 to facilitate the process.",
    "We use 3 servers in hall 7 to help the process along.",
)


def test_a_faithful_and_plainer_pair_is_good_and_needs_no_reason() -> None:
    quality = assess(*GOOD)

    assert quality.score > 0.9 and quality.reasons == ()
    assert quality.improvement == round(quality.before - quality.after, 4) > 0.3


@pytest.mark.parametrize(
    ("part", "source", "target"),
    [
        ("fidelity", GOOD[0], "We use 9 servers in hall 2 to help the process along."),
        ("gain", GOOD[1], GOOD[0]),
        ("length", GOOD[0] * 12, "We use 3 servers in hall 7."),
        ("language", GOOD[0], "Wir nutzen 3 Server in der Halle 7, um den Ablauf für alle zu erleichtern."),
    ],
)
def test_what_is_poor_is_named(part: str, source: str, target: str) -> None:
    quality = assess(source, target)

    assert part in {reason["code"] for reason in quality.reasons}
    assert quality.score < assess(*GOOD).score


def test_a_near_duplicate_is_worth_less_and_names_the_earlier_one() -> None:
    alone, again = assess(*GOOD), assess(*GOOD, near="dp1")

    assert round(alone.score - again.score, 4) == WEIGHTS["duplication"] / 2
    assert "dp1" in {r["code"]: r["text"] for r in again.reasons}["duplication"]


@examples(60)
@given(st.text(max_size=60), st.text(max_size=60))
def test_the_score_is_the_weighted_mean_of_parts_in_their_range(source: str, target: str) -> None:
    quality = assess(source, target)

    assert all(0 <= value <= 1 for value in quality.parts.values())
    assert quality.score == pytest.approx(sum(WEIGHTS[n] * v for n, v in quality.parts.items()), abs=1e-4)
    assert sum(WEIGHTS.values()) == pytest.approx(1)
