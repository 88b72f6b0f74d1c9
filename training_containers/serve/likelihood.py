"""How likely a text is to a model, token by token. Pure, linear in tokens times vocabulary; H10.

name                 range        what it is                                          known error
mean_logprob         -inf .. 0    mean log-probability of a token, nats               rare subjects lower it too
surprise_burstiness  0 .. ~3      deviation of the tokens' surprise over its mean     noise under 100 tokens
token_likeness       0 .. 1       AI-likeness: share of texts of the model's own      see below
                                  that would be less likely than this one

token_likeness is the normal distribution at the curvature, which is the text's log-probability less the one expected
of what the model itself would write there, in standard deviations of that. So 0.5 is what the model writes at
temperature 1, more is likelier than that, as greedy output is, and people mostly score less. Nothing is fitted. It
compares with this one model: a text by another is as surprising as a person's where the two differ, a text that the
model was trained on is not surprising at all, and a plain or quoted text by a person scores high. Under 100 tokens it
is noise; only what one context holds is read. No decision about a person may rest on it.

Source: Bao et al. 2024, Fast-DetectGPT (arXiv 2310.05130), the analytic form with one model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Likelihood:
    tokens: int
    mean_logprob: float
    surprise_burstiness: float
    token_likeness: float


def likelihood(steps: Iterable[tuple[NDArray[np.float32], Sequence[int]]]) -> Likelihood:
    """Of steps of logits (n, n_vocab), each row with the token that really came next. At least one token."""
    said, mean, variance = (np.concatenate(column) for column in zip(*(_step(*step) for step in steps), strict=True))
    spread = math.sqrt(float(variance.sum()))
    curvature = float((said - mean).sum()) / spread if spread > 1e-9 else 0.0
    surprise = -said
    return Likelihood(
        len(said),
        round(float(said.mean()), 4),
        round(float(surprise.std() / max(float(surprise.mean()), 1e-9)), 4),
        round(NormalDist().cdf(curvature), 4),
    )


def _step(logits: NDArray[np.float32], tokens: Sequence[int]) -> tuple[NDArray[np.float64], ...]:
    """Of each row: log-probability of its token, and mean and variance of that of a token drawn there."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    shares = np.exp(logs)
    weighed = shares * np.maximum(logs, -1e4)  # a token that cannot come weighs nothing
    mean = weighed.sum(axis=1)
    variance = (weighed * np.maximum(logs, -1e4)).sum(axis=1) - mean**2
    return logs[np.arange(len(tokens)), list(tokens)], mean, np.maximum(variance, 0.0)
