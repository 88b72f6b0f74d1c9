"""The checker of state machines must see each fault that it exists for: one mutation each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests import asl

Machine = dict[str, Any]

RETRY = {
    "ErrorEquals": ["Unavailable", "Throttled", "Lambda.TooManyRequestsException"],
    "MaxAttempts": 3,
    "BackoffRate": 2,
    "MaxDelaySeconds": 30,
    "JitterStrategy": "FULL",
}


def task(then: str) -> Machine:
    catch = {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Bad"}
    work = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"Payload": {"id.$": "$.id"}}}
    return {**work, "TimeoutSeconds": 60, "Retry": [copy.deepcopy(RETRY)], "Catch": [catch], "Next": then}


def sound() -> Machine:
    look_again = {"Variable": "$.n.count", "NumericLessThan": 9, "Next": "Wait"}
    return {
        "StartAt": "Zero",
        "TimeoutSeconds": 900,
        "States": {
            "Zero": {"Type": "Pass", "Result": {"count": 0}, "ResultPath": "$.n", "Next": "Wait"},
            "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Count"},
            "Count": {
                "Type": "Pass",
                "Parameters": {"count.$": "States.MathAdd($.n.count, 1)"},
                "ResultPath": "$.n",
                "Next": "Look",
            },
            "Look": task("There"),
            "There": {"Type": "Choice", "Choices": [look_again], "Default": "Good"},
            "Good": {"Type": "Succeed"},
            "Bad": {"Type": "Fail"},
        },
    }


def without(*path: str) -> Callable[[Machine], None]:
    def change(machine: Machine) -> None:
        inner = machine
        for name in path[:-1]:
            inner = inner[int(name)] if isinstance(inner, list) else inner[name]
        del inner[path[-1]]

    return change


def having(*path: str, value: Any) -> Callable[[Machine], None]:
    def change(machine: Machine) -> None:
        inner = machine
        for name in path[:-1]:
            inner = inner[int(name)] if isinstance(inner, list) else inner[name]
        inner[path[-1]] = value

    return change


LOOK = ("States", "Look")
ONE_RETRY = (*LOOK, "Retry", "0")
MUTATIONS: dict[str, tuple[Callable[[Machine], None], str]] = {
    "no timeout of the machine": (without("TimeoutSeconds"), "the machine has no TimeoutSeconds"),
    "StartAt to nowhere": (having("StartAt", value="Zerro"), "StartAt names no state: Zerro"),
    "dangling Next": (having(*LOOK, "Next", value="Thare"), "Look: names no state: Thare"),
    "dangling Default": (having("States", "There", "Default", value="Gud"), "There: names no state: Gud"),
    "dangling Catch": (having(*LOOK, "Catch", "0", "Next", value="Bed"), "Look: names no state: Bed"),
    "unreachable state": (having("States", "Island", value={"Type": "Succeed"}), "Island cannot be reached"),
    "Task without timeout": (without(*LOOK, "TimeoutSeconds"), "Look: is a Task without TimeoutSeconds"),
    "Task without Retry": (without(*LOOK, "Retry"), "Look: is a Task without Retry"),
    "Task without Catch": (without(*LOOK, "Catch"), "Look: is a Task that does not catch States.ALL"),
    "Catch of one error": (
        having(*LOOK, "Catch", "0", "ErrorEquals", value=["States.Timeout"]),
        "Look: is a Task that does not catch States.ALL",
    ),
    "Catch that forgets": (without(*LOOK, "Catch", "0", "ResultPath"), "Look: catches without keeping its input"),
    "retry without a cap": (without(*ONE_RETRY, "MaxAttempts"), "Look: retries an unsaid number of times"),
    "retry a thousand times": (having(*ONE_RETRY, "MaxAttempts", value=1000), "Look: retries 1000 times"),
    "retry without jitter": (without(*ONE_RETRY, "JitterStrategy"), "Look: retries without full jitter"),
    "retry without backing off": (having(*ONE_RETRY, "BackoffRate", value=1), "Look: retries without backing off"),
    "retry without longest delay": (without(*ONE_RETRY, "MaxDelaySeconds"), "Look: retries without a longest delay"),
    "retry on a misspelt error": (
        having(*ONE_RETRY, "ErrorEquals", value=["Unavailible"]),
        "Look: retries on Unavailible, which no error is called",
    ),
    "Choice without Default": (without("States", "There", "Default"), "There: is a Choice without Default"),
    "no end of a state": (without("States", "Wait", "Next"), "Wait: has neither or both of Next and End"),
    "circle without a count": (
        having("States", "Count", "Parameters", value={"count": 1}),
        "Wait is in a circle that counts nothing",
    ),
    "nothing ends": (
        having("States", "Zero", value={"Type": "Pass", "Next": "Zero"}),
        "no state that can be reached ends the machine",
    ),
    "a path that is none": (
        having(*LOOK, "Parameters", value={"id.$": "id of the job"}),
        "Look: id.$ is no path: id of the job",
    ),
    "another language": (having("QueryLanguage", value="JSONata"), "the machine is not JSONPath"),
}


def test_a_sound_machine_has_no_faults() -> None:
    assert asl.faults(sound()) == []


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_fault_is_told(name: str) -> None:
    change, told = MUTATIONS[name]
    machine = sound()

    change(machine)

    assert told in asl.faults(machine)
