"""What an attempt's end is called, and what the next attempt does otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from millrace.blocks import Recipe
from millrace.contract import JobState, Tier
from millrace.jobs import Job
from millrace.recovery import MOST, OUT_OF_MEMORY, SENTENCE_CHARACTERS, Failure, least_batch, next_try, read
from millrace.strategies import find, strategies
from millrace.tenants import Tenant

from tests.fakes import World

ACME = Tenant("acme", Tier.ENTERPRISE)


def _described(**more: Any) -> dict[str, str]:
    return {"Error": "States.TaskFailed", "Cause": json.dumps({"TrainingJobStatus": "Failed", **more})}


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            _described(FailureReason="AlgorithmError: OutOfMemory: 16 rows of 512 tokens did not fit., exit code: 1"),
            "OutOfMemory",
            "16 rows of 512 tokens did not fit.",
        ),
        (_described(FailureReason="AlgorithmError: DiskFull: No space is left., exit code: 1"), "DiskFull", "No space"),
        (_described(FailureReason="AlgorithmError: ValueError: no column, exit code: 1"), "Failed", "ValueError: no"),
        (_described(FailureReason="AlgorithmError: , exit code: 137"), "Killed", "runs out of memory"),
        (_described(FailureReason="AlgorithmError: , exit code: 3"), "Failed", "status 3 and no reason"),
        (_described(FailureReason="InternalServerError: We encountered"), "Interrupted", "InternalServerError"),
        (_described(FailureReason="CapacityError: Unable to provision"), "Interrupted", "CapacityError"),
        (_described(FailureReason="ClientError: No S3 objects found"), "Failed", "No S3 objects"),
        (
            {
                "Error": "TrainingFailed",
                "Cause": '{"TrainingJobStatus":"Stopped","SecondaryStatus":"MaxRuntimeExceeded"}',
            },
            "TimeLimit",
            "longer than its time limit",
        ),
        (
            {"Error": "X", "Cause": '{"TrainingJobStatus":"Stopped","SecondaryStatus":"MaxWaitTimeExceeded"}'},
            "TimeLimit",
            "no spot machine",
        ),
        ({"Error": "X", "Cause": '{"TrainingJobStatus":"Stopped"}'}, "Stopped", "before it had finished"),
        (
            {
                "Error": "SageMaker.ResourceInUse",
                "Cause": "Job name must be unique within an AWS account and region, and arn:x already exists",
            },
            "Interrupted",
            "reply was lost",
        ),
        ({"Error": "States.Timeout", "Cause": ""}, "TimeLimit", "longer than its time limit"),
        ({"Error": "Corrupt", "Cause": '{"errorMessage": "The manifest lies."}'}, "Failed", "The manifest lies."),
        (None, "Failed", "without a reason"),
        ({}, "Failed", "an unknown error"),
    ],
)
def test_every_end_has_a_code_and_a_sentence(error: Any, code: str, text: str) -> None:
    failure = read(error)
    assert failure.code == code and text in failure.text and "exit code" not in failure.text


def test_a_long_story_is_cut() -> None:
    assert len(read({"Cause": "x" * 5_000}).text) == SENTENCE_CHARACTERS


def _job(**more: Any) -> Job:
    given = {"state": JobState.RUNNING, "strategy": "lora-sft", "attempt": 1, "model_name": "m", "started_by": "person"}
    return Job(id="j1", created_at="2026-01-01T00:00:00.000Z", snapshot_id="sn1", **{**given, **more})


def test_out_of_memory_goes_down_the_ladder_and_the_step_keeps_its_rows() -> None:
    job = _job(hyperparameters={"batch_size": 16, "accumulation": 1, "max_length": 512})

    retry = next_try(job, Failure("OutOfMemory", "It did not fit."))

    assert retry and retry.hyperparameters == {"batch_size": 8, "accumulation": 2, "max_length": 512}
    assert retry.text == ("It did not fit. Begun again with batch size 8 instead of 16, accumulation 2 instead of 1.")


def test_what_needs_no_memory_has_no_ladder() -> None:
    assert next_try(_job(hyperparameters={"rank": 4}), Failure("OutOfMemory", "x")) is None


def test_an_interruption_goes_on_with_the_same_values() -> None:
    job = _job(hyperparameters={"batch_size": 16})
    retry = next_try(job, Failure("Interrupted", "The machine was taken."))
    assert retry and retry.hyperparameters == job.hyperparameters and "last checkpoint" in retry.text


@pytest.mark.parametrize("code", ["Failed", "TimeLimit", "DiskFull", "Stopped", "Refused"])
def test_what_would_end_the_same_way_is_not_tried_again(code: str) -> None:
    assert next_try(_job(hyperparameters={"batch_size": 16}), Failure(code, "x")) is None


@pytest.mark.parametrize("code", MOST)
def test_every_reason_has_its_number_of_tries(code: str) -> None:
    earlier = [{"attempt": n, "code": code, "text": "x"} for n in range(MOST[code])]
    values = {"batch_size": 2**20}
    assert next_try(_job(hyperparameters=values, recoveries=earlier[1:]), Failure(code, "x"))
    assert next_try(_job(hyperparameters=values, recoveries=earlier), Failure(code, "x")) is None


@pytest.mark.parametrize("strategy", ["cnn-search", "cnn-native", "cnn-transfer"])
def test_a_killed_training_of_networks_goes_on_from_its_journal_once(strategy: str) -> None:
    """J8: what ended is not done again; what took the memory together is done one by one."""
    job = _job(strategy=strategy, hyperparameters=find(strategy).settle({}))
    killed = Failure("Killed", "The container was killed.")

    retry = next_try(job, killed)

    assert retry and retry.hyperparameters == {**job.hyperparameters, "workers": 1}
    assert retry.text.endswith("killed. Begun again after the last training that ended, one training at a time.")
    assert next_try(replace(job, recoveries=[{"attempt": 1, "code": "Killed", "text": "x"}]), killed) is None
    assert next_try(replace(job, strategy="lora-sft", hyperparameters={}), killed) is None


def test_a_networks_batch_stops_where_its_schema_does() -> None:
    """J8: at 8 the ladder has its foot, and 0, which stands for the architecture's own batch, is no rung."""
    least = Recipe.model_json_schema()["properties"]["batch_size"]["minimum"]
    asked = _job(strategy="cnn-native", hyperparameters=find("cnn-native").settle({"batch_size": 2 * least}))

    retry = next_try(asked, Failure(OUT_OF_MEMORY, "It did not fit."))

    assert retry and retry.hyperparameters["batch_size"] == least == least_batch("cnn-native")
    assert next_try(replace(asked, hyperparameters=retry.hyperparameters), Failure(OUT_OF_MEMORY, "x")) is None


