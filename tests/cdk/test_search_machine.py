"""The state machine `search`, as it stands in the templates and when it is walked."""

from __future__ import annotations

from typing import Any

import pytest

from cdk import rules
from tests import asl

from .conftest import Assembly

DONE = {"TrainingJobStatus": "Completed"}
GOOD: dict[str, Any] = {
    "Propose": {"kind": "trials", "number": 0, "trials": {"instance_type": "ml.local"}},
    "Trials": DONE,
    "TrialsOnNvme": DONE,
    "Judge": {"again": False},
    "Train": DONE,
    "TrainOnNvme": DONE,
    "Gate": {"passed": True},
    "CheckDeployment": {"status": "in_service"},
}


@pytest.fixture
def machine(stack: Assembly) -> dict[str, Any]:
    return rules.definition_of(stack.machine("search"))


def walk(machine: dict[str, Any], kind: str = "search", **answers: Any) -> list[str]:
    return asl.walk(machine, {"plan": {"kind": kind, "train": {"instance_type": "ml.local"}}}, GOOD | answers)


def test_nothing_in_it_waits_for_ever(machine: dict[str, Any]) -> None:
    assert asl.faults(machine) == []


def test_it_goes_round_for_as_long_as_judge_says_and_trains_the_finalists_once(machine: dict[str, Any]) -> None:
    seen = walk(machine, Judge=[{"again": True}, {"again": True}, {"again": False}])

    assert [name for name in seen if name in ("Propose", "Trials", "Judge", "Train", "Gate", "Register")] == [
        *["Propose", "Trials", "Judge"] * 3,
        *["Train", "Gate", "Register"],
    ]
    assert seen[-1] == "ConcludeCompleted"


def test_when_nothing_new_fits_the_finalists_of_the_rounds_so_far_are_trained(machine: dict[str, Any]) -> None:
    """S1: an empty round ends a search well."""
    proposed = [GOOD["Propose"], {"kind": "finish", "number": 1, "trials": {}}]
    seen = walk(machine, Propose=proposed, Judge={"again": True})

    assert [name for name in seen if name in ("Propose", "Trials", "Train")] == [
        "Propose",
        "Trials",
        "Propose",
        "Train",
    ]
    assert seen[-1] == "ConcludeCompleted"


def test_a_network_that_is_given_is_trained_without_a_search(machine: dict[str, Any]) -> None:
    seen = walk(machine, kind="train")

    assert "Propose" not in seen and "Trials" not in seen and seen[-1] == "ConcludeCompleted"


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        ({"Gate": {"passed": False}}, "ConcludeRefused"),
        ({"Trials": {"TrainingJobStatus": "Stopped"}}, "ConcludeFailed"),
        ({"Train": {"TrainingJobStatus": "Failed"}}, "ConcludeFailed"),
        ({"Propose": RuntimeError("Unavailable")}, "ConcludeFailed"),
        ({"Judge": RuntimeError("Corrupt")}, "ConcludeFailed"),
        ({"CheckDeployment": {"status": "failed"}}, "ConcludeFailed"),
    ],
)
def test_each_way_through_ends_where_it_should(machine: dict[str, Any], answers: dict[str, Any], end: str) -> None:
    assert walk(machine, **answers)[-1] == end


def test_a_whole_execution_outlasts_its_rounds(machine: dict[str, Any]) -> None:
    each = machine["States"]["Trials"]["TimeoutSeconds"]

    assert machine["TimeoutSeconds"] > 100 * each + machine["States"]["Train"]["TimeoutSeconds"]


def test_only_the_step_that_proposes_can_read_the_providers_keys(prod: Assembly) -> None:
    """Of the steps: what else a search runs calls nobody outside."""
    readers = {
        resource["Properties"]["PolicyName"].split("Role")[0]
        for resource in prod.of_type("AWS::IAM::Policy").values()
        for statement in rules.statements(resource)
        if "secretsmanager:GetSecretValue" in rules.listed(statement["Action"])
    }

    assert any("propose" in name.lower() for name in readers)
    assert not any("judge" in name.lower() for name in readers)
