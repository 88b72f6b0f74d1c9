from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.catalogue import Entry
from millrace.complexity import (
    FLOORS,
    PARTS,
    QUALITY_OF_RANK,
    SAMPLE,
    WEIGHTS,
    Complexity,
    complexity,
    fits_quality,
    quality_floor,
    quality_of,
)
from millrace.contract import Tier

from tests.millrace.text.samples import AI_TEXTS, HUMAN_TEXTS

NOTE = "Hi Sam, thanks for the cake. It was lovely. See you soon."
TECHNICAL = """## Pharmacokinetics of the 50 mg formulation

The median AUC0-24 was 312.4 ng·h/mL (IQR 288.1-340.9), which did not differ significantly from the reference
formulation (p = 0.34; Smith et al. 2019), although, as the investigators acknowledge, the heterogeneous subpopulation
with impaired hepatic biotransformation was excluded after 12 March 2021 [14, 15]. See https://example.org/protocol-7.

- Do not exceed 200 mg/day; never co-administer with `CYP3A4` inhibitors.
- Contraindicated without prior echocardiographic assessment (LVEF < 45 %).
"""
MIXED = st.lists(st.sampled_from([NOTE, TECHNICAL, "# ", "- a\n", "مرحبا ", "你好。", "💥", "3.5 kg", "`x`", "\n\n"]))


@given(st.text(max_size=300) | MIXED.map("".join))
def test_the_score_is_the_weighted_mean_of_parts_in_the_unit_interval(text: str) -> None:
    found = complexity(text)

    assert set(found.parts) == set(PARTS) == set(WEIGHTS) and sum(WEIGHTS.values()) == pytest.approx(1)
    assert all(0 <= value <= 1 for value in (found.score, *found.parts.values()))
    assert found.score == pytest.approx(sum(WEIGHTS[name] * found.parts[name] for name in PARTS), abs=1e-3)


def test_a_technical_text_asks_for_more_than_an_essay_and_an_essay_for_more_than_a_note() -> None:
    note, technical = complexity(NOTE).score, complexity(TECHNICAL).score
    essays = mean(complexity(text).score for text in AI_TEXTS)
    letters = mean(complexity(text).score for text in HUMAN_TEXTS)

    assert note < 0.1 < letters < 0.2 < essays < 0.35 < 0.4 < technical


@pytest.mark.parametrize(
    ("part", "plain", "more"),
    [
        ("length", "We met and talked. ", "We met and talked. " * 50),
        (
            "structure",
            "We met. We talked. We left.",
            "We met, talked (a lot), and, as it was late, left; they did too.",
        ),
        ("terminology", "We met them and had a talk.", "Interdisciplinary ELISA/HPLC-MS2 characterisation talk."),
        ("risk", "We met them and did talk a lot.", "We never met 12 of 40 [3] on 2021-03-04 (Smith 2019)."),
        ("markup", "One line.\nTwo lines.\nThree.", "# One line\n- Two lines\n> Three"),
    ],
)
def test_each_part_rises_with_what_it_is_named_for(part: str, plain: str, more: str) -> None:
    assert complexity(more).parts[part] > complexity(plain).parts[part] + 0.2


def test_a_long_text_is_judged_by_its_sample_and_its_length() -> None:
    book = "\n".join([TECHNICAL] * 400)

    parts = complexity(book).parts

    assert parts["length"] == 1.0
    assert parts["risk"] == pytest.approx(complexity(TECHNICAL).parts["risk"], abs=0.1)
    assert len(book) > 20 * SAMPLE


def test_two_kilobytes_take_under_a_millisecond_and_hostile_texts_no_longer_than_a_blink() -> None:
    text = (AI_TEXTS[2] * 3)[:2_000]
    quickest = min(_seconds(text) for _ in range(20))

    assert quickest < 1e-3
    for hostile in ('"' * 10**6, "“a" * 10**5, "A(B" * 10**5, "a-b/" * 10**5, "`" * 10**6, " " * 10**6, "1," * 10**6):
        assert _seconds(hostile) < 0.25, hostile[:4]


def _seconds(text: str) -> float:
    began = time.process_time()
    complexity(text)
    return time.process_time() - began


def test_quality_is_measured_where_it_was_and_else_by_rank() -> None:
    row = Entry("m", "openai", rank=4)

    assert quality_of(row) == QUALITY_OF_RANK[4]
    assert quality_of(replace(row, metrics={"content_kept_rate": 0.97})) == 0.97
    assert quality_of(replace(row, metrics={"content_kept_rate": 0.97, "quality": 0.5})) == 0.5
    assert quality_of(replace(row, rank=99)) == QUALITY_OF_RANK[5]


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_harder_text_and_a_higher_tier_are_owed_at_least_as_much(one: float, other: float) -> None:
    low, high = sorted((one, other))
    floors = {tier: [quality_floor(Complexity(score, {}), tier) for score in (low, high)] for tier in FLOORS}

    assert all(less <= more for less, more in floors.values())
    ladder = [floors[tier] for tier in (Tier.FREE, Tier.BASIC, Tier.PROFESSIONAL, Tier.ENTERPRISE)]
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(ladder))


def test_a_hard_text_on_a_high_tier_asks_for_a_top_model_and_a_simple_one_on_a_low_tier_does_not() -> None:
    cheap, best = Entry("cheap", "groq", rank=2), Entry("best", "openai", rank=5)

    assert fits_quality(cheap, complexity(NOTE), Tier.BASIC)
    assert not fits_quality(cheap, complexity(TECHNICAL), Tier.PROFESSIONAL)
    assert fits_quality(best, complexity(TECHNICAL), Tier.ENTERPRISE)
