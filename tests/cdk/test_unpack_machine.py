"""The state machine `unpack`, as it stands in the templates and when it is walked."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from cdk import rules
from tests import asl

from .conftest import Assembly


@pytest.fixture
def machine(stack: Assembly) -> dict[str, Any]:
    return rules.definition_of(stack.machine("unpack"))


def test_nothing_in_it_waits_for_ever(machine: dict[str, Any]) -> None:
    assert asl.faults(machine) == []


def test_every_slice_is_an_execution_of_its_own_and_answers_with_nothing(machine: dict[str, Any]) -> None:
    slices = machine["States"]["LookAtSlices"]

    assert slices["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert slices["ItemReader"]["Resource"] == "arn:aws:states:::s3:getObject"
    assert slices["ItemProcessor"]["States"]["Looked"]["Parameters"] == {"done": True}
    largest = 1_000 * len(json.dumps({"done": True}))
    assert largest < 256 * 1024, "two million images are a thousand slices"


def test_a_slice_that_takes_long_is_gone_on_with_and_not_for_ever(machine: dict[str, Any]) -> None:
    """D2: the function stops before its time is over, and another call goes on from its checkpoint."""
    slices = machine["States"]["LookAtSlices"]
    data, each = {"rounds": slices["ItemSelector"]["rounds"]}, slices["ItemProcessor"]
    again, done = {"outcome": "again"}, {"outcome": "done"}

    seen = asl.walk(each, data, {"Look": [again, again, done]})
    endless = asl.walk(each, data, {"Look": again})

    assert [name for name in seen if name == "Look"] == ["Look"] * 3 and seen[-1] == "Looked"
    assert endless[-1] == "TooLong" and endless.count("Look") * 840 > machine["TimeoutSeconds"]
    assert asl.walk(each, data, {"Look": RuntimeError()})[-1] == "SliceFailed"


def test_a_failed_step_always_comes_to_conclude(machine: dict[str, Any]) -> None:
    states = machine["States"]
    for name in ("Plan", "LookAtSlices", "Merge"):
        assert [catch["Next"] for catch in states[name]["Catch"]] == ["ConcludeFailed"], name


def test_the_checker_sees_a_fault_in_what_runs_for_each_item(machine: dict[str, Any]) -> None:
    broken = deepcopy(machine)
    del broken["States"]["LookAtSlices"]["ItemProcessor"]["States"]["Look"]["TimeoutSeconds"]

    assert any("in each item" in fault for fault in asl.faults(broken))


def test_the_machine_may_start_itself_and_nothing_else(prod: Assembly) -> None:
    role = prod.machine("unpack")["Properties"]["RoleArn"]["Fn::GetAtt"][0]
    granted = {
        action
        for policy in prod.of_type("AWS::IAM::Policy").values()
        if {"Ref": role} in policy["Properties"]["Roles"]
        for statement in rules.statements(policy)
        for action in rules.listed(statement["Action"])
    }

    assert {"states:StartExecution", "lambda:InvokeFunction", "s3:GetObject", "kms:Decrypt"} <= granted
    assert not any(action.startswith(("iam:", "sagemaker:", "dynamodb:")) for action in granted)
