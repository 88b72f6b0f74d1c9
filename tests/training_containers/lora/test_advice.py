"""Advice follows the base's width and the rows; what the user gives stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_containers.lora.advice import HIGHEST_RATE, advise, filled
from training_containers.lora.settings import SftSettings


@pytest.mark.parametrize(
    ("rows", "width", "rate", "rank", "epochs"),
    [(640, 256, 2.4e-3, 16, 5), (640, 3072, 2e-4, 16, 5), (50, 64, 4e-3, 8, 30), (20_000, 3072, 1e-4, 64, 2)],
)
def test_advice_follows_the_bases_width_and_the_data(
    rows: int, width: int, rate: float, rank: int, epochs: int
) -> None:
    made = advise(rows, width)

    assert (made.learning_rate, made.rank, made.epochs) == (pytest.approx(rate), rank, epochs)


@given(st.integers(1, 10**7), st.integers(16, 16384))
def test_more_rows_never_ask_for_a_higher_rate_or_a_lower_rank(rows: int, width: int) -> None:
    few, many = advise(rows, width), advise(2 * rows, width)

    assert 0 < many.learning_rate <= few.learning_rate <= HIGHEST_RATE
    assert many.rank >= few.rank and many.epochs <= few.epochs


def test_what_is_given_stands_and_alpha_follows_the_rank() -> None:
    made = filled(SftSettings(learning_rate=1e-5, rank=4), advise(640, 256))

    assert (made.learning_rate, made.rank, made.alpha, made.epochs) == (1e-5, 4, 8, 5)


def test_the_report_says_why() -> None:
    said = " ".join(advise(640, 256).sentences(640, 256))

    assert "Learning rate 0.0024" in said and "Rank 16: 640 rows" in said and "At most 5 epochs" in said
