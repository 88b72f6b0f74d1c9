"""How likely a text is to a model, from its logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from training_containers.serve.likelihood import likelihood


def _logits(shares: list[list[float]]) -> NDArray[np.float32]:
    return np.log(np.array(shares, dtype=np.float32))


def test_the_figures_are_those_worked_out_by_hand() -> None:
    """H10: two tokens of which each had a share of 0.8 or 0.2."""
    rows = _logits([[0.8, 0.2], [0.8, 0.2]])

    found = likelihood([(rows, [0, 1])])

    mean = 0.8 * math.log(0.8) + 0.2 * math.log(0.2)
    spread = math.sqrt(2 * (0.8 * math.log(0.8) ** 2 + 0.2 * math.log(0.2) ** 2 - mean**2))
    curvature = (math.log(0.8) + math.log(0.2) - 2 * mean) / spread
    assert found.tokens == 2 and found.mean_logprob == pytest.approx(math.log(0.16) / 2, abs=1e-4)
    assert found.token_likeness == pytest.approx(0.5 * (1 + math.erf(curvature / math.sqrt(2))), abs=1e-4)


def test_a_text_of_the_models_own_scores_a_half_on_average_and_greedy_text_more() -> None:
    """H10: what 0.5 is said to mean."""
    draw = np.random.default_rng(7)
    rows = draw.normal(size=(4_000, 50)).astype(np.float32) * 2
    shares = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
    drawn = [int(draw.choice(50, p=row / row.sum())) for row in shares.astype(np.float64)]

    own = [likelihood([(rows[at : at + 100], drawn[at : at + 100])]).token_likeness for at in range(0, 4_000, 100)]
    greedy = likelihood([(rows[:100], [int(token) for token in rows[:100].argmax(axis=1)])])

    assert sum(own) / len(own) == pytest.approx(0.5, abs=0.15)
    assert greedy.token_likeness > 0.999


def test_steps_make_the_same_figures_as_one() -> None:
    draw = np.random.default_rng(1)
    rows, said = draw.normal(size=(90, 30)).astype(np.float32), [int(n) for n in draw.integers(0, 30, 90)]

    assert likelihood([(rows[:64], said[:64]), (rows[64:], said[64:])]) == likelihood([(rows, said)])


def test_a_model_that_is_certain_has_no_spread_and_a_token_that_cannot_come_breaks_nothing() -> None:
    certain = np.array([[0.0, -np.inf], [0.0, -np.inf]], dtype=np.float32)

    assert likelihood([(certain, [0, 0])]).token_likeness == 0.5