# --- through conclude -------------------------------------------------------------------------------------------------
OUT = {
    "Error": "States.TaskFailed",
    "Cause": json.dumps({"FailureReason": "AlgorithmError: OutOfMemory: Full., exit code: 1"}),
}


@pytest.fixture
def world() -> World:
    from tests.millrace.test_training import _collected

    world = World()
    _collected(world, 0, 80)
    return world


def _pipeline(world: World) -> Any:
    from millrace.pipeline import Pipeline
    from millrace.settings import Steps

    from tests.conftest import ENVIRONMENT

    return Pipeline(Steps.from_env(ENVIRONMENT), world.corpus, world.store, world.jobs, world.registry)


def test_a_job_without_memory_is_begun_again_smaller_until_the_ladders_foot(world: World) -> None:
    pipeline = _pipeline(world)
    world.training.begin(ACME, "j1", hyperparameters={"batch_size": 4, "max_length": 256})
    batches = []
    for attempt in range(1, 20):
        job = world.jobs.get(ACME, "j1")
        if job.state.final:
            break
        plan = pipeline.plan(ACME, "j1", attempt)
        batches.append(json.loads(plan["train"]["hyperparameters"]["batch_size"]))
        pipeline.conclude(ACME, "j1", attempt, "failed", OUT)

    job = world.jobs.get(ACME, "j1")
    assert job.state is JobState.FAILED and job.error == "Full." and job.error_code == "OutOfMemory"
    assert batches[:3] == [4, 2, 1] and len(batches) == len(world.jobs.runs(ACME, "j1")) == job.attempt
    assert world.states.started == [f"j1-{n}" for n in range(1, job.attempt + 1)]
    assert not world.jobs.active() and str(world.registry.get(ACME, str(job.model_id)).state) == "failed"


def test_a_conclusion_that_is_repeated_begins_one_attempt(world: World) -> None:
    pipeline = _pipeline(world)
    world.training.begin(ACME, "j1", hyperparameters={"batch_size": 4})
    pipeline.plan(ACME, "j1", 1)

    for _ in range(3):
        job = pipeline.conclude(ACME, "j1", 1, "failed", OUT)

    assert job.attempt == 2 and world.states.started == ["j1-1", "j1-2"]
    assert [run["state"] for run in world.jobs.runs(ACME, "j1")] == ["failed", "queued"]


def test_a_cancel_that_comes_with_the_failure_is_a_cancel(world: World) -> None:
    pipeline = _pipeline(world)
    world.training.begin(ACME, "j1", hyperparameters={"batch_size": 4})
    pipeline.plan(ACME, "j1", 1)
    world.training.cancel(ACME, "j1")

    job = pipeline.conclude(ACME, "j1", 1, "failed", OUT)

    assert job.state is JobState.CANCELLED and world.states.started == ["j1-1"] and not world.jobs.active()


@pytest.mark.parametrize("strategy", [name for name, one in strategies().items() if one.kind == "strategy"])
def test_every_rung_is_one_that_the_strategy_takes(strategy: str) -> None:
    """The next attempt's plan settles its hyperparameters again."""
    given = find(strategy).settle({})
    job = Job("j1", JobState.RUNNING, strategy, 1, "m", "2026-01-01T00:00:00Z", "person", hyperparameters=given)
    rungs = [given]
    while (retry := next_try(job, Failure(OUT_OF_MEMORY, "It did not fit."))) is not None:
        rungs.append(find(strategy).settle(retry.hyperparameters))
        job = replace(job, hyperparameters=retry.hyperparameters)
        assert len(rungs) < 100, "the ladder has a foot"

    assert all(rungs.count(rung) == 1 for rung in rungs)
