"""The state machine `train`, as it stands in the templates and when it is walked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from millrace.errors import RETRYABLE

from cdk import rules
from tests import asl

from .conftest import Assembly

STAGES = ("Train", "Evaluate", "Quantize")
JOBS = tuple(f"{stage}{disk}" for stage in STAGES for disk in ("", "OnNvme"))


@pytest.fixture
def machine(stack: Assembly) -> dict[str, Any]:
    return rules.definition_of(stack.machine("train"))


def test_nothing_in_it_waits_for_ever(machine: dict[str, Any]) -> None:
    assert asl.faults(machine) == []


def test_every_step_is_tried_again_on_exactly_the_errors_that_may_pass(machine: dict[str, Any]) -> None:
    calls = [s for s in machine["States"].values() if s.get("Resource", "").endswith("lambda:invoke")]
    assert len(calls) == 9

    for call in calls:
        named = [name for retry in call["Retry"] for name in retry["ErrorEquals"]]
        assert len(named) == len(set(named)), "Step Functions heeds the first that names an error"
        assert {name for name in named if "." not in name} == {error.__name__ for error in RETRYABLE}
        assert "Lambda.TooManyRequestsException" in named


def test_a_deployment_waits_for_an_endpoint_that_another_version_comes_up_behind(machine: dict[str, Any]) -> None:
    """That takes minutes, and machines of one model name may come there at once."""
    by_name = machine["States"].items()
    (busy,) = (retry for retry in machine["States"]["Deploy"]["Retry"] if "Unavailable" in retry["ErrorEquals"])
    delays = [min(busy["IntervalSeconds"] * 2**n, busy["MaxDelaySeconds"]) for n in range(busy["MaxAttempts"])]

    assert busy["ErrorEquals"] == ["Unavailable"] and 1_200 < sum(delays) / 2 < sum(delays) < 3_600
    assert [name for name, state in by_name if len(state.get("Retry", [])) > 1 and name not in JOBS] == ["Deploy"]


def test_a_start_of_a_container_waits_long_for_a_busy_service_and_short_for_any_other_refusal(
    machine: dict[str, Any],
) -> None:
    """J8: a start whose reply was lost is such a refusal, and the job is begun again after it."""
    for name in JOBS:
        busy, other = machine["States"][name]["Retry"]
        most = [sum(one["IntervalSeconds"] * 2**n for n in range(one["MaxAttempts"])) for one in (busy, other)]
        assert busy["ErrorEquals"] == ["SageMaker.ThrottlingException"] and most[0] > 200
        assert other["ErrorEquals"] == ["SageMaker.AmazonSageMakerException"] and most[1] < 40


def test_every_container_is_cut_off_encrypted_and_bounded(machine: dict[str, Any]) -> None:
    for name in JOBS:
        given = machine["States"][name]["Parameters"]
        assert machine["States"][name]["Resource"] == "arn:aws:states:::sagemaker:createTrainingJob.sync"
        assert given["EnableNetworkIsolation"] is True
        assert given["OutputDataConfig"]["CompressionType"] == "NONE" and given["OutputDataConfig"]["KmsKeyId"]
        assert ("VolumeKmsKeyId" in given["ResourceConfig"]) is not name.endswith("OnNvme")
        assert given["StoppingCondition.$"].startswith("$.plan.")


def test_a_failed_step_always_comes_to_conclude(machine: dict[str, Any]) -> None:
    for name, state in machine["States"].items():
        if state["Type"] == "Task" and name != "ConcludeFailed":
            assert [catch["Next"] for catch in state["Catch"]] == ["ConcludeFailed"], name


def test_executions_are_logged_without_their_data(stack: Assembly) -> None:
    properties = stack.machine("train")["Properties"]

    assert properties["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert properties["TracingConfiguration"] == {"Enabled": True}


def test_a_whole_execution_outlasts_its_parts(machine: dict[str, Any]) -> None:
    assert machine["TimeoutSeconds"] > sum(machine["States"][name]["TimeoutSeconds"] for name in STAGES)


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        ({}, "ConcludeCompleted"),
        ({"Gate": {"passed": False}}, "ConcludeRefused"),
        ({"GateGguf": {"passed": False}}, "ConcludeRefused"),
        ({"Train": {"TrainingJobStatus": "Stopped"}}, "ConcludeFailed"),
        ({"Quantize": {"TrainingJobStatus": "Failed"}}, "ConcludeFailed"),
        ({"CheckDeployment": {"status": "failed"}}, "ConcludeFailed"),
        ({"CheckDeployment": {"status": "creating"}}, "ConcludeFailed"),
        ({"Plan": RuntimeError("Unavailable")}, "ConcludeFailed"),
    ],
)
def test_each_way_through_ends_where_it_should(machine: dict[str, Any], answers: dict[str, Any], end: str) -> None:
    assert walk(machine, answers) == end


GOOD: dict[str, Any] = {
    **{name: {"TrainingJobStatus": "Completed"} for name in JOBS},
    **{name: {"passed": True} for name in ("Gate", "GateGguf")},
    "CheckDeployment": {"status": "in_service"},
}


def walk(machine: dict[str, Any], answers: dict[str, Any], instance: str = "ml.local") -> str:
    """The conclusion that it comes to, `answers` being what is not as it should be."""
    plan = {part: {"instance_type": instance} for part in ("train", "evaluate", "gguf")}
    return asl.walk(machine, {"plan": plan}, GOOD | answers)[-1]


@pytest.mark.parametrize(
    ("instance", "nvme"),
    [
        ("ml.g5.xlarge", True),
        ("ml.g6e.2xlarge", True),
        ("ml.p4d.24xlarge", True),
        ("ml.m5d.xlarge", True),
        ("ml.m5.2xlarge", False),
        ("ml.p3.2xlarge", False),
        ("ml.local", False),
    ],
)
def test_only_disks_that_take_a_key_are_given_one(machine: dict[str, Any], instance: str, nvme: bool) -> None:
    """SageMaker refuses a job that names a volume key for an instance with disks of its own."""
    wrong = {f"{stage}{'' if nvme else 'OnNvme'}": RuntimeError("the other disk") for stage in STAGES}

    assert walk(machine, wrong, instance) == "ConcludeCompleted"


def test_a_stopped_job_tells_conclude_why(machine: dict[str, Any]) -> None:
    """`conclude` reads the two statuses out of the cause, as it does from a job that failed."""
    stopped = machine["States"]["TrainStopped"]
    kept = machine["States"]["Train"]["ResultSelector"]

    assert stopped["Parameters"]["Cause.$"] == "States.JsonToString($.train)"
    assert json.loads(json.dumps(kept)) == {
        "TrainingJobStatus.$": "$.TrainingJobStatus",
        "SecondaryStatus.$": "$.SecondaryStatus",
    }
