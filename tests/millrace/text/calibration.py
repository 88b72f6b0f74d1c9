"""Fitting ai_likeness: ridge logistic regression on the samples, and what leaving one out says about it."""

from __future__ import annotations

import numpy as np
from millrace.text.scores import habits
from scipy.optimize import minimize

from tests.millrace.text.samples import AI_TEXTS, HUMAN_TEXTS, MACHINE_LIKE

RIDGE = 0.05


def data() -> tuple[np.ndarray, np.ndarray]:
    """(38, 7) habits and (38,) labels, 1 = machine-like."""
    texts = AI_TEXTS + MACHINE_LIKE + HUMAN_TEXTS
    labels = [1.0] * (len(AI_TEXTS) + len(MACHINE_LIKE)) + [0.0] * len(HUMAN_TEXTS)
    return np.array([habits(text) for text in texts]), np.array(labels)


def fit(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights, then the bias; classes weigh the same."""
    share = labels.mean()
    weight = np.where(labels > 0, 0.5 / share, 0.5 / (1 - share))

    def loss(theta: np.ndarray) -> float:
        margin = (features @ theta[:-1] + theta[-1]) * (2 * labels - 1)
        return float(np.mean(weight * np.logaddexp(0, -margin)) + RIDGE * np.sum(theta[:-1] ** 2))

    return np.asarray(minimize(loss, np.zeros(features.shape[1] + 1), method="BFGS").x)


def left_out() -> tuple[int, int]:
    """(false positives among personal texts, misses among machine-like ones) at 0.5, each text left out of its fit."""
    features, labels = data()
    wrong = [0, 0]
    for i in range(len(labels)):
        keep = np.arange(len(labels)) != i
        theta = fit(features[keep], labels[keep])
        if (features[i] @ theta[:-1] + theta[-1] > 0) != (labels[i] > 0):
            wrong[int(labels[i])] += 1
    return wrong[0], wrong[1]


if __name__ == "__main__":
    print([round(float(x), 2) for x in fit(*data())], left_out())
