from __future__ import annotations

from typing import Any

import pytest
from millrace.architecture import Spec, Task, cost

from training_containers.cnn_search import odds

TASK = Task(height=8, width=8, channels=1, classes=10, samples=1257)
BLOCKS = [{"kind": "conv", "filters": 16}, {"kind": "conv", "filters": 16}, {"kind": "pool", "mode": "max"}]


def spec(filters: int = 16, **training: Any) -> Spec:
    recipe = {"optimizer": "adam", "learning_rate": 3e-3, "batch_size": 64, "epochs": 10, **training}
    return Spec.model_validate({"blocks": [{**BLOCKS[0], "filters": filters}, *BLOCKS[1:]], "training": recipe})


def told(of: Spec) -> tuple[float, float]:
    costs = cost(of, TASK)
    return odds.chance(of, costs, TASK.samples), odds.seconds(of, costs, TASK.samples, of.training.epochs)


@pytest.mark.parametrize("worse", [{"learning_rate": 1e-4}, {"learning_rate": 0.3}, {"epochs": 2}, {"batch_size": 512}])
def test_a_rate_that_does_not_suit_and_few_steps_have_the_smaller_chance(worse: dict[str, Any]) -> None:
    assert told(spec(**worse))[0] < told(spec())[0]


def test_what_costs_more_for_the_same_chance_is_worth_less() -> None:
    small, large = spec(), spec(filters=64)

    assert told(large)[1] > told(small)[1]
    assert odds.worth(small, cost(small, TASK), 10**6) > odds.worth(large, cost(large, TASK), 10**6)


@pytest.mark.parametrize("training", [{"learning_rate": 1.0}, {"learning_rate": 1e-5, "epochs": 1, "batch_size": 1024}])
def test_a_chance_is_one_whatever_the_recipe(training: dict[str, Any]) -> None:
    for samples in (8, 10**7):
        made = spec(**training)
        assert 0 < odds.chance(made, cost(made, TASK), samples) < 1 and odds.worth(made, cost(made, TASK), samples) > 0
        assert 0 < odds.epochs(made, cost(made, TASK), samples) <= made.training.epochs


@pytest.mark.parametrize("slower", [{"learning_rate": 1e-4}, {"augmentation": {"shift": 0.15}}, {"batch_size": 512}])
def test_a_small_rate_wide_moves_and_few_steps_take_more_epochs(slower: dict[str, Any]) -> None:
    quick, slow = (odds.epochs(s, cost(s, TASK), TASK.samples) for s in (spec(epochs=60), spec(epochs=60, **slower)))

    assert quick < slow < 60
